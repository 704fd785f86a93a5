"""Generated per entity and CRM: validation, rows for the driver, records from rows, plain JSON.

The functions are compiled from source once, so that a record costs a handful of attribute reads instead of a loop over fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import attrs

from ..errors import Detail, Invalid
from .fields import FieldSpec, Ref
from .meta import EntitySpec, extension_fields, spec
from .money import Money
from .validate import plain, problems
from .values import normalise_values


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def _scale(value: Decimal, scale: int) -> int:
    return int(value.scaleb(scale))


def _items(value: Iterable[Any]) -> str:
    return json.dumps([attrs.asdict(v) for v in value])


# Which expression turns a field's value into what the driver takes, by database; {v} is the value. Missing: as it is.
_TO_SQLITE = {
    "decimal": "scale({v}, {s})",
    "date": "{v}.isoformat()",
    "datetime": "instant({v})",
    "enum": "{v}.value",
    "json": "dumps({v})",
    "ref": "{v}.id",
    "list": "items({v})",
}
_TO_POSTGRESQL = {"enum": "{v}.value", "json": "dumps({v})", "ref": "{v}.id", "list": "items({v})"}
# Which expression turns a raw SQLite value, or one that SQLAlchemy's types have read, into the field's value.
_FROM_SQLITE = {
    "decimal": "Decimal({v}).scaleb(-{s})",
    "bool": "{v} != 0",
    "date": "date.fromisoformat({v})",
    "datetime": "datetime.fromisoformat({v})",
    "enum": "{t}({v})",
    "json": "loads({v})",
    "ref": "Ref({t}, {v})",
    "list": "[{t}(**i) for i in loads({v})]",
}

Loader = Callable[[Sequence[Any]], Any]


class Codec:
    """One entity's generated functions in one CRM.

    Attributes:
        fields: its fields by name, the extensions' under their column's name.
        columns: the physical columns in row order.
    """

    def __init__(self, entity: type[Any], extensions: Sequence[type[Any]], dialect: str) -> None:
        self.entity = entity
        self.extensions = tuple(extensions)
        self.dialect = dialect
        self.facts: EntitySpec = spec(entity)
        own = list(self.facts.fields.values())
        added = [f for e in extensions for f in extension_fields(e).values()]
        self.fields: dict[str, FieldSpec] = {f.name: f for f in own} | {f.column: f for f in added}
        self.columns: tuple[str, ...] = tuple(c for f in self.fields.values() for c in f.columns)
        self.writable = tuple(f for f in self.fields.values() if not f.system)
        self._lists = tuple(n for n, f in self.fields.items() if f.kind == "list" and hasattr(f.type, "normalised"))
        self._json = frozenset(n for n, f in self.fields.items() if f.kind == "json")
        self._loaders: dict[tuple[frozenset[str], bool], tuple[tuple[str, ...], Loader]] = {}
        self.to_row: Callable[[Any], tuple[Any, ...]] = self._compile_to_row()

    # -- values of a record -------------------------------------------------------------------------------------------------------

    def get(self, record: Any, name: str) -> Any:
        """Read a field by its name here (extensions' by column)."""
        field = self.fields[name]
        return getattr(record if field.extension is None else record[field.extension], field.name)

    def set(self, record: Any, name: str, value: Any) -> None:
        """Set a field by its name here."""
        field = self.fields[name]
        setattr(record if field.extension is None else record[field.extension], field.name, value)

    def values(self, record: Any) -> dict[str, Any]:
        """Return all set values by name."""
        found = dict(record._items())
        for extension in self.extensions:
            fields = extension_fields(extension)
            found |= {fields[n].column: v for n, v in record[extension]._items()}
        return found

    def check(self, record: Any, row: int | None = None, names: Collection[str] | None = None) -> list[Detail]:
        """Return all that is wrong with a record's fields (or the *names* among them)."""
        wrong: list[Detail] = []
        for name, field in self.fields.items():
            if field.system or (names is not None and name not in names):
                continue
            value = self.get(record, name)
            if value == "" and field.required:
                value = None
            wrong += problems(self.facts.name, field, value, row)
        return wrong

    def normalise(self, record: Any, region: str, row: int | None = None, names: Collection[str] | None = None) -> list[Detail]:
        """Bring the items of embedded lists to their normal form, in place; return what cannot be."""
        wrong: list[Detail] = []
        for name in self._lists if names is None else [n for n in self._lists if n in names]:
            try:
                self.set(record, name, normalise_values(self.get(record, name), region))
            except Invalid as e:
                wrong += [attrs.evolve(d, entity=self.facts.name, field=f"{name}{d.field}", row=row) for d in e.details]
        return wrong

    def copy(self, record: Any) -> Any:
        """Return an independent record with the same values (JSON is copied in depth, since hooks may change it in place)."""
        new = object.__new__(self.entity)
        new._origin, new._ext, new._related = record._origin, None, record._related
        for name, value in record._items():
            setattr(new, name, deepcopy(value) if name in self._json else list(value) if type(value) is list else value)
        for extension in self.extensions:
            part = object.__new__(extension)
            part._origin = record._origin
            for name, value in record[extension]._items():
                setattr(part, name, value)
            new._ext = {**(new._ext or {}), extension: part}
        return new

    def plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Turn values by name into plain JSON."""
        return {n: plain(self.fields[n], v) for n, v in values.items()}

    # -- rows ---------------------------------------------------------------------------------------------------------------------

    def _namespace(self) -> dict[str, Any]:
        return {
            "scale": _scale, "instant": _instant, "items": _items, "dumps": json.dumps, "loads": json.loads, "Decimal": Decimal,
            "date": date, "datetime": datetime, "Ref": Ref, "Money": Money, "entity": self.entity,
        }  # fmt: skip

    def _compile_to_row(self) -> Callable[[Any], tuple[Any, ...]]:
        rules = _TO_SQLITE if self.dialect == "sqlite" else _TO_POSTGRESQL
        space = self._namespace()
        lines, parts = [], []
        for n, e in enumerate(self.extensions):
            space[f"x{n}"] = e
            lines.append(f"  e{n} = r[x{n}]")
        for i, field in enumerate(self.fields.values()):
            source = "r" if field.extension is None else f"e{self.extensions.index(field.extension)}"
            value, optional = f"v{i}", field.nullable or field.name == "deleted_at"
            lines.append(f"  {value} = {source}.{field.name}")
            inner = f"{value}.amount" if field.kind == "money" else value
            rule = rules.get("decimal" if field.kind == "money" else field.kind, "{v}").format(v=inner, s=field.options.scale)
            parts.append(f"None if {value} is None else {rule}" if optional and rule != value else rule)
            if field.kind == "money":
                parts.append(f"None if {value} is None else {value}.currency" if optional else f"{value}.currency")
        exec("def to_row(r):\n" + "\n".join(lines) + f"\n  return ({', '.join(parts)},)", space)  # our own source
        found: Callable[[Any], tuple[Any, ...]] = space["to_row"]
        return found

    def loader(self, names: frozenset[str], *, raw: bool) -> tuple[tuple[str, ...], Loader]:
        """Return the columns to select for *names*, and the function that makes a record of such a row.

        Fields outside *names* stay unset slots. *raw* rows come straight from the SQLite driver.
        """
        key = (names, raw)
        found = self._loaders.get(key)
        if found is None:
            found = self._loaders[key] = self._compile_loader(names, raw)
        return found

    def _compile_loader(self, names: frozenset[str], raw: bool) -> tuple[tuple[str, ...], Loader]:
        space = self._namespace() | {"new": self.entity.__new__}
        columns: list[str] = []
        lines = ["  r = new(entity)", "  r._origin = row", "  r._related = None"]
        parts: dict[int, str] = {}
        for n, e in enumerate(self.extensions):
            space[f"x{n}"] = e
            parts[n] = f"e{n}"
            lines += [f"  e{n} = x{n}.__new__(x{n})", f"  e{n}._origin = row"]
        chosen = [(n, f) for n, f in self.fields.items() if n in names]
        for i, (_, field) in enumerate(chosen):
            space[f"t{i}"] = field.target or field.type
            at = len(columns)
            columns += field.columns
            expression = self._load_expression(field, at, raw).replace("{t}", f"t{i}")
            if field.nullable or field.name == "deleted_at":
                expression = f"None if row[{at}] is None else {expression}"
            target = "r" if field.extension is None else f"e{self.extensions.index(field.extension)}"
            lines.append(f"  {target}.{field.name} = {expression}")
        extension_dict = ", ".join(f"x{n}: {p}" for n, p in parts.items())
        lines.append(f"  r._ext = {{{extension_dict}}}" if parts else "  r._ext = None")
        exec("def load(row):\n" + "\n".join(lines) + "\n  return r", space)  # our own source
        return tuple(columns), space["load"]

    def _load_expression(self, field: FieldSpec, at: int, raw: bool) -> str:
        value = f"row[{at}]"
        if field.kind == "money":
            amount = _FROM_SQLITE["decimal"].format(v=value, s=field.options.scale) if raw else value
            return f"Money({amount}, row[{at + 1}])"
        if not raw:
            return value
        return _FROM_SQLITE.get(field.kind, "{v}").replace("{v}", value).replace("{s}", str(field.options.scale))
