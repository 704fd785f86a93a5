"""Fitting: whether a mapping fits this CRM and this connector, said before the first record is read [C63]."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from crm_core import CRM, CRMError, LoadError

from .connector import Connector
from .mapping import ErpMapping, Stream

# The codecs that give what a field of each kind takes; the first is the one to propose.
_FITTING: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "enum"),
    "enum": ("enum", "text"),
    "integer": ("int",),
    "boolean": ("bool",),
    "decimal": ("decimal",),
    "date": ("date",),
    "date-time": ("instant",),
    "money": ("money",),
    "reference": ("ref",),
    "e-mail addresses": ("email",),
    "phone numbers": ("phone",),
}


_RECOGNISING = ("text", "int", "email", "phone")


def check_fit(crm: CRM, mapping: ErpMapping, connector: Connector) -> None:
    """Check every stream: record and fields are ours, each codec fits its field, the entity is the connector's, new records lack nothing.

    Raises:
        LoadError: ``erp_bridge.bad_mapping`` with the section, what is expected, and a suggestion.
    """
    for stream in mapping.streams.values():
        if stream.entity not in connector.entities:
            raise _bad(mapping, stream.name, "an entity of the connector", stream.entity, connector.entities)
        _check_fields(crm, mapping, stream)


def _check_fields(crm: CRM, mapping: ErpMapping, stream: Stream) -> None:
    try:
        schema = crm.json_schema(crm.entity(stream.record))
    except CRMError as e:
        raise _bad(mapping, stream.name, "a record of this CRM", stream.record, crm.labels()) from e
    ours = [name for name, field in schema["properties"].items() if stream.from_erp == "never" or not field.get("readOnly")]
    for name in stream.fields:
        if name not in ours:
            raise _bad(mapping, f"{stream.name}.fields", f"a field of {stream.record}", name, ours)
        _check_codec(mapping, stream, name, schema["properties"][name])
    for name in stream.match:
        if name not in stream.fields:
            raise _bad(mapping, f"{stream.name}.match", "a field that the section maps", name, stream.fields)
        if stream.fields[name].codec not in _RECOGNISING or "enum" in schema["properties"][name]:
            expected = f"a field whose codec is one of {', '.join(_RECOGNISING)}"
            raise _bad(mapping, f"{stream.name}.match", expected, name, [n for n, f in stream.fields.items() if f.codec in _RECOGNISING])
    missing = [name for name in schema["required"] if name not in stream.fields]
    if missing and stream.from_erp == "always":
        expected = f"a line for {', '.join(missing)}, without which no {stream.record} can be made"
        raise LoadError("erp_bridge.bad_mapping", source=mapping.source, section=f"{stream.name}.fields", expected=expected)


def _check_codec(mapping: ErpMapping, stream: Stream, name: str, schema: Mapping[str, Any]) -> None:
    field, plain = stream.fields[name], schema["anyOf"][0] if "anyOf" in schema else schema
    kind = _kind(plain)
    fitting = _FITTING.get(kind)
    if fitting is not None and field.codec not in fitting:
        raise _bad(mapping, f"{stream.name}.{name}", f"a codec for a field of kind {kind}", field.codec, fitting, fitting[0])
    for value in field.options.values if kind == "enum" else ():
        if value not in plain["enum"]:
            raise _bad(mapping, f"{stream.name}.{name}", f"one of {', '.join(map(str, plain['enum']))}", value, map(str, plain["enum"]))
    if kind == "reference" and mapping.streams[field.stream].record != plain["x-entity"]:
        there = [s.name for s in mapping.streams.values() if s.record == plain["x-entity"]]
        raise _bad(mapping, f"{stream.name}.{name}", f"a section whose record is {plain['x-entity']}", field.stream, there, *there[:1])


def _kind(schema: Mapping[str, Any]) -> str:
    """Say what a field takes, by its JSON Schema; what no codec is for goes by whatever name."""
    of = schema.get("properties") or schema.get("items", {}).get("properties", {})
    if "enum" in schema:
        return "enum"
    if "x-entity" in schema:
        return "reference"
    if {"amount", "currency"} == of.keys():
        return "money"
    if schema.get("type") == "array":
        lists = {("address", "label", "primary"): "e-mail addresses", ("label", "number", "primary"): "phone numbers"}
        return lists.get(tuple(sorted(of)), "")
    if schema.get("type") == "string":
        return str(schema.get("format") or ("decimal" if "pattern" in schema else "text"))
    return str(schema.get("type", ""))


def _bad(mapping: ErpMapping, section: str, expected: str, given: str, known: Iterable[str], meant: str = "") -> LoadError:
    near = [meant] if meant else difflib.get_close_matches(given, list(known), 1)
    params: dict[str, Any] = {"suggestion": near[0]} if near else {}
    params |= {"source": mapping.source, "section": section, "expected": f"{expected}, not {given}"}
    return LoadError("erp_bridge.bad_mapping", **params)
