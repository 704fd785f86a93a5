"""What a record looks like from outside: plain JSON, JSON Schema, and a form's description for one actor."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs

from .arguments import check, check_many
from .entities.custom import CustomSpec
from .entities.custom_kind import CustomKind
from .entities.entity import Entity
from .entities.fields import FieldSpec, Ref
from .entities.meta import spec
from .entities.money import Money
from .entities.validate import MAX_ITEMS, plain, problems, structure
from .errors import Detail, Invalid
from .hooks.schema import field_schema
from .labels import field_words, option_words
from .messages import closest, redact
from .paging import Page
from .permissions.actor import Actor
from .permissions.roles import ACTIONS

if TYPE_CHECKING:
    from .crm import CRM
    from .custom_fields.defined import TenantFields
    from .permissions.policy import Policy

_FORMATS = {CustomKind.URL: "uri", CustomKind.EMAIL: "email"}


def to_json(crm: CRM, record: Any, expand: Sequence[str]) -> Any:
    """Turn a record, a page or a list of records, or a view into plain JSON. Unreadable fields are not there.

    Raises:
        Invalid: *expand* names something that is not a reference of the record, or not readable.
    """
    if not isinstance(record, Entity):
        return _value_to_json(crm, record, expand)
    codec = crm.codec(type(record))
    values = codec.values(record)
    values.pop("tenant", None)
    result = codec.plain(values)
    if record._custom:
        result["custom"] = {n: _value_to_json(crm, v, ()) for n, v in record._custom.items()}
    for path in expand:
        name, _, rest = str(path).partition(".")
        field = codec.fields.get(name)
        if field is None or field.kind != "ref" or name not in values:
            raise Invalid("unknown_expand", entity=codec.facts.name, given=name[:60])
        loaded = (record._related or {}).get(name)
        if loaded is not None:
            result[name] = to_json(crm, loaded, [rest] if rest else [])
        elif values[name] is not None:
            result[name] = {"id": result[name]}
    return result


def _value_to_json(crm: CRM, value: Any, expand: Sequence[str]) -> Any:
    """Turn what stands around records, and the values that plugins show beside them, into plain JSON."""
    match value:
        case None | bool() | int() | float() | str():
            return value.value if isinstance(value, enum.Enum) else value
        case enum.Enum():
            return value.value
        case Money():
            return value.to_json()
        case Decimal():
            return str(value)
        case datetime():
            return value.astimezone(UTC).isoformat()
        case date():
            return value.isoformat()
        case Ref():
            return value.id
        case Mapping():
            return {key: to_json(crm, each, expand) for key, each in value.items()}
    if attrs.has(type(value)) and not isinstance(value, Page):
        return {a.name: to_json(crm, getattr(value, a.name), expand) for a in attrs.fields(type(value))}
    check_many(value, "a record, a page, a list or plain values")
    return [to_json(crm, each, expand) for each in value]


def from_json(crm: CRM, entity: type[Any], data: Mapping[str, Any], hidden: Collection[str] = ()) -> Any:
    """Build a new record of plain JSON; its ``custom`` values are read where it is created, since they are its tenant's.

    Args:
        hidden: fields that are as unknown as those that are not there.

    Raises:
        Invalid: unknown, unreadable or missing fields, all at once.
    """
    codec = crm.codec(entity)
    name = codec.facts.name
    custom = data.get("custom") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping):
        raise Invalid(details=[Detail(name, "", "wrong_type", redact(data), {"expected": "object"})])
    if len(data) > MAX_ITEMS:
        raise Invalid(details=[Detail(name, "", "too_long", "", {"length": len(data), "limit": MAX_ITEMS})])
    data = {n: v for n, v in data.items() if n != "custom"}
    fields = {n: f for n, f in codec.fields.items() if n not in hidden}
    open_ = [n for n, f in fields.items() if not f.system]
    wrong = [Detail(name, n, "read_only_field") for n in data if n in fields and fields[n].system]
    wrong += [Detail(name, str(n)[:60], "unknown_field", "", {"suggestion": closest(n, open_)}) for n in data if n not in fields]
    wrong += [Detail(name, n if n in fields else "", "required") for n, f in codec.fields.items() if f.required and n not in data]
    given: dict[str, Any] = {}
    for n, value in data.items():
        if n in fields and not fields[n].system:
            try:
                given[n] = structure(name, fields[n], value)
                wrong += problems(name, fields[n], given[n])
            except Invalid as e:
                wrong += e.details
    if wrong:
        raise Invalid(details=wrong)
    record = entity(**{n: v for n, v in given.items() if codec.fields[n].extension is None}, custom=custom)
    for n, v in given.items():
        if codec.fields[n].extension is not None:
            codec.set(record, n, v)
    return record


def json_schema(crm: CRM, entity: type[Any], locale: str, custom: Mapping[str, CustomSpec] | None = None) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an entity: what ``to_json`` writes, system fields marked read-only, titles in *locale*.

    What a tenant added is there where its *custom* fields are given.
    """
    codec = crm.codec(entity)
    messages, own = crm.messages, codec.facts.name
    properties: dict[str, Any] = {}
    for name, field in codec.fields.items():
        if name == "tenant":
            continue
        schema = field_schema(field)
        if name == "deleted_at":
            schema = {"anyOf": [schema, {"type": "null"}]}
        schema["title"] = field_words(messages, field, own, name, locale)
        if field.kind == "enum":
            schema["x-labels"] = option_words(messages, field, own, name, locale)
        properties[name] = {**schema, "readOnly": True} if field.system else schema
    if custom:
        properties["custom"] = _custom_schema(crm, own, custom, locale)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": codec.facts.name,
        "type": "object",
        "properties": properties,
        "required": [n for n, f in codec.fields.items() if f.required],
        "additionalProperties": False,
    }


