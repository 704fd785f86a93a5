"""What OpenAPI 3.1 asks of a document, as far as ours has it: https://spec.openapis.org/oas/v3.1.0."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TYPES = {"null", "boolean", "object", "array", "number", "string", "integer"}
_METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
_STATUS = re.compile(r"[1-5](\d\d|XX)|default")


def faults(document: Mapping[str, Any]) -> list[str]:
    """Return all that is wrong with a document."""
    return [*_head(document), *_operations(document)]


def _head(document: Mapping[str, Any]) -> Iterator[str]:
    if not re.fullmatch(r"3\.1\.\d+", document["openapi"]):
        yield "openapi"
    if not all(isinstance(document["info"][name], str) for name in ("title", "version")):
        yield "info"


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    ids: set[str] = set()
    for path, item in document["paths"].items():
        if not path.startswith("/") or item.keys() - _METHODS:
            yield f"{path}: no path item"
        for method, operation in item.items():
            at = f"{method} {path}"
            if operation["operationId"] in ids:
                yield f"{at}: operationId twice"
            ids.add(operation["operationId"])
            yield from _parameters(at, path, operation)
            yield from _contents(at, operation)


def _parameters(at: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    found = [(p["name"], p["in"]) for p in operation["parameters"]]
    if len(set(found)) != len(found):
        yield f"{at}: a parameter twice"
    if {name for name, place in found if place == "path"} != set(re.findall(r"{([^{}]+)}", path)):
        yield f"{at}: its path's parameters"
    for parameter in operation["parameters"]:
        if parameter["in"] not in ("path", "query", "header", "cookie") or (parameter["in"] == "path" and not parameter["required"]):
            yield f"{at}: {parameter['name']}"
        yield from _schema(f"{at} {parameter['name']}", parameter["schema"])


def _contents(at: str, operation: Mapping[str, Any]) -> Iterator[str]:
    if not operation["responses"]:
        yield f"{at}: no response"
    contents = dict(operation.get("requestBody", {}).get("content", {}))
    for status, response in operation["responses"].items():
        if not _STATUS.fullmatch(status) or not isinstance(response["description"], str):
            yield f"{at}: response {status}"
        contents |= {f"{status} {media}": content for media, content in response.get("content", {}).items()}
    for place, content in contents.items():
        yield from _schema(f"{at} {place}", content["schema"])


def _schema(at: str, schema: Any) -> Iterator[str]:
    if isinstance(schema, bool):
        return
    types = schema.get("type", [])
    if not set([types] if isinstance(types, str) else types) <= _TYPES:
        yield f"{at}: type {types}"
    properties = schema.get("properties", {})
    if set(schema.get("required", ())) - properties.keys():
        yield f"{at}: required without a property"
    for name, inner in properties.items():
        yield from _schema(f"{at}.{name}", inner)
    for name in ("items", "additionalProperties"):
        yield from _schema(f"{at}.{name}", schema.get(name, True))
    for name in ("anyOf", "oneOf", "allOf"):
        for inner in schema.get(name, ()):
            yield from _schema(f"{at}.{name}", inner)
