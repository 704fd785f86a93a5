"""What a field is: the annotations a class is written with, and the facts read from them."""

from __future__ import annotations

import enum
import re
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Union, cast, get_args, get_origin, overload

import attrs

from ..classes import frozen
from ..errors import LoadError

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from .columns import ListColumn, MoneyColumn
    from .money import Money

T = TypeVar("T")
OnDelete = Literal["protect", "set_null", "cascade"]
Format = Literal["", "currency", "zone"]
Classification = Literal["public", "internal", "personal", "sensitive", "secret"]
CLASSIFICATIONS: tuple[Classification, ...] = ("public", "internal", "personal", "sensitive", "secret")
NOTHING: Any = attrs.NOTHING


@frozen
class Ref(Generic[T]):
    """A typed pointer to a record: its entity and its id. It holds no data, so it can be kept, sent and compared."""

    entity: type[T]
    id: str

    def __repr__(self) -> str:
        return f"Ref({self.entity.__name__}, {self.id!r})"


class Field(Generic[T]):
    """The annotation of a field: a column where the class is asked, a plain value where a record is."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, obj: None, owner: Any) -> ColumnElement[T]: ...
        @overload
        def __get__(self, obj: object, owner: Any) -> T: ...
        def __get__(self, obj: object | None, owner: Any) -> Any: ...
        def __set__(self, obj: Any, value: T) -> None: ...


class MoneyField:
    """The annotation of an amount with its currency; at class level it sums, converts and compares within one currency."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, obj: None, owner: Any) -> MoneyColumn: ...
        @overload
        def __get__(self, obj: object, owner: Any) -> Money: ...
        def __get__(self, obj: object | None, owner: Any) -> Any: ...
        def __set__(self, obj: Any, value: Money) -> None: ...


class OptionalMoneyField:
    """A :class:`MoneyField` that may be None."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, obj: None, owner: Any) -> MoneyColumn: ...
        @overload
        def __get__(self, obj: object, owner: Any) -> Money | None: ...
        def __get__(self, obj: object | None, owner: Any) -> Any: ...
        def __set__(self, obj: Any, value: Money | None) -> None: ...


class ListField(Generic[T]):
    """The annotation of an embedded list (e-mails, phones, addresses): at most one primary, enforced by the database."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, obj: None, owner: Any) -> ListColumn: ...
        @overload
        def __get__(self, obj: object, owner: Any) -> list[T]: ...
        def __get__(self, obj: object | None, owner: Any) -> Any: ...
        def __set__(self, obj: Any, value: Sequence[T]) -> None: ...


@frozen(eq=False, repr=False)
class FieldOptions:
    """What ``field(...)`` was given."""

    default: Any = NOTHING
    factory: Callable[[], Any] | None = None
    init: bool = True
    label: str = ""
    length: int | None = None
    text: bool = False
    format: Format = ""
    scale: int = 6
    min: Any = None
    max: Any = None
    unique: bool = False
    index: bool = False
    on_delete: OnDelete = "protect"
    sealed: bool = False
    searchable: bool = False
    pii: bool = False
    sensitive: bool = False
    read_only: bool = False
    tree: bool = False
    classified: Classification = "internal"
    classification_said: bool = False


