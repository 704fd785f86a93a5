"""Custom fields: what a tenant's administrator adds to an entity while the application runs, and the values that a record has in them.

A custom field is a :class:`FieldSpec` like any other, but for where its values are: not in a column of the entity's table but in rows of
one table of the core, as a text or as a whole number, which compare and sort there as the values do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import attrs

from ..errors import Detail, Invalid
from ..messages import redact
from .custom_kind import PREFIX, CustomKind
from .fields import FieldSpec, Kind, Ref
from .meta import spec
from .money import WIDE, Money
from .validate import Problem, problems, structure

LONGEST_TEXT = 500  # so that a value, its field and its record fit PostgreSQL's index
Raw = str | int
_EMAIL = re.compile(r"[^\s@()<>\[\],;:\\\"]{1,64}@[^\s@()<>\[\],;:\\\"]{1,253}\Z")
_URL = re.compile(r"https?://[^\s<>\"]+\Z")


KINDS: Mapping[CustomKind, tuple[Kind, type[Any]]] = {
    CustomKind.TEXT: ("str", str),
    CustomKind.INTEGER: ("int", int),
    CustomKind.DECIMAL: ("decimal", Decimal),
    CustomKind.BOOLEAN: ("bool", bool),
    CustomKind.DATE: ("date", date),
    CustomKind.INSTANT: ("datetime", datetime),
    CustomKind.CHOICE: ("str", str),
    CustomKind.MONEY: ("money", Money),
    CustomKind.REFERENCE: ("ref", Ref),
    CustomKind.URL: ("str", str),
    CustomKind.EMAIL: ("str", str),
}
NUMBERS = frozenset({"int", "decimal", "money", "bool"})


@attrs.frozen(eq=False, kw_only=True)
class CustomSpec(FieldSpec):
    """A custom field as its tenant defined it.

    Attributes:
        id: of its definition; its values are found by it.
        short: its own name; ``name`` is ``custom.<short>``.
        said: of which type.
        must: new records need a value.
        choices: by value, what each is called by locale.
        words: what the field is called, by locale.
        pattern: what a text must match as a whole.
        currency: of its amounts.
        readers, writers: the names of the roles that may read (write) it; all where empty.
    """

    id: str
    short: str
    said: CustomKind
    must: bool = False
    choices: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict)
    words: Mapping[str, str] = attrs.field(factory=dict)
    pattern: re.Pattern[str] | None = None
    currency: str = ""
    readers: frozenset[str] = frozenset()
    writers: frozenset[str] = frozenset()

    @property
    def required(self) -> bool:
        return self.must

    @property
    def columns(self) -> tuple[str, ...]:
        """None: its values are not in the entity's table."""
        return ()

    @property
    def form(self) -> str:
        """How its values are kept, so that a statement of one tenant finds none of another's field of the same name and other form."""
        match self.kind:
            case "decimal":
                return f"decimal.{self.options.scale}"
            case "money":
                return f"money.{self.currency}.{self.options.scale}"
            case "ref" if self.target is not None:
                return f"ref.{spec(self.target).name}"
        return self.kind

    @property
    def is_number(self) -> bool:
        """Whether its values are kept as whole numbers; else as text."""
        return self.kind in NUMBERS

    def to_raw(self, value: Any) -> Raw:
        """Write a value, which is not None, as it is kept."""
        match self.kind:
            case "decimal":
                return int(Decimal(value).scaleb(self.options.scale, WIDE))
            case "money":
                return int(value.amount.scaleb(self.options.scale, WIDE))
            case "bool" | "int":
                return int(value)
            case "date":
                return str(value.isoformat())
            case "datetime":
                return str(value.astimezone(UTC).isoformat(timespec="microseconds"))
            case "ref":
                return str(value.id if isinstance(value, Ref) else value)
        return str(value)

    def from_raw(self, raw: Any) -> Any:
        """Read a value as it was kept."""
        match self.kind:
            case "decimal":
                return Decimal(int(raw)).scaleb(-self.options.scale, WIDE)
            case "money":
                return Money(Decimal(int(raw)).scaleb(-self.options.scale, WIDE), self.currency)
            case "bool":
                return bool(raw)
            case "int":
                return int(raw)
            case "date":
                return date.fromisoformat(raw)
            case "datetime":
                return datetime.fromisoformat(raw).astimezone(UTC)
            case "ref":
                return Ref(self.target, raw) if self.target is not None else raw
        return raw

    def read(self, entity: str, value: Any) -> Any:
        """Turn plain JSON into the field's type; what cannot be read stays for :meth:`problems` to judge."""
        return structure(entity, self, value)

    def problems(self, entity: str, value: Any, row: int | None = None) -> Iterator[Detail]:
        """Say all that is wrong with a value."""
        if value is None:
            if self.must:
                yield Detail(entity, self.name, "required", "", {}, row)
            return
        wrong = list(problems(entity, self, value, row))
        yield from wrong
        if not wrong:
            for code, params in self._rules(value):
                yield Detail(entity, self.name, code, redact(value), params, row)

    def foreign(self, value: Any) -> Iterator[Problem]:
        """Say that an amount is in another currency: it is neither kept nor compared."""
        if isinstance(value, Money) and value.currency != self.currency:
            yield "custom_currency", {"currency": self.currency, "given": value.currency}

    def _rules(self, value: Any) -> Iterator[Problem]:
        if self.said is CustomKind.CHOICE and value not in self.choices:
            yield "bad_enum", {"allowed": ", ".join(self.choices)}
        elif self.said is CustomKind.MONEY:
            yield from self.foreign(value)
        elif self.said is CustomKind.EMAIL and not _EMAIL.match(value):
            yield "bad_email", {}
        elif self.said is CustomKind.URL and not _URL.match(value):
            yield "bad_url", {}
        elif self.pattern is not None and not self.pattern.fullmatch(value):
            yield "pattern_mismatch", {"pattern": self.pattern.pattern}


class CustomValues(dict[str, Any]):
    """The values of a record's custom fields by their names. One that is not there, for this actor, is unknown.

    Raises:
        Invalid: ``unknown_field``, from a look at what is neither given nor readable.
    """

    def __missing__(self, name: object) -> Any:
        raise Invalid("unknown_field", field=f"{PREFIX}{name}"[:60])
