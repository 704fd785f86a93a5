"""Three ways together: what the ERP says, what we have, and what both last agreed on. Pure, so it can be tried on everything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import attrs

from .mapping import Stream, Values


@attrs.frozen
class Merged:
    """What follows for our record.

    Attributes:
        changes: the fields to take over, with their new values.
        overruled: fields of ours that the ERP changed: ours is sent again.
        conflicts: fields that both changed, as (ours, theirs); a person decides.
    """

    changes: Values
    overruled: list[str]
    conflicts: dict[str, tuple[Any, Any]]


def merge(stream: Stream, base: Mapping[str, Any], ours: Values, theirs: Values, *, echo: bool) -> Merged:
    """Compare field by field, as its owner says.

    Args:
        echo: the ERP's version is the one that we wrote ourselves, so what differs in our fields is only how it writes them.
    """
    merged = Merged({}, [], {})
    for name, field in stream.fields.items():
        us, them, before = ours.get(name), theirs.get(name), base.get(name)
        if them == us:
            continue
        if field.owner == "erp":
            merged.changes[name] = them
        elif echo or them == before:
            continue
        elif field.owner == "crm":
            merged.overruled.append(name)
        elif us == before:
            merged.changes[name] = them
        else:
            merged.conflicts[name] = (us, them)
    return merged


def sent_values(stream: Stream, values: Mapping[str, Any]) -> Values:
    """Return those of our values that are written to the ERP."""
    return {f.field: values.get(f.field) for f in stream.sent}


def hash_of(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of canonical values, in hexadecimal."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
