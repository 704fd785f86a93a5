"""The functions of one entity, written out as source and compiled once.

A record then costs a handful of attribute reads instead of a loop over its fields. What a function does is said by a table of
expressions, one for each kind of field; in them ``{v}`` is the value and ``{i}`` the field's number, by which its facts are named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import attrs

from .fields import FieldSpec, Ref
from .formats import FORMATS
from .money import WIDE, Money
from .sealing import OPENED, Unseal
from .validate import MAX_INTEGER, decimal_problem, digits, encodable, is_id, is_sound, one_line

_TO_SQLITE = {
    "decimal": "scaled({v}, {s})",
    "money": "scaled({v}.amount, {s})",
    "date": "{v}.isoformat()",
    "datetime": "instant({v})",
    "enum": "{v}.value",
    "json": "dumps({v})",
    "ref": "{v}.id",
    "list": "(dumps(items({v})) if {v} else '[]')",
}
_TO_POSTGRESQL = {
    "money": "{v}.amount",
    "enum": "{v}.value",
    "json": "dumps({v})",
    "ref": "{v}.id",
    "list": "(dumps(items({v})) if {v} else '[]')",
}
# Of what the driver gives; {c} is an amount's currency.
_FROM_SQLITE = {
    "decimal": "Decimal({v}).scaleb(-{s}, WIDE)",
    "money": "Money(Decimal({v}).scaleb(-{s}, WIDE), {c})",
    "bool": "{v} != 0",
    "date": "date.fromisoformat({v})",
    "datetime": "datetime.fromisoformat({v})",
    "enum": "t{i}({v})",
    "json": "loads({v})",
    "ref": "Ref(t{i}, {v})",
    "list": "[t{i}(**item) for item in loads({v})]",
}
_FROM_POSTGRESQL = {
    "id": "str({v})",
    "money": "Money({v}, {c})",
    "datetime": "{v}.astimezone(UTC)",
    "enum": "t{i}({v})",
    "ref": "Ref(t{i}, str({v}))",
    "list": "[t{i}(**item) for item in {v}]",
}
# The same as validate.plain, for values that are not None.
_PLAIN = {
    "money": '{{"amount": digits({v}.amount), "currency": {v}.currency}}',
    "decimal": "digits({v})",
    "date": "{v}.isoformat()",
    "datetime": "instant({v})",
    "enum": "{v}.value",
    "ref": "{v}.id",
    "list": "items({v})",
}
_COPY = {"json": "deepcopy({v})", "list": "list({v})"}
# True only of what validate.problems has nothing against; it is asked about all the rest.
_TEXT = 'type({v}) is str and len({v}) <= {longest} and "\\0" not in {v} and ({v}.isascii() or encodable({v}))'
_SOUND = {
    "str": "type({v}) is str and len({v}) <= {longest} and ({v}.isprintable() or one_line({v}))",
    "text": _TEXT,
    "int": "type({v}) is int and -{largest} <= {v} <= {largest}",
    "decimal": "type({v}) is Decimal and decimal_problem({v}, {s}) is None",
    "money": "type({v}) is Money and decimal_problem({v}.amount, {s}) is None",
    "bool": "type({v}) is bool",
    "date": "type({v}) is date",
    "datetime": "type({v}) is datetime and {v}.tzinfo is UTC and 1 < {v}.year < 9999",
    "enum": "type({v}) is t{i}",
    "ref": "type({v}) is Ref and {v}.entity is t{i} and is_id({v}.id)",
    "json": "is_sound(f{i}, {v})",
    "list": "type({v}) is list and (not {v} or is_sound(f{i}, {v}))",
}


def instant(value: datetime) -> str:
    """Write an instant in UTC with microseconds, as wide as any other."""
    return (value if value.tzinfo is UTC else value.astimezone(UTC)).isoformat(timespec="microseconds")


def scaled(value: Decimal | int, scale: int) -> int:
    """Turn 12.5 into 12500000 (scale 6); the value was validated. The thread's own decimal context may be too narrow for it."""
    return int(Decimal(value).scaleb(scale, WIDE))


def items(value: Iterable[Any]) -> list[dict[str, Any]]:
    """Turn an embedded list into plain JSON."""
    return [attrs.asdict(v) for v in value]


