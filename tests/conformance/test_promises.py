"""CK10 holds a plugin against its plugin.json, as ``crm plugin lock --check`` does, and against its package's version."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crm_core.contracts.collect import collect
from crm_core.contracts.document import text
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from crm_core.testing.conformance.promises import promises_kept
from crm_core.testing.conformance.subject import Subject

SOURCE = """
from crm_core import Account, Event, Plugin

plugin = Plugin("gifts", version="1.0.0", package="gifts")


class Sent(Event[Account], name="gifts.sent", version=1):
    weight: int


plugin.events(Sent)
"""
Install = Callable[[str], Plugin]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install the package ``gifts`` with its plugin.json, as a distribution of some version."""
    monkeypatch.syspath_prepend(tmp_path)

    def installed(version: str) -> Plugin:
        for folder, name, content in (
            ("gifts", "__init__.py", SOURCE),
            ("gifts-1.dist-info", "METADATA", f"Metadata-Version: 2.1\nName: gifts\nVersion: {version}\n"),
            ("gifts-1.dist-info", "entry_points.txt", "[crm.plugins]\ngifts = gifts:plugin\n"),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).write_text(content, encoding="utf-8")
        importlib.invalidate_caches()
        plugin: Plugin = importlib.import_module("gifts").plugin
        (tmp_path / "gifts" / "plugin.json").write_text(text(collect(Registry([plugin]), plugin)), encoding="utf-8")
        return plugin

    yield installed
    sys.modules.pop("gifts", None)


def test_what_is_locked_and_versioned_alike_is_in_order(install: Install) -> None:
    subject = Subject(install("1.0.0"))
    assert (list(promises_kept(subject)), subject.notes) == ([], [])


def test_a_change_that_was_not_locked_and_another_version_are_told(install: Install, tmp_path: Path) -> None:
    subject = Subject(install("1.1.0"))
    lock = tmp_path / "gifts" / "plugin.json"
    known = json.loads(lock.read_text(encoding="utf-8"))
    del known["events"]["gifts.sent"]["fields"]["weight"]
    lock.write_text(json.dumps(known | {"version": "0.9"}), encoding="utf-8")
    *changed, version, package = promises_kept(subject)
    assert any("events gifts.sent fields weight" in line for line in changed)
    assert all("crm plugin lock gifts" in line for line in changed)
    assert version.startswith("plugin.json is of version 0.9, the code of 1.0.0")
    assert package.startswith("Plugin('gifts', version='1.0.0') comes in a package of version 1.1.0")


def test_a_plugin_without_a_plugin_json_is_only_noted(install: Install, tmp_path: Path) -> None:
    subject = Subject(install("1.0.0"))
    (tmp_path / "gifts" / "plugin.json").unlink()
    assert list(promises_kept(subject)) == []
    assert subject.notes == ["gifts has no plugin.json: write one with crm plugin lock"]