def describe_apart(crm: CRM, entity: type[Any], actor: Actor) -> dict[str, Any]:
    """Describe an entity as :meth:`CRM.describe` does."""
    check(actor, Actor, "an Actor")
    if crm.bound.shared:
        return describe(crm, entity, actor, crm.policies.resolve(actor, crm.tenants.without(actor)))
    with crm.session(actor, write=False) as session:
        return session.describe(entity)


def _custom_schema(crm: CRM, entity: str, custom: Mapping[str, CustomSpec], locale: str) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, field in custom.items():
        schema = _demanded(field)
        if field.choices:
            schema = {"enum": [*field.choices, None], "x-labels": option_words(crm.messages, field, entity, name, locale)}
        properties[field.short] = {**schema, "title": field_words(crm.messages, field, entity, name, locale)}
    return {
        "type": "object",
        "properties": properties,
        "required": [f.short for f in custom.values() if f.must],
        "additionalProperties": False,
    }


def _demanded(field: CustomSpec) -> dict[str, Any]:
    """Describe the plain JSON of a custom field, with what its definition demands beyond its type."""
    schema = field_schema(field)
    one: dict[str, Any] = schema["anyOf"][0]
    if field.currency:
        one["properties"] = {**one["properties"], "currency": {"enum": [field.currency]}}
    if field.pattern is not None:
        one["pattern"] = f"^(?:{field.pattern.pattern})$"
    if field.said in _FORMATS:
        one["format"] = _FORMATS[field.said]
    return schema


def _limits(field: CustomSpec) -> dict[str, Any]:
    """Return what a form needs to know of a custom field's values."""
    bounds = {n: plain(field, v) for n, v in (("min", field.options.min), ("max", field.options.max)) if v is not None}
    said = {"currency": field.currency, "pattern": field.pattern.pattern if field.pattern is not None else ""}
    return {**{n: v for n, v in said.items() if v}, **bounds}


def describe(crm: CRM, entity: type[Any], actor: Actor, policy: Policy, fields: TenantFields | None = None) -> dict[str, Any]:
    """Describe an entity for a form of this actor, in their language; fields that *policy* hides are not there."""
    codec = crm.codec(entity) if fields is None else fields.codec(entity)
    name, locale = codec.facts.name, actor.locale
    levels = policy.fields(entity) if fields is None else fields.levels(policy, entity)
    actions = {a: not policy.is_nothing(policy.rule(a, entity)) for a in ACTIONS}

    def described(n: str, field: FieldSpec) -> dict[str, Any]:
        level = levels.get(n, "write")
        found: dict[str, Any] = {
            "label": field_words(crm.messages, field, name, n, locale),
            "type": field.said.value if isinstance(field, CustomSpec) else field.kind,
            "required": field.required and (isinstance(field, CustomSpec) or not field.nullable),
            "writable": level == "write" and not field.system and not field.options.read_only and (actions["create"] or actions["update"]),
            "masked": level == "masked",
            "classified": field.options.classified,
        }
        if field.kind == "enum" or (isinstance(field, CustomSpec) and field.choices):
            options = option_words(crm.messages, field, name, n, locale)
            found["options"] = [{"value": value, "label": words} for value, words in options.items()]
        if field.kind == "ref" and field.target:
            found["entity"] = spec(field.target).name
        if field.length:
            found["max_length"] = field.length
        if isinstance(field, CustomSpec):
            found |= _limits(field)
        default = field.options.default
        if field.options.factory is None and default is not None and not field.required and not field.system:
            found["default"] = plain(field, default)
        return found

    shown = (
        {n: described(n, f) for n, f in codec.fields.items() if n != "tenant" and levels.get(n, "write") != "none"}
        if actions["read"] or actions["create"]
        else {}
    )
    return {"entity": name, "label": crm.messages.template(name, locale) or entity.__name__, "actions": actions, "fields": shown}
