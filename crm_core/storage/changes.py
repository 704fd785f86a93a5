"""Changes that a caller gives, which may come from outside: refused where they are none, and written in one form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..entities.custom_kind import PREFIX
from ..entities.validate import MAX_ITEMS
from ..errors import Detail, Invalid
from ..messages import redact

if TYPE_CHECKING:
    from ..entities.codec import Codec


def check_version(codec: Codec, version: object) -> None:
    """Raise ``Invalid`` where *version* is no number that a version can be."""
    if version is not None and (type(version) is not int or version.bit_length() > 63):
        raise Invalid(details=[_wrong_type(codec, "version", "int", version)])


def check_changes(codec: Codec, changes: object) -> None:
    """Raise ``Invalid`` where *changes*, which may come from outside, are not fields with values."""
    if not isinstance(changes, Mapping):
        raise Invalid(details=[_wrong_type(codec, "", "object", changes)])
    if len(changes) > MAX_ITEMS:
        raise Invalid(details=[Detail(codec.facts.name, "", "too_long", "", {"length": len(changes), "limit": MAX_ITEMS})])


def flattened(entity: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write changes of custom fields, which may come as ``{"custom": {...}}``, under their dotted names."""
    given = changes.get("custom")
    if "custom" not in changes:
        return changes
    if not isinstance(given, Mapping) or len(given) > MAX_ITEMS:
        params = {"expected": "object", "given": type(given).__name__}
        raise Invalid(details=[Detail(entity, "custom", "wrong_type", redact(given), params)])
    return {n: v for n, v in changes.items() if n != "custom"} | {f"{PREFIX}{n}": v for n, v in given.items()}


def _wrong_type(codec: Codec, field: str, expected: str, given: object) -> Detail:
    return Detail(codec.facts.name, field, "wrong_type", redact(given), {"expected": expected, "given": type(given).__name__})
