"""Settings of plugins: attrs classes, read from plain JSON and written back; and the one converter between typed values and JSON.

A class with ``__crm_object__ = True`` stands for itself: the host gives its objects in code, and no JSON makes one.
"""

from __future__ import annotations

import enum
import functools
import re
import types
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args, get_origin

import attrs

from .entities.money import Money, read_decimal
from .errors import CRMError, Detail, Invalid, LoadError
from .messages import closest, redact
from .secrets import Secret

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]
_LISTS = (list, tuple, set, frozenset)
_MISSING = object()


def load(cls: type[T], data: object) -> T:
    """Read settings of *cls*; a key that is not given takes its default.

    Raises:
        Invalid: ``settings_invalid``; ``details`` name every wrong key by its path (``tiers[2].name``), what was given (redacted) and
            what is expected.
        LoadError: ``settings_type``: a field of *cls* is of a type that plain JSON cannot be read into.
    """
    from cattrs import BaseValidationError, StructureHandlerNotFoundError

    converter = _settings_converter()
    try:
        return converter.structure(data, cls)
    except StructureHandlerNotFoundError as error:
        raise LoadError("settings_type", settings=cls.__name__, annotation=str(error.type_)) from error
    except (BaseValidationError, CRMError) as error:
        raise Invalid("settings_invalid", details=list(_details(cls, error, data))) from error


def dump(settings: Any) -> dict[str, Any]:
    """Write settings as plain JSON, such that :func:`load` gives equal ones."""
    return cast(dict[str, Any], _settings_converter().unstructure(settings))


def plain_converter(*, forbid_extra_keys: bool = False) -> Converter:
    """Make a cattrs converter between typed values and plain JSON: exact, and strict about types.

    Decimal is text, Money ``{"amount": "12.00", "currency": "EUR"}``, a Secret ``{"secret": "env:NAME"}``,
    an instant ISO text in UTC, date and time ISO text, an enum its
    value, a set a sorted list. Nothing is guessed: ``"5"`` is no int, ``1`` no bool, ``"abc"`` no list, a float no Decimal, a naive
    datetime no instant. A wrong value raises :class:`Invalid` inside cattrs' error group.
    """
    from cattrs import Converter

    converter = Converter(
        forbid_extra_keys=forbid_extra_keys,
        unstruct_collection_overrides={AbstractSet: sorted, tuple: list},
    )
    for kind in (str, int, bool, float):
        converter.register_structure_hook(kind, functools.partial(_primitive, kind))
    _register_values(converter)
    _register_shapes(converter)
    return converter


@functools.cache
def _settings_converter() -> Converter:
    return plain_converter(forbid_extra_keys=True)


def _register_values(converter: Converter) -> None:
    converter.register_structure_hook(Decimal, lambda value, _: read_decimal(value))
    converter.register_unstructure_hook(Decimal, str)
    converter.register_structure_hook(Money, lambda value, _: value if isinstance(value, Money) else Money.from_json(value))
    converter.register_unstructure_hook(Money, Money.to_json)
    converter.register_structure_hook(Secret, lambda value, _: value if isinstance(value, Secret) else Secret.from_json(value))
    converter.register_unstructure_hook(Secret, Secret.to_json)
    converter.register_structure_hook(date, lambda value, _: _iso(date, value))
    converter.register_structure_hook(time, lambda value, _: _iso(time, value))
    converter.register_structure_hook(datetime, lambda value, _: _instant(value))
    converter.register_unstructure_hook(date, date.isoformat)
    converter.register_unstructure_hook(time, time.isoformat)
    converter.register_unstructure_hook(datetime, lambda value: value.astimezone(UTC).isoformat())
    converter.register_structure_hook_func(lambda t: isinstance(t, type) and issubclass(t, enum.Enum), _member)
    converter.register_structure_hook_func(_is_literal, _literal)
    converter.register_structure_hook_func(lambda t: getattr(t, "__crm_object__", False), _object)


def _register_shapes(converter: Converter) -> None:
    """Check that lists come from lists and objects from objects, before cattrs iterates over whatever it got."""
    from cattrs.cols import list_structure_factory

    def origin(t: Any) -> Any:
        return get_origin(t) or t

    def is_collection(t: Any) -> bool:
        return origin(t) in (set, frozenset) or (origin(t) is tuple and get_args(t)[-1:] == (...,))

    def collection(t: Any) -> Hook:
        items: Any = types.GenericAlias(list, get_args(t)[:1] or (Any,))
        inner = converter.get_structure_hook(items)
        return lambda value, _: origin(t)(inner(value, items))

    hooks: tuple[tuple[Callable[[Any], bool], Callable[[Any], Hook]], ...] = (
        (lambda t: origin(t) is list, lambda t: _shaped(_LISTS, "list", list_structure_factory(t, converter))),
        (is_collection, collection),
        (lambda t: origin(t) is dict, lambda t: _shaped((Mapping,), "object", converter.gen_structure_mapping(t))),
        (_is_record, lambda t: _shaped((Mapping,), "object", converter.gen_structure_attrs_fromdict(t), t)),
    )
    for applies, make in hooks:
        converter.register_structure_hook_factory(applies, make)


