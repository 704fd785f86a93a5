"""How each kind of field travels to and from the database: one type decorator a kind, the same on SQLite and PostgreSQL.

SQLite has neither exact decimals nor instants, so decimals are scaled integers and instants ISO text of fixed width (which sorts).
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import attrs
from sqlalchemy import JSON, TIMESTAMP, BigInteger, Boolean, Date, Dialect, Numeric, String, Text, TypeDecorator, Uuid
from sqlalchemy.sql import operators
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import CHAR, TypeEngine

from ..errors import Invalid, Refused
from .fields import FieldSpec, Ref, T
from .money import WIDE, Money
from .validate import MAX_INTEGER, is_id


class IdType(TypeDecorator[str]):
    """A record's id: native uuid on PostgreSQL, 36 characters on SQLite."""

    impl = CHAR(36)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Uuid(as_uuid=False) if dialect.name == "postgresql" else CHAR(36))

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        if value is None:
            return None
        text = value.id if isinstance(value, Ref) else value
        if not is_id(text):
            raise Invalid("bad_id", given=text[:60] if isinstance(text, str) else type(text).__name__)
        return cast(str, text)


class RefType(TypeDecorator[Ref[Any]]):
    """A pointer to a record of one entity."""

    impl = CHAR(36)
    cache_ok = True

    def __init__(self, entity: type[Any]) -> None:
        super().__init__()
        self.entity = entity

    load_dialect_impl = IdType.load_dialect_impl
    process_bind_param = IdType.process_bind_param

    def process_result_value(self, value: Any, dialect: Dialect) -> Ref[Any] | None:
        return None if value is None else Ref(self.entity, value)