def field(
    *,
    default: Any = NOTHING,
    factory: Callable[[], Any] | None = None,
    init: bool = True,
    label: str = "",
    length: int | None = None,
    text: bool = False,
    format: Format = "",
    scale: int = 6,
    min: Any = None,
    max: Any = None,
    unique: bool = False,
    index: bool = False,
    on_delete: OnDelete = "protect",
    sealed: bool = False,
    searchable: bool = False,
    pii: bool = False,
    sensitive: bool = False,
    read_only: bool = False,
    tree: bool = False,
    classified: Classification | None = None,
) -> Any:
    """Say more about a field than its type does.

    Args:
        default: value of a new record where none is given; without one (and without ``factory``) the field is required.
        factory: called for each new record's default.
        init: whether the constructor takes it.
        label: what people call it; a catalogue may translate it under ``<entity>.<field>``.
        length: most characters of a ``str`` (255 where not said).
        text: a ``str`` of up to 1,000,000 characters.
        format: what a ``str`` must be: a ``currency`` of ISO 4217, or a time ``zone`` of the IANA database.
        scale: digits after the point of a Decimal, kept exactly.
        min, max: inclusive bounds of numbers and dates; of a MoneyField numbers too, whatever the currency.
        unique: no two living records of a tenant share the value; None may repeat.
        index: an index on (tenant, field).
        on_delete: what the deletion of the record a ``Ref`` points at does: ``protect`` refuses it, ``set_null``, ``cascade``.
        sealed: encrypted in the database and the journal; it needs a CRM with ``keys=``. It cannot be sorted, grouped or ranged over.
        searchable: a sealed field's records are found by ``==`` and ``in_`` of its whole value; ``unique`` needs it.
        pii: short for ``classified="personal"``.
        sensitive: short for ``classified="sensitive"``.
        read_only: set by hooks, actions, elevated code, jobs and data migrations of its plugin, and by a system actor; anybody else
            is refused (Invalid, ``read_only_field``).
        tree: a ``Ref`` to the own entity that leads upwards, so that no record may stand above itself.
        classified: how it is to be treated. ``public`` and ``internal``: about nobody. ``personal``: the journal keeps it apart, and
            encrypts it where the CRM has keys; it goes out to whom it is about, and is emptied when they are erased. ``sensitive``: as
            personal; who reads it is journalled (``core.read.v1``), and ``repr`` masks it. ``secret``: as sensitive, and in no
            export of a person. Where not said, ``internal``.
    """
    if default is not NOTHING and factory is not None:
        raise LoadError("field_default_twice")
    said = classified is not None or pii or sensitive or sealed
    classified = _classified(classified, pii or sealed, sensitive)
    level = CLASSIFICATIONS.index(classified)
    return FieldOptions(
        default=default,
        factory=factory,
        init=init,
        label=label,
        length=length,
        text=text,
        format=format,
        scale=scale,
        min=min,
        max=max,
        unique=unique,
        index=index,
        on_delete=on_delete,
        sealed=sealed,
        searchable=searchable,
        pii=pii or level >= CLASSIFICATIONS.index("personal"),
        sensitive=sensitive or level >= CLASSIFICATIONS.index("sensitive"),
        read_only=read_only,
        tree=tree,
        classified=classified,
        classification_said=said,
    )


def _classified(said: Classification | None, pii: bool, sensitive: bool) -> Classification:
    """Return one word for what was said in one or in two.

    Raises:
        LoadError: ``bad_classification``: there is no such word, or it says less than the others.
    """
    least: Classification = "sensitive" if sensitive else "personal" if pii else "internal"
    if said is None:
        return least
    if said not in CLASSIFICATIONS or (least != "internal" and CLASSIFICATIONS.index(said) < CLASSIFICATIONS.index(least)):
        raise LoadError("bad_classification", given=str(said)[:60], allowed=list(CLASSIFICATIONS))
    return said


MAX_TEXT = 1_000_000
Kind = Literal["id", "str", "text", "int", "decimal", "money", "bool", "date", "datetime", "enum", "json", "ref", "list"]
_PLAIN: Mapping[Any, Kind] = {str: "str", int: "int", Decimal: "decimal", bool: "bool", date: "date", datetime: "datetime"}


