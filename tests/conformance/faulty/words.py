"""Words for all that a small plugin names, so that each is faulty in one way alone."""

from __future__ import annotations

from crm_core import Plugin
from crm_core.labels import ids


def codes_of(plugin: Plugin) -> list[str]:
    """Return the ids of a plugin's labels."""
    return [code for code in ids(plugin) if not code.startswith("core.")]


def translate(plugin: Plugin, *codes: str) -> None:
    """Give every label, and each of *codes*, words in both languages."""
    wanted = [*codes_of(plugin), *codes]
    plugin.catalogue("en", {code: f"Word {n}" for n, code in enumerate(wanted)})
    plugin.catalogue("zh", {code: f"词 {n}" for n, code in enumerate(wanted)})