def instant_text(value: datetime) -> str:
    """Write an instant in the form SQLite keeps: UTC, microseconds, fixed width."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")


class InstantType(TypeDecorator[datetime]):
    """An instant: timestamptz on PostgreSQL, ISO text in UTC on SQLite."""

    impl = String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(TIMESTAMP(timezone=True) if dialect.name == "postgresql" else String(32))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise Invalid("naive_datetime")
        return value if dialect.name == "postgresql" else instant_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return (value if isinstance(value, datetime) else datetime.fromisoformat(value)).astimezone(UTC)


class IntegerType(TypeDecorator[int]):
    """A whole number of 64 bits; its sum is an int too (PostgreSQL adds up bigints as NUMERIC)."""

    impl = BigInteger
    cache_ok = True

    @property
    def python_type(self) -> type[Any]:
        return int

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        return value if value is None or type(value) is int else int(value)


def scaled(value: Decimal, scale: int) -> int:
    """Turn 12.5 into 12500000 (scale 6).

    Raises:
        Invalid: more digits after the point than the scale keeps, or beyond 64 bits. It does not tell the number: a type knows no field,
            and so not whether its values are personal.
    """
    if not value.is_finite():
        raise Invalid("not_finite")
    if value and value.adjusted() > 30:
        raise Invalid("too_big", limit=str(MAX_INTEGER))
    number = value.scaleb(scale, WIDE)
    if number != number.to_integral_value(context=WIDE):
        raise Invalid("too_precise", scale=scale)
    whole = int(number)
    if abs(whole) > MAX_INTEGER:
        raise Invalid("too_big", limit=str(Decimal(MAX_INTEGER).scaleb(-scale, WIDE)))
    return whole


def unscaled(value: int, scale: int) -> Decimal:
    """Turn 12500000 into 12.500000 (scale 6)."""
    return Decimal(value).scaleb(-scale, WIDE)


class DecimalType(TypeDecorator[Decimal]):
    """An exact decimal of declared scale: NUMERIC(38, scale) on PostgreSQL, a scaled integer on SQLite.

    It adds, subtracts, compares, sums and may be multiplied by integers; other arithmetic differs between the databases
    and is refused: do it in Python.
    """

    impl = BigInteger
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[Decimal]):
        def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            if op in (operators.truediv, operators.floordiv, operators.mod):
                raise Refused("decimal_arithmetic", operator=op.__name__)
            if op is operators.mul and not isinstance(other[0], int):
                kind = getattr(getattr(other[0], "type", None), "python_type", None)
                if kind is not int:
                    raise Refused("decimal_arithmetic", operator="mul")
            return super().operate(op, *other, **kwargs)

    comparator_factory = Comparator

    def __init__(self, scale: int = 6) -> None:
        super().__init__()
        self.scale = scale

    @property
    def python_type(self) -> type[Any]:
        return Decimal

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Numeric(38, self.scale) if dialect.name == "postgresql" else BigInteger())

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        return BigInteger() if op is operators.mul else self

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise Invalid("wrong_type", given=type(value).__name__, expected="Decimal")
        whole = scaled(Decimal(value), self.scale)
        return Decimal(value) if dialect.name == "postgresql" else whole

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None:
            return None
        return value if isinstance(value, Decimal) else unscaled(int(value), self.scale)


class MoneyType(TypeDecorator[Money]):
    """An amount and its currency in one column of a result: ``EUR:12000000``; never stored, never sorted."""

    impl = String
    cache_ok = True

    def __init__(self, scale: int = 6) -> None:
        super().__init__()
        self.scale = scale

    def process_result_value(self, value: Any, dialect: Dialect) -> Money | None:
        if value is None:
            return None
        currency, amount = value.split(":")
        number = Decimal(amount) if dialect.name == "postgresql" else unscaled(int(amount), self.scale)
        return Money(number, currency)


class EnumType(TypeDecorator[enum.Enum]):
    """A member of an enum, stored as its value."""

    impl = String(63)
    cache_ok = True

    def __init__(self, members: type[enum.Enum]) -> None:
        super().__init__()
        self.members = members

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String(63, collation="C") if dialect.name == "postgresql" else String(63))

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        if value is None:
            return None
        try:
            return str(self.members(value).value)
        except ValueError:
            raise Invalid("bad_enum", allowed=[str(m.value) for m in self.members]) from None

    def process_result_value(self, value: Any, dialect: Dialect) -> enum.Enum | None:
        return None if value is None else self.members(value)


class JsonType(TypeDecorator[Any]):
    """Plain JSON: JSONB on PostgreSQL, whose dialect is not imported where it is not used."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "postgresql":
            return dialect.type_descriptor(JSON(none_as_null=True))
        from sqlalchemy.dialects.postgresql import JSONB

        return dialect.type_descriptor(JSONB(none_as_null=True))

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> Any:
        return self.impl_instance.coerce_compared_value(op, value)


PLAIN_JSON = JsonType(none_as_null=True)


class ListType(TypeDecorator[list[T]]):
    """An embedded list of values (e-mails, phones, addresses), kept as JSON in the row."""

    impl = JSON
    cache_ok = True
    load_dialect_impl = JsonType.load_dialect_impl

    def __init__(self, item: type[T]) -> None:
        super().__init__()
        self.item = item

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return [attrs.asdict(v) for v in value or ()]

    def process_result_value(self, value: Any, dialect: Dialect) -> list[T]:
        return [self.item(**v) for v in value or ()]


def text_type(length: int | None) -> TypeEngine[str]:
    """Text that compares and sorts by code point on both databases."""
    if length is None:
        return Text().with_variant(Text(collation="C"), "postgresql")
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def type_of(field: FieldSpec) -> TypeEngine[Any]:
    """Return the type of a field's (first) column."""
    match field.kind:
        case "id":
            return IdType()
        case "ref":
            target = field.target
            assert target is not None
            return RefType(target)
        case "str":
            return text_type(field.length)
        case "text":
            return text_type(None)
        case "int":
            return IntegerType()
        case "decimal" | "money":
            return DecimalType(field.options.scale)
        case "bool":
            return Boolean()
        case "date":
            return Date()
        case "datetime":
            return InstantType()
        case "enum":
            return EnumType(field.type)
        case "json":
            return PLAIN_JSON
        case "list":
            return ListType(field.type)