@frozen(eq=False)
class FieldSpec:
    """All that is known of one field, read once from its annotation and options.

    ``column`` is its (first) column's name: the field's own, or ``<plugin>_<field>`` for an extension's.
    """

    name: str
    kind: Kind
    type: Any
    nullable: bool
    options: FieldOptions
    column: str
    system: bool = False
    _target: Callable[[], type[Any]] | None = None
    extension: type[Any] | None = None

    @property
    def target(self) -> type[Any] | None:
        """The entity a ``ref`` points at."""
        return self._target() if self._target else None

    @property
    def required(self) -> bool:
        return self.options.default is NOTHING and self.options.factory is None and not self.system

    @property
    def length(self) -> int | None:
        if self.kind == "text":
            return self.options.length or MAX_TEXT
        return (self.options.length or 255) if self.kind == "str" else None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the physical columns, in order."""
        return (self.column, f"{self.column}_currency") if self.kind == "money" else (self.column,)

    @property
    def blind_column(self) -> str | None:
        """The physical column that a sealed field is found by; no statement can name it."""
        return f"{self.column}_blind" if self.options.sealed and self.options.searchable else None

    @property
    def stored(self) -> tuple[str, ...]:
        """Names of the physical columns that are written: its own, and its blind index."""
        return self.columns if self.blind_column is None else (*self.columns, self.blind_column)

    @property
    def apart(self) -> bool:
        """Whether the journal keeps its values apart, with what is personal."""
        return self.options.pii or self.options.sealed


def read_field(owner: type[Any], name: str, hint: Any, options: FieldOptions, *, column: str = "", system: bool = False) -> FieldSpec:
    """Turn an annotation into a :class:`FieldSpec`.

    Raises:
        LoadError: ``bad_annotation``: it is not one of the known field types; ``field_bounds``.
    """
    column = column or name
    extension = owner if column != name else None

    def spec(kind: Kind, type_: Any, nullable: bool, target: Callable[[], type[Any]] | None = None) -> FieldSpec:
        _check_bounds(owner, name, kind, options)
        return FieldSpec(name, kind, type_, nullable, options, column, system, target, extension)

    from .money import Money

    if hint is MoneyField or hint is OptionalMoneyField:
        return spec("money", Money, hint is OptionalMoneyField)
    origin, args = get_origin(hint), get_args(hint)
    if origin is ListField:
        return spec("list", args[0], False)
    if origin is not Field:
        raise bad_annotation(owner, name, hint)
    inner, nullable = _strip_none(args[0])
    if name == "id" and system:
        return spec("id", str, False)
    if inner in _PLAIN:
        kind = _PLAIN[inner]
        return spec("text" if kind == "str" and options.text else kind, inner, nullable)
    if inner is Any or get_origin(inner) in (dict, list) or inner in (dict, list):
        return spec("json", inner, nullable)
    if isinstance(inner, type) and issubclass(inner, enum.Enum):
        return spec("enum", inner, nullable)
    if get_origin(inner) is Ref:
        (target,) = get_args(inner)
        return spec("ref", Ref, nullable, lambda: _resolve_target(owner, target))
    raise bad_annotation(owner, name, hint)


_MEANT: Mapping[str, str] = {"Field[float]": "Field[Decimal]", "Field[Money]": "MoneyField", "Field[Money | None]": "OptionalMoneyField"}
_BOUNDS: Mapping[Kind, tuple[tuple[type[Any], ...], str]] = {
    "int": ((int,), "int"),
    "decimal": ((int, Decimal), "int or Decimal"),
    "money": ((int, Decimal), "int or Decimal, for every currency"),
    "date": ((date,), "date"),
    "datetime": ((datetime,), "datetime"),
}


def bad_annotation(owner: type[Any], name: str, hint: Any) -> LoadError:
    """Make the error of an annotation that no field can have, with the one that was probably meant."""
    shown = hint.__name__ if isinstance(hint, type) else re.sub(r"\b(crm_core|typing)(\.\w+)*\.", "", str(hint))
    meant = _MEANT.get(shown, f"Field[{shown}]" if hint in _PLAIN else "")
    return LoadError("bad_annotation", entity=owner.__name__, field=name, annotation=shown, suggestion=meant)


def _check_bounds(owner: type[Any], name: str, kind: Kind, options: FieldOptions) -> None:
    """Refuse bounds that no value of the field could be compared with."""
    types, expected = _BOUNDS.get(kind, ((), ""))
    for bound in (options.min, options.max):
        day = isinstance(bound, datetime) and kind == "date"
        if bound is not None and (day or isinstance(bound, bool) or not isinstance(bound, types)):
            raise LoadError(
                "field_bounds", entity=owner.__name__, field=name, kind=kind, given=type(bound).__name__, expected=expected or "none"
            )


def _resolve_target(owner: type[Any], target: Any) -> type[Any]:
    from typing import Self

    return cast("type[Any]", owner if target is Self else target)


def _strip_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [a for a in get_args(hint) if a is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return hint, False
