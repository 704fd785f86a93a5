"""Matching: which of our records one is that the ERP sends for the first time; the same on one page and over many [C63]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import or_

from crm_core import Entity, Session

from .ledger import bindings_to
from .mapping import LISTS, Stream
from .verdict import Verdict

Coming = dict[tuple[str, Any], str]
"""What the records that are to be made will have in a field, and which of the ERP's records that is."""


def match(session: Session, bridge: str, stream: Stream, verdicts: Sequence[Verdict], coming: Coming) -> None:
    """Recognise records that come for the first time; one that could be several is for a person to decide.

    Args:
        verdicts: all of a page, in its order.
        coming: what records before these brought; those that are to be made add to it.
    """
    new = [v for v in verdicts if v.binding is None and v.kind == "create" and not v.remote.deleted]
    candidates = {name: _candidates(session, stream, name, new) for name in stream.match}
    ids = [c.id for found in candidates.values() for c in found]
    taken = set(bindings_to(session, bridge, stream.name, ids)) | {v.local_id for v in verdicts if v.local_id}
    for verdict in verdicts:
        if verdict.remote.deleted or verdict.kind != "create":
            continue
        if verdict.local_id is None:
            _recognise(stream, verdict, candidates, taken, coming)
        if verdict.kind == "create":
            bound = verdict.binding is not None
            for name in stream.match:
                if verdict.values.get(name) is not None and not (bound and stream.fields[name].owner != "erp"):
                    coming.setdefault((name, verdict.values[name]), verdict.remote.id)


def _recognise(stream: Stream, verdict: Verdict, candidates: dict[str, list[Entity]], taken: set[str], coming: Coming) -> None:
    for name in stream.match:
        value = verdict.values.get(name)
        if value is None:
            continue
        same = [c.id for c in candidates[name] if value in values_of(stream, name, c)]
        other = coming.get((name, value), verdict.remote.id)
        if other != verdict.remote.id:
            verdict.kind, verdict.error = "conflict", {"code": "erp_bridge.same_there", "params": {"field": name, "id": other}}
        elif len(same) == 1 and same[0] not in taken:
            verdict.local_id = same[0]
            taken.add(same[0])
            return
        elif same:
            verdict.kind, verdict.error = "conflict", {"code": "erp_bridge.ambiguous", "params": {"field": name, "records": same[:5]}}
        if verdict.kind == "conflict":
            return


def _candidates(session: Session, stream: Stream, name: str, verdicts: Sequence[Verdict]) -> list[Entity]:
    entity: Any = session.crm.entity(stream.record)
    asked = list({v.values[name]: None for v in verdicts if v.values.get(name) is not None})
    column, found = getattr(entity, name), []
    for start in range(0, len(asked), 200):
        some = asked[start : start + 200]
        which = or_(*[column.has(value) for value in some]) if stream.fields[name].codec in LISTS else column.in_(some)
        found += session.query(entity).where(which).all()
    return list({record.id: record for record in found}.values())


def values_of(stream: Stream, name: str, record: Any) -> list[Any]:
    """Return by what a record is recognised: its value, or of a list all of them."""
    value = getattr(record, name)
    codec = stream.fields[name].codec
    return [getattr(entry, LISTS[codec][0]) for entry in value] if codec in LISTS else [value]
