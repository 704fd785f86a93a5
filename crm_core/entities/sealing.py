"""Which fields can be sealed, and how their values are written before and read after; without SQLAlchemy, like the codecs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import LoadError
from .fields import FieldSpec

Unseal = Callable[[Any, str], str | None]
MASK = "***"
ERASED = "[erased]"  # what history shows of a value whose key was destroyed
CELL = "cell"  # under this name a physical column keeps the expression that a select gives for it

# How a value is read from the text {o} that was sealed, in generated code. Text is itself, the rest is JSON.
OPENED: Mapping[str, str] = {
    "str": "{o}",
    "text": "{o}",
    "decimal": "Decimal(loads({o}))",
    "date": "date.fromisoformat(loads({o}))",
    "datetime": "datetime.fromisoformat(loads({o}))",
    "enum": "t{i}(loads({o}))",
    "int": "loads({o})",
    "bool": "loads({o})",
    "json": "loads({o})",
}
SEALABLE = frozenset(OPENED)
# Equal values must be equal texts, which decimals are not (1.5 and 1.50), and there must be more than two of them.
SEARCHABLE = SEALABLE - {"text", "bool", "json", "decimal"}


def check_sealed(entity: type[Any], fields: Iterable[FieldSpec]) -> None:
    """Check what the sealed fields of an entity and its extensions say, whom its personal values are about, and what it points at.

    Raises:
        LoadError: one asks for what encryption cannot give.
    """
    fields, name = list(fields), entity.__name__
    subject = entity.__dict__.get("__subject__")
    if subject is not None and not any(f.name == subject and f.kind == "ref" and f.extension is None for f in fields):
        raise LoadError("bad_subject", entity=name, given=str(subject)[:60])
    texts = {f.name for f in fields if f.kind == "str"}
    for pair in entity.__dict__.get("__points__", {}).items():
        if not texts.issuperset(pair):
            raise LoadError("bad_points", entity=name, given=", ".join(map(str, pair))[:60])
    pointer = entity.__dict__.get("__seen_with__")
    if pointer is not None and pointer not in entity.__dict__.get("__points__", {}):
        raise LoadError("bad_seen_with", entity=name, given=str(pointer)[:60])
    indexed = {column for columns in entity.__dict__.get("__indexes__", ()) for column in columns}
    for field in fields:
        if field.options.sealed:
            _check(name, field, field.name in indexed)


def _check(entity: str, field: FieldSpec, indexed: bool) -> None:
    options = field.options
    where: dict[str, Any] = {"entity": entity, "field": field.name}
    if field.kind not in SEALABLE:
        raise LoadError("sealed_kind", **where, kind=field.kind)
    if options.index or indexed:
        raise LoadError("sealed_index", **where)
    if options.searchable and field.kind not in SEARCHABLE:
        raise LoadError("sealed_search_kind", **where, kind=field.kind)
    if options.unique and not options.searchable:
        raise LoadError("sealed_unique", **where)
    if field.extension is not None and not field.nullable:
        raise LoadError("sealed_default", **where)
