"""JSON Schema (2020-12) of fields and commands: what forms, REST and assistants are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..entities.fields import FieldSpec
from ..entities.meta import spec
from ..entities.validate import MAX_ITEMS
from .commands import CommandField, command_fields

_DECIMAL = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}
_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "id": {"type": "string", "format": "uuid"},
    "ref": {"type": "string", "format": "uuid"},
    "str": {"type": "string"},
    "text": {"type": "string"},
    "int": {"type": "integer"},
    "decimal": _DECIMAL,
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "money": {
        "type": "object",
        "properties": {"amount": _DECIMAL, "currency": {"type": "string", "pattern": "^[A-Z]{3}$"}},
        "required": ["amount", "currency"],
        "additionalProperties": False,
    },
    "json": {"type": ["object", "array", "string", "number", "boolean"]},
}


def field_schema(field: FieldSpec) -> dict[str, Any]:
    """Describe the plain JSON of one field; ``x-entity`` names what a reference points at."""
    if field.kind == "enum":
        schema: dict[str, Any] = {"enum": [member.value for member in field.type]}
    elif field.kind == "list":
        schema = _many(object_schema(command_fields(field.type)))
    else:
        schema = dict(_SCHEMAS[field.kind])
    if field.target is not None:
        schema["x-entity"] = spec(field.target).name
    if field.length is not None:
        schema["maxLength"] = field.length
    if field.kind == "int":
        schema |= {n: bound for n, bound in (("minimum", field.options.min), ("maximum", field.options.max)) if bound is not None}
    return _nullable(schema) if field.nullable else schema


def object_schema(fields: Mapping[str, CommandField]) -> dict[str, Any]:
    """Describe the plain JSON of a command or of a part of it; no other fields are taken."""
    return {
        "type": "object",
        "properties": {name: _field(field) for name, field in fields.items()},
        "required": [name for name, field in fields.items() if field.required],
        "additionalProperties": False,
    }


def _field(field: CommandField) -> dict[str, Any]:
    one = field_schema(field.spec) if field.spec else object_schema(field.fields)
    schema = _many(one) if field.many else one
    return _nullable(schema) if field.nullable and (field.many or field.part) else schema


def _many(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema, "maxItems": MAX_ITEMS}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}
