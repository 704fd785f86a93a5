"""Command classes of actions: their fields as the core knows fields, so that they are checked, read and described like a record's."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs

from ..entities.fields import Field, FieldOptions, FieldSpec, MoneyField, OptionalMoneyField, read_field
from ..entities.money import Money
from ..entities.validate import MAX_ITEMS, problems, structure
from ..errors import CRMError, Detail, Invalid, LoadError
from ..messages import closest, redact


@attrs.frozen(eq=False)
class CommandField:
    """One field of a command.

    Attributes:
        spec: what one value is, or None where it is a *part*.
        part: the attrs class of a value that has fields of its own, such as a line of a quote.
        fields: the part's fields.
        many: there is a list of such values.
        nullable: None is a value.
        required: it has no default.
    """

    name: str
    spec: FieldSpec | None
    part: type[Any] | None
    fields: Mapping[str, CommandField]
    many: bool
    nullable: bool
    required: bool


def hint_of(fn: Callable[..., Any], annotation: Any) -> Any:
    """Resolve one annotation of *fn*, leaving the others alone (their names may be there for type checkers only)."""
    if not isinstance(annotation, str):
        return annotation
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    return get_type_hints(holder, getattr(fn, "__globals__", {}))["it"]


def command_fields(command: type[Any], _within: tuple[type[Any], ...] = ()) -> Mapping[str, CommandField]:
    """Read the fields of a command class.

    Raises:
        LoadError: an annotation is not a type a field can have, names something unknown, or contains itself.
    """
    try:
        hints = get_type_hints(command)
    except NameError as e:
        raise LoadError("unresolved_annotation", entity=command.__name__, name=e.name or str(e)) from e
    return {a.name: _read(command, a, hints[a.name], (*_within, command)) for a in attrs.fields(command) if a.init}


def _read(command: type[Any], attribute: attrs.Attribute[Any], hint: Any, within: tuple[type[Any], ...]) -> CommandField:
    item, nullable = _without_none(hint)
    many = get_origin(item) in (list, Sequence)
    if many:
        (item,) = get_args(item)
    required = attribute.default is attrs.NOTHING
    if attrs.has(item) and item is not Money and get_origin(item) is None:
        if item in within:
            raise LoadError("bad_annotation", entity=command.__name__, field=attribute.name, annotation=str(hint))
        return CommandField(attribute.name, None, item, command_fields(item, within), many, nullable, required)
    known = read_field(command, attribute.name, _as_field(item, nullable and not many), FieldOptions(default=attrs.NOTHING, text=True))
    return CommandField(attribute.name, known, None, {}, many, nullable, required)


def _without_none(hint: Any) -> tuple[Any, bool]:
    if hint is Any:
        return hint, True
    if get_origin(hint) in (Union, types.UnionType):
        rest = [a for a in get_args(hint) if a is not type(None)]
        return (rest[0], True) if len(rest) == 1 else (hint, False)
    return hint, False


def _as_field(hint: Any, nullable: bool) -> Any:
    if hint is Money:
        return OptionalMoneyField if nullable else MoneyField
    return Field[hint | None] if nullable else Field[hint]


def record_field(fields: Mapping[str, CommandField], entity: type[Any]) -> str | None:
    """Name the first field that refers to one record of *entity*."""
    return next((f.name for f in fields.values() if f.spec and f.spec.kind == "ref" and not f.many and f.spec.target is entity), None)


def check(name: str, fields: Mapping[str, CommandField], command: Any) -> None:
    """Check the values of a command.

    Raises:
        Invalid: ``details`` says all that is wrong.
    """
    details = list(_wrong(name, fields, command))
    if details:
        raise Invalid(details=details)


def _wrong(name: str, fields: Mapping[str, CommandField], holder: Any) -> Iterator[Detail]:
    for field in fields.values():
        value = getattr(holder, field.name)
        if value is None and field.nullable:
            continue
        if not field.many:
            yield from _wrong_item(name, field, value, None)
        elif not isinstance(value, list | tuple):
            yield _detail(name, field.name, "wrong_type", value, expected="list", given=type(value).__name__)
        elif len(value) > MAX_ITEMS:
            yield _detail(name, field.name, "too_long", value, limit=MAX_ITEMS, length=len(value))
        else:
            for row, item in enumerate(value):
                yield from _wrong_item(name, field, item, row)


def _wrong_item(name: str, field: CommandField, value: Any, row: int | None) -> Iterator[Detail]:
    if field.spec is not None:
        yield from problems(name, field.spec, value, row)
    elif type(value) is not field.part:
        assert field.part is not None
        detail = _detail(name, field.name, "wrong_type", value, expected=field.part.__name__, given=type(value).__name__)
        yield attrs.evolve(detail, row=row)
    else:
        for detail in _wrong(name, field.fields, value):
            yield _inside(field, detail, row)


def _inside(field: CommandField, detail: Detail, row: int | None) -> Detail:
    return attrs.evolve(detail, field=f"{field.name}.{detail.field}", row=detail.row if row is None else row)


def _detail(name: str, field: str, code: str, value: Any, **params: Any) -> Detail:
    return Detail(name, field, code, redact(value), params)


def load(name: str, command: type[Any], fields: Mapping[str, CommandField], data: Any) -> Any:
    """Build a command from plain JSON; what is missing takes its default.

    Raises:
        Invalid: unknown, missing or unreadable fields, all at once.
    """
    values, details = _read_all(name, fields, data)
    if details:
        raise Invalid(details=details)
    try:
        made = command(**values)
    except CRMError as e:
        raise Invalid(details=e.details or [Detail(name, "", e.code, params=e.params)]) from e
    check(name, fields, made)
    return made


def partly_wrong(name: str, fields: Mapping[str, CommandField], data: Any, later: Collection[str]) -> list[Detail]:
    """Say what is wrong with a command's plain JSON, of which the fields *later* get their values when it is given."""
    values, details = _read_all(name, fields, data)
    details = [d for d in details if not (d.code == "required" and d.field in later)]
    given = {n: f for n, f in fields.items() if n in values and not any(d.field.partition(".")[0] == n for d in details)}
    return [*details, *_wrong(name, given, types.SimpleNamespace(**values))]


