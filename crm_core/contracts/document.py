"""The file ``plugin.json`` in a plugin's package: written from its code, read without importing it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import Invalid

NAME = "plugin.json"
_PARTS = ("format", "plugin", "version", "label", "requires")


def place(package: str) -> Path | None:
    """Return where the file of a package is or belongs, without importing the package; None where there is no such folder."""
    top = package.partition(".")[0].partition(":")[0]
    try:
        found = find_spec(top) if top else None
    except (ImportError, ValueError):
        return None
    folders = list(found.submodule_search_locations or ()) if found else []
    return Path(folders[0]) / NAME if folders else None


def read(package: str) -> dict[str, Any] | None:
    """Read the document of a package; None where it has none.

    Raises:
        Invalid: ``cli_contract_unreadable``.
    """
    path = place(package)
    if path is None or not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise Invalid("cli_contract_unreadable", path=str(path), reason=str(e)[:100]) from e
    if not isinstance(found, dict) or not all(part in found for part in _PARTS):
        raise Invalid("cli_contract_unreadable", path=str(path), reason=", ".join(_PARTS))
    return found


def text(document: Mapping[str, Any]) -> str:
    """Write the document: who it is first, then each part sorted, one promise a line."""
    rest = sorted(set(document) - set(_PARTS))
    ordered = {part: document[part] for part in _PARTS} | {part: _sorted(document[part]) for part in rest}
    return json.dumps(ordered, indent=2, ensure_ascii=False) + "\n"


def _sorted(value: Any) -> Any:
    """Sort names; what is a list or stands in the order of parameters stays."""
    return {key: _sorted(value[key]) for key in sorted(value)} if isinstance(value, Mapping) else value