def _is_record(t: Any) -> bool:
    return isinstance(t, type) and attrs.has(t) and t is not Money


def _shaped(shapes: tuple[Any, ...], name: str, inner: Hook, already: type[Any] | None = None) -> Hook:
    def structure(value: Any, t: Any) -> Any:
        if already is not None and isinstance(value, already):
            return value
        if not isinstance(value, shapes):
            raise _wrong_type(value, name)
        return inner(value, t)

    return structure


def _primitive(kind: type[Any], value: Any, _: Any) -> Any:
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    raise _wrong_type(value, kind.__name__)


def _iso(kind: type[Any], value: Any) -> Any:
    if type(value) is kind:
        return value
    try:
        return kind.fromisoformat(value)
    except (TypeError, ValueError):
        raise _wrong_type(value, f"{kind.__name__} in ISO 8601") from None


def _instant(value: Any) -> datetime:
    found = cast(datetime, _iso(datetime, value))
    if found.utcoffset() is None:
        raise Invalid("naive_datetime", given=redact(value))
    return found.astimezone(UTC)


def _member(value: Any, members: Any) -> Any:
    try:
        return members(value)
    except ValueError:
        raise _not_one_of(value, [str(m.value) for m in members]) from None


def _object(value: Any, kind: Any) -> Any:
    if isinstance(value, kind):
        return value
    raise _wrong_type(value, f"an object of {kind.__name__}, given in code")


def _is_literal(t: Any) -> bool:
    return get_origin(t) is cast(Any, Literal)


def _literal(value: Any, literal: Any) -> Any:
    for allowed in get_args(literal):
        if allowed == value and type(allowed) is type(value):
            return value
    raise _not_one_of(value, [str(a) for a in get_args(literal)])


def _wrong_type(value: Any, expected: str) -> Invalid:
    return Invalid("wrong_type", given=redact(value), expected=expected)


def _not_one_of(value: Any, allowed: list[str]) -> Invalid:
    return Invalid("bad_enum", allowed=allowed, suggestion=closest(value, allowed))


def _details(cls: type[Any], error: BaseException, given: Any, path: str = "") -> Iterator[Detail]:
    """Walk cattrs' tree of errors; *given* is what stood at *path*."""
    from cattrs import BaseValidationError, ForbiddenExtraKeysError

    match error:
        case BaseValidationError():
            for inner in error.exceptions:
                step, value = _step(inner, given)
                yield from _details(error.cl, inner, value, path + step)
        case ForbiddenExtraKeysError():
            known = [a.name for a in attrs.fields(error.cl)]
            for key in sorted(error.extra_fields):
                yield _detail(f"{path}.{key}", "unknown_field", given[key], {"suggestion": closest(key, known)})
        case CRMError():
            yield _detail(path, error.code, given, error.params)
        case _ if given is _MISSING:
            yield _detail(path, "required", given, {})
        case _:
            yield _broken_rule(cls, error, given, path)


def _detail(path: str, code: str, given: Any, params: Mapping[str, Any]) -> Detail:
    return Detail("settings", path.removeprefix("."), code, "" if given is _MISSING else redact(given), params)


def _step(error: BaseException, given: Any) -> tuple[str, Any]:
    """Go one step further into *given*: cattrs leaves it as a note on the error."""
    from cattrs import AttributeValidationNote, IterableValidationNote

    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return f".{note.name}", given.get(note.name, _MISSING)
        if isinstance(note, IterableValidationNote):
            return f"[{note.index}]", given[note.index]
    return "", given


def _broken_rule(cls: type[Any], error: BaseException, given: Any, path: str) -> Detail:
    """Name the field that a validator of the class refused; the message's tail is cut off, because it quotes the value."""
    message = str(error.args[0]) if error.args else type(error).__name__
    name = next((a.name for a in attrs.fields(cls) if f"'{a.name}'" in message), "") if attrs.has(cls) else ""
    if name and isinstance(given, Mapping):
        path, given = f"{path}.{name}", given.get(name)
    return _detail(path, "bad_value", given, {"reason": re.split(r": | \(", message)[0][:200]})
