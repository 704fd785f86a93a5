"""A Django model as a table of SQLAlchemy's: ``Adopted(Customer, {"name": "company_name"})``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from django.conf import settings
from django.db.models.base import ModelBase
from django.utils import timezone
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    FetchedValue,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    Uuid,
)
from sqlalchemy.types import TypeEngine, UserDefinedType

from ...errors import LoadError
from ...storage.adopted import table_of

# By what Django calls the kind of a column; one that is not here cannot be mapped.
TYPES: Mapping[str, Callable[[Any], TypeEngine[Any]]] = {
    **dict.fromkeys(("AutoField", "IntegerField", "PositiveIntegerField"), lambda _: Integer()),
    **dict.fromkeys(("BigAutoField", "BigIntegerField", "PositiveBigIntegerField"), lambda _: BigInteger()),
    **dict.fromkeys(("SmallAutoField", "SmallIntegerField", "PositiveSmallIntegerField"), lambda _: SmallInteger()),
    **dict.fromkeys(("CharField", "FileField", "FilePathField", "SlugField"), lambda field: String(field.max_length)),
    "BinaryField": lambda _: LargeBinary(),
    "BooleanField": lambda _: Boolean(),
    "DateField": lambda _: Date(),
    "DateTimeField": lambda _: DateTime(timezone=True),
    "DecimalField": lambda field: Numeric(field.max_digits, field.decimal_places),
    "FloatField": lambda _: Float(),
    "JSONField": lambda _: JSON(),
    "TextField": lambda _: Text(),
    "TimeField": lambda _: Time(),
    "UUIDField": lambda _: Uuid(),
}
# What auto_now and auto_now_add write.
NOW: Mapping[str, Callable[[], Any]] = {
    "DateField": lambda: timezone.localdate() if settings.USE_TZ else timezone.now().date(),
    "DateTimeField": timezone.now,
    "TimeField": lambda: timezone.now().time(),
}


class _Other(UserDefinedType[Any]):
    """A kind of column that no field of ours is; its values pass as they are."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


@table_of.register(ModelBase)
def table_of_model(model: Any) -> Table:
    """Return the table of a model, of a proxy the one that it stands for; of the tables of a model with parents, its own.

    Raises:
        LoadError: ``adopted_no_table``: the model is abstract.
    """
    if getattr(model, "_meta", None) is None or model._meta.abstract:
        raise LoadError("adopted_no_table", given=repr(model)[:60])
    options = model._meta.concrete_model._meta
    keys, metadata = set(options.pk_fields), MetaData()
    for field in filter(_points, options.local_concrete_fields):
        to = field.target_field
        if to.model._meta.db_table != options.db_table:  # of what it points at, the key alone
            Table(to.model._meta.db_table, metadata, Column(to.column, _type(to), primary_key=True), extend_existing=True)
    return Table(options.db_table, metadata, *(_column(field, primary_key=field in keys) for field in options.local_concrete_fields))


def _points(field: Any) -> bool:
    return bool(field.is_relation and field.db_constraint)


def _column(field: Any, *, primary_key: bool) -> Column[Any]:
    given = getattr(field, "has_db_default", bool)() or field.generated
    return Column(
        field.column,
        _type(field),
        *([ForeignKey(f"{field.target_field.model._meta.db_table}.{field.target_field.column}")] if _points(field) else ()),
        primary_key=primary_key,
        nullable=field.null,
        default=None if primary_key or given else _default(field),
        server_default=FetchedValue() if given else None,
    )


def _type(field: Any) -> TypeEngine[Any]:
    while field.is_relation:
        field = field.target_field
    kind = field.get_internal_type()
    return TYPES[kind](field) if kind in TYPES else _Other(kind)


def _default(field: Any) -> Callable[[], Any] | None:
    """Return what makes the value that a new instance would have where its form is left empty."""
    if field.has_default():
        return lambda: _plain(field.get_default())
    if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
        return NOW[field.get_internal_type()]
    return (lambda: "") if field.blank and field.empty_strings_allowed and not field.null else None


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
