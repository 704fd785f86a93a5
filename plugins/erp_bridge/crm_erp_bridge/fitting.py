"""Fitting: whether a mapping fits this CRM and this connector, said before the first record is read [C63]."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from crm_core import CRM, CRMError, LoadError

from .connector import Connector
from .mapping import ErpMapping, Stream


def check_fit(crm: CRM, mapping: ErpMapping, connector: Connector) -> None:
    """Check every stream: its record and fields are ours, its entity is the connector's, and new records get all that they need.

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
    for name in stream.match:
        if name not in stream.fields:
            raise _bad(mapping, f"{stream.name}.match", "a field that the section maps", name, stream.fields)
    missing = [name for name in schema["required"] if name not in stream.fields]
    if missing and stream.from_erp == "always":
        expected = f"a line for {', '.join(missing)}, without which no {stream.record} can be made"
        raise LoadError("erp_bridge.bad_mapping", source=mapping.source, section=f"{stream.name}.fields", expected=expected)


def _bad(mapping: ErpMapping, section: str, expected: str, given: str, known: Iterable[str]) -> LoadError:
    near = difflib.get_close_matches(given, list(known), 1)
    params: dict[str, Any] = {"suggestion": near[0]} if near else {}
    params |= {"source": mapping.source, "section": section, "expected": f"{expected}, not {given}"}
    return LoadError("erp_bridge.bad_mapping", **params)