class Generator:
    """Writes and compiles the functions of one entity with its extensions.

    Args:
        entity: the class of the records.
        extensions: those of the CRM.
        fields: of both, by their names in the CRM.
        dialect: ``sqlite`` or ``postgresql``.
        unseal: opens the cell of a sealed field, given its kind.
    """

    def __init__(
        self,
        entity: type[Any],
        extensions: Sequence[type[Any]],
        fields: Mapping[str, FieldSpec],
        dialect: str,
        unseal: Unseal | None = None,
    ) -> None:
        self._extensions = tuple(extensions)
        self._fields = tuple(fields.items())
        self._sqlite = dialect == "sqlite"
        self._space: dict[str, Any] = {
            "UTC": UTC, "WIDE": WIDE, "Decimal": Decimal, "Money": Money, "Ref": Ref, "date": date, "datetime": datetime,
            "dumps": json.dumps, "loads": json.loads, "instant": instant, "scaled": scaled, "items": items,
            "deepcopy": deepcopy, "digits": digits, "encodable": encodable,
            "decimal_problem": decimal_problem, "is_id": is_id, "is_sound": is_sound, "one_line": one_line,
            "entity": entity, "new": object.__new__, "unseal": unseal,
        }  # fmt: skip
        for i, (_, field) in enumerate(self._fields):
            self._space |= {f"f{i}": field, f"t{i}": field.target or field.type, f"lo{i}": field.options.min, f"hi{i}": field.options.max}
            self._space[f"fm{i}"] = FORMATS.get(field.options.format)
            self._space[f"d{i}"] = field.options.factory or field.options.default
        for n, extension in enumerate(self._extensions):
            self._space[f"x{n}"] = extension

    def _compile(self, name: str, lines: Iterable[str]) -> Callable[[Any], Any]:
        made: dict[str, Any] = {}
        exec(f"def {name}(r):\n" + "\n".join(f"  {line}" for line in lines), self._space, made)  # our own source
        return made[name]  # type: ignore[no-any-return]  # a dict of anything

    def _parts(self) -> list[str]:
        """Lines that fetch the extensions' parts of a record."""
        return [f"e{n} = r[x{n}]" for n in range(len(self._extensions))]

    def _at(self, field: FieldSpec, record: str = "r", part: str = "e") -> str:
        """Where a field's value is."""
        return f"{record}.{field.name}" if field.extension is None else f"{part}{self._extensions.index(field.extension)}.{field.name}"

    def to_row(self) -> Callable[[Any], tuple[Any, ...]]:
        """Return the function that makes a driver's row of a whole record."""
        rules = _TO_SQLITE if self._sqlite else _TO_POSTGRESQL
        lines, cells = self._parts(), []
        for i, (_, field) in enumerate(self._fields):
            lines.append(f"v{i} = {self._at(field)}")
            if field.options.sealed:  # the text to seal: the writer has the keys
                plain = _PLAIN.get(field.kind, "{v}").format(v=f"v{i}")
                written = [plain if field.kind in ("str", "text") else f"dumps({plain})"]
            else:
                written = [rules.get(field.kind, "{v}").format(v=f"v{i}", s=field.options.scale)]
            if field.kind == "money":
                written.append(f"v{i}.currency")
            cells += [f"None if v{i} is None else {w}" if _optional(field) and w != f"v{i}" else w for w in written]
        return self._compile("to_row", [*lines, f"return ({', '.join(cells)},)"])

    def loader(self, names: frozenset[str]) -> tuple[tuple[str, ...], Callable[[Sequence[Any]], Any]]:
        """Return the columns to select for *names*, and the function that makes a record of a driver's row of them.

        Fields outside *names* stay unset slots.
        """
        rules = _FROM_SQLITE if self._sqlite else _FROM_POSTGRESQL
        columns: list[str] = []
        lines = ["n = new(entity)", "n._origin = True", "n._related = n._custom = None"]
        lines += [f"p{e} = new(x{e}); p{e}._origin = True" for e in range(len(self._extensions))]
        for i, (name, field) in enumerate(self._fields):
            if name not in names:
                continue
            value = f"r[{len(columns)}]"
            if field.options.sealed:  # None also where the key was destroyed
                read = f"None if (o := unseal({value}, {field.kind!r})) is None else {OPENED[field.kind].format(o='o', i=i)}"
            else:
                read = rules.get(field.kind, "{v}").format(v=value, c=f"r[{len(columns) + 1}]", s=field.options.scale, i=i)
            columns += field.columns
            if _optional(field) and read != value and not field.options.sealed:
                read = f"None if {value} is None else {read}"
            lines.append(f"{self._at(field, 'n', 'p')} = {read}")
        parts = ", ".join(f"x{e}: p{e}" for e in range(len(self._extensions)))
        return tuple(columns), self._compile("load", [*lines, f"n._ext = {{{parts}}}" if parts else "n._ext = None", "return n"])

    def copy(self) -> Callable[[Any], Any]:
        """Return the function that makes an independent record with the same values (JSON in depth, since hooks may change it)."""
        lines = ["n = new(entity)", "n._origin = r._origin", "n._related = r._related", *self._parts()]
        lines.append("n._custom = None if r._custom is None else type(r._custom)(r._custom)")
        lines += [f"p{e} = new(x{e}); p{e}._origin = r._origin" for e in range(len(self._extensions))]
        for _, field in self._fields:
            value = self._at(field)
            lines.append(f"{self._at(field, 'n', 'p')} = {_COPY.get(field.kind, '{v}').format(v=value)}")
        parts = ", ".join(f"x{e}: p{e}" for e in range(len(self._extensions)))
        return self._compile("copy", [*lines, f"n._ext = {{{parts}}}" if parts else "n._ext = None", "return n"])

    def values(self) -> Callable[[Any], dict[str, Any]]:
        """Return the function that gives a whole record's values by name."""
        pairs = ", ".join(f"{name!r}: {self._at(field)}" for name, field in self._fields)
        return self._compile("values", [*self._parts(), f"return {{{pairs}}}"])

    def journalled(self) -> Callable[[Any], tuple[dict[str, Any], dict[str, Any]]]:
        """Return the function that gives the plain values the journal keeps, the personal ones apart; without None and empty lists."""
        lines = [*self._parts(), "public, personal = {}, {}"]
        for name, field in self._fields:
            if field.system:
                continue
            known = {"json": "v is not None and v != []", "list": "v"}.get(field.kind, "v is not None")
            target = "personal" if field.apart else "public"
            lines += [f"v = {self._at(field)}", f"if {known}: {target}[{name!r}] = {_PLAIN.get(field.kind, '{v}').format(v='v')}"]
        return self._compile("journalled", [*lines, "return public, personal"])

    def sound(self) -> Callable[[Any], bool]:
        """Return the function that is True where nothing can be wrong with a record's values, at the cost of a glance at each."""
        lines = self._parts()
        for i, (_, field) in enumerate(self._fields):
            if field.system:
                continue
            test = _SOUND[field.kind].format(v="v", i=i, s=field.options.scale, longest=field.length or 255, largest=MAX_INTEGER)
            amount = "v.amount" if field.kind == "money" else "v"
            test += f" and {amount} >= lo{i}" if field.options.min is not None else ""
            test += f" and {amount} <= hi{i}" if field.options.max is not None else ""
            test += f" and fm{i}(v)" if field.options.format else ""
            test += " and v" if field.required and field.kind in ("str", "text") else ""
            lines += [f"v = {self._at(field)}", f"if not ({'v is None or ' if field.nullable else ''}{test}): return False"]
        return self._compile("sound", [*lines, "return True"])

    def given(self) -> Callable[[Any], int]:
        """Return the function that tells which fields differ from their defaults, one bit each, in the order of the fields."""
        lines = [*self._parts(), "bits = 0"]
        for i, (_, field) in enumerate(self._fields):
            if field.system:
                continue
            default = f"d{i}()" if field.options.factory else f"d{i}"
            differs = "is not None" if field.options.default is None else f"!= {default}"
            lines.append(f"bits |= {1 << i}" if field.required else f"if {self._at(field)} {differs}: bits |= {1 << i}")
        return self._compile("given", [*lines, "return bits"])


def _optional(field: FieldSpec) -> bool:
    return field.nullable or field.name == "deleted_at"
