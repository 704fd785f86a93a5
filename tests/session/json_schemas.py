"""JSON Schema 2020-12 as far as ours say it: whether a schema is one, and whether a value fits it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
FORMATS: Mapping[str, Callable[[str], Any]] = {
    "uuid": UUID,
    "date": date.fromisoformat,
    "date-time": datetime.fromisoformat,
    "uri": lambda text: text.index("://"),
    "email": lambda text: text.index("@"),
}
KEYWORDS: Mapping[str, tuple[type, ...]] = {
    "$schema": (str,),
    "title": (str,),
    "type": (str, list),
    "format": (str,),
    "pattern": (str,),
    "enum": (list,),
    "anyOf": (list,),
    "required": (list,),
    "properties": (dict,),
    "items": (dict,),
    "additionalProperties": (bool,),
    "readOnly": (bool,),
    "maxLength": (int,),
    "maxItems": (int,),
    "minimum": (int,),
    "maximum": (int,),
    "x-entity": (str,),
    "x-labels": (dict,),
}


def check_schema(schema: Any) -> None:
    """Demand that all of *schema* are keywords that are known here, with values of the right shape; a misspelt one says nothing."""
    assert type(schema) is dict
    for keyword, value in schema.items():
        assert type(value) in KEYWORDS[keyword], (keyword, value)
    assert set(_types(schema)) <= set(TYPES)
    assert schema.get("format", "date") in FORMATS
    re.compile(schema.get("pattern", ""))
    assert len({repr(v) for v in schema.get("enum", [])}) == len(schema.get("enum", []))
    assert set(schema.get("required", ())) <= set(schema.get("properties", ()))
    for inner in (*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())):
        check_schema(inner)


def _types(schema: Mapping[str, Any]) -> list[str]:
    given = schema.get("type", [])
    return [given] if isinstance(given, str) else given


def wrong(schema: Mapping[str, Any], value: Any, at: str = "$") -> Iterator[str]:
    """Yield what of *value* the schema does not allow."""
    if "type" in schema and not any(type(value) in TYPES[each] for each in _types(schema)):
        yield f"{at}: {type(value).__name__} is no {schema['type']}"
        return
    if "enum" in schema and not any(type(v) is type(value) and v == value for v in schema["enum"]):
        yield f"{at}: {value!r} is none of {schema['enum']}"
    if "anyOf" in schema and all(any(wrong(each, value)) for each in schema["anyOf"]):
        yield f"{at}: {value!r} fits none of {schema['anyOf']}"
    if isinstance(value, str):
        yield from _wrong_text(schema, value, at)
    elif isinstance(value, dict):
        yield from _wrong_object(schema, value, at)
    elif isinstance(value, list):
        if len(value) > schema.get("maxItems", len(value)):
            yield f"{at}: too many items"
        for n, each in enumerate(value):
            yield from wrong(schema.get("items", {}), each, f"{at}[{n}]")
    elif type(value) is int and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{at}: {value} is out of range"


def _wrong_text(schema: Mapping[str, Any], value: str, at: str) -> Iterator[str]:
    if len(value) > schema.get("maxLength", len(value)):
        yield f"{at}: too long"
    if not re.search(schema.get("pattern", ""), value):
        yield f"{at}: {value!r} is not {schema['pattern']}"
    if "format" in schema:
        try:
            FORMATS[schema["format"]](value)
        except ValueError:
            yield f"{at}: {value!r} is no {schema['format']}"


def _wrong_object(schema: Mapping[str, Any], value: Mapping[str, Any], at: str) -> Iterator[str]:
    known = schema.get("properties", {})
    yield from (f"{at}.{name}: missing" for name in schema.get("required", ()) if name not in value)
    for name, each in value.items():
        if name in known:
            yield from wrong(known[name], each, f"{at}.{name}")
        elif schema.get("additionalProperties") is False:
            yield f"{at}.{name}: unknown"
