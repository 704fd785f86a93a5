"""What a resource is in OpenAPI 3.1: operations and schemas from the entity, so that documentation cannot drift from it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from ..paging import MAX_PAGE
from .problem import TYPE
from .resource import ENTRIES, PAGE, Resource, Route

VERSION: Final = "3.1.0"
_TEXT: Final = {"type": "string"}
_NAMED = re.compile(r"<(?:[^<>:]*:)?([^<>]+)>")
_PROBLEM: Final = {
    "type": "object",
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "code": _TEXT,
        "params": {"type": "object"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "entity": _TEXT,
                    "field": _TEXT,
                    "code": _TEXT,
                    "value": _TEXT,
                    "message": _TEXT,
                    "row": {"type": "integer"},
                },
            },
        },
        "more": {"type": "integer"},
    },
    "required": ["type", "title", "status", "code"],
}

_ENTRY: Final = {
    "type": "object",
    "properties": {
        "at": {"type": "string", "format": "date-time"},
        "actor": _TEXT,
        "on_behalf_of": {"type": ["string", "null"]},
        "verb": {"enum": ["created", "updated", "deleted", "restored"]},
        "version": {"type": "integer"},
        "changes": {"type": "object", "additionalProperties": {"type": "object", "properties": {"old": {}, "new": {}}}},
    },
}


@attrs.frozen
class Served:
    """A verb of a resource where a host serves it.

    Attributes:
        path: as the framework writes it: ``/shops/<str:shop>/accounts/<id>``.
    """

    path: str
    resource: Resource
    route: Route


def document(served: Iterable[Served], *, title: str, version: str, locale: str) -> dict[str, Any]:
    """Return the OpenAPI document of what is served; what the host's own paths take is its own to say."""
    paths: dict[str, dict[str, Any]] = {}
    for one in served:
        path, described = _NAMED.sub(r"{\1}", one.path), operation(one.resource, one.route, locale)
        known = {p["name"] for p in described["parameters"] if p["in"] == "path"}
        outer = [_parameter("path", name, _TEXT, required=True) for name in re.findall(r"{([^{}]+)}", path) if name not in known]
        told = {"summary": f"{one.route.verb} {one.resource.name}", "tags": [one.resource.name], "description": one.route.answer.__doc__}
        paths.setdefault(path, {})[one.route.method.lower()] = told | described | {"parameters": [*outer, *described["parameters"]]}
    return {"openapi": VERSION, "info": {"title": title, "version": version}, "paths": paths}


def operation(resource: Resource, route: Route, locale: str = "en") -> dict[str, Any]:
    """Describe one verb: what it takes and what it answers."""
    record = _record(resource, locale)
    found: dict[str, Any] = {"operationId": f"{route.verb}_{resource.name.replace('.', '_')}", "parameters": _parameters(resource, route)}
    if route.method in ("POST", "PATCH"):
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _body(route, record)}}}
    found["responses"] = {
        str(route.status): _response("Done", _answered(route, record)),
        "4XX": {"description": "A problem (RFC 9457)", "content": {TYPE: {"schema": _PROBLEM}}},
    }
    return found


def _record(resource: Resource, locale: str) -> dict[str, Any]:
    schema = resource.crm.json_schema(resource.entity, locale)
    return {key: value for key, value in schema.items() if key != "$schema"}


def _body(route: Route, record: Mapping[str, Any]) -> dict[str, Any]:
    if route.verb == "perform":
        return {"type": "object", "description": "The command, as the list of actions describes it, without its record"}
    fields = {name: field for name, field in record["properties"].items() if not field.get("readOnly")}
    if route.verb == "create":
        return {**record, "properties": fields}
    version = {"type": "integer", "description": "The version that the change is based on; If-Match says the same"}
    return {"type": "object", "properties": {**fields, "version": version}, "additionalProperties": False}


def _answered(route: Route, record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    match route.verb:
        case "get" | "create" | "update":
            return record
        case "list":
            return _page(record)
        case "history":
            return _page(_ENTRY)
        case "actions":
            return {"type": "array", "items": {"type": "object"}}
        case "delete":
            return None
    return {}


def _page(item: Mapping[str, Any]) -> dict[str, Any]:
    paging = {"has_more": {"type": "boolean"}, "next": {"type": ["string", "null"], "description": "What to give as after"}}
    return {"type": "object", "properties": {"data": {"type": "array", "items": item}, **paging}}


def _response(description: str, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"description": description} | ({} if schema is None else {"content": {"application/json": {"schema": schema}}})


def _parameters(resource: Resource, route: Route) -> list[dict[str, Any]]:
    path = [_parameter("path", name, _TEXT, required=True) for name in ("id", "action") if f"{{{name}}}" in route.path]
    match route.verb:
        case "list":
            return [*path, *_texts(*resource.filters, "sort", "after", "expand"), _size(PAGE)]
        case "history":
            return [*path, *_texts("after"), _size(ENTRIES)]
        case "get":
            return [*path, _parameter("query", "expand", _TEXT), _parameter("header", "If-None-Match", _TEXT)]
        case "update" | "delete":
            return [*path, _parameter("header", "If-Match", _TEXT)]
    return path


def _texts(*names: str) -> list[dict[str, Any]]:
    return [_parameter("query", name, _TEXT) for name in names]


def _size(default: int) -> dict[str, Any]:
    return _parameter("query", "size", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": default})


def _parameter(place: str, name: str, schema: Mapping[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"in": place, "name": name, "required": required, "schema": schema}