def _read_all(name: str, fields: Mapping[str, CommandField], data: Any) -> tuple[dict[str, Any], list[Detail]]:
    if not isinstance(data, Mapping):
        return {}, [_detail(name, "", "wrong_type", data, expected="object", given=type(data).__name__)]
    if len(data) > MAX_ITEMS:
        return {}, [Detail(name, "", "too_long", params={"length": len(data), "limit": MAX_ITEMS})]
    details = [
        Detail(name, key[:80], "unknown_field", params={"suggestion": closest(key, fields)}) for key in map(str, data) if key not in fields
    ]
    details += [Detail(name, key, "required") for key, known in fields.items() if known.required and key not in data]
    values = {}
    for key in fields:
        if key in data:
            values[key], wrong = _load_field(name, fields[key], data[key])
            details += wrong
    return values, details


def _load_field(name: str, field: CommandField, value: Any) -> tuple[Any, list[Detail]]:
    items = value if field.many and isinstance(value, list) else [value]
    made, details = [], []
    for row, item in enumerate(items):
        try:
            made.append(_load_item(name, field, item))
        except Invalid as e:
            at = row if items is value else None
            details += [d if field.spec else _inside(field, d, at) for d in e.details]
    return (made if items is value else next(iter(made), None)), details


def _load_item(name: str, field: CommandField, value: Any) -> Any:
    if field.spec is not None:
        return structure(name, field.spec, value)
    if value is None and field.nullable:
        return None
    assert field.part is not None
    return load(name, field.part, field.fields, value)
