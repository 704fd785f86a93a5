"""The queue to the ERP: what is to be written there, put in by subscribers, each event once and in batches [C63]."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from sqlalchemy import func, select

from crm_core import Account, Contact, Created, Entity, Link, Session, Updated

from .bridge import Bridge
from .ledger import OPEN, SUPERSEDED, Binding, OpState, Outbound, bindings_to, joined, operation_key
from .mapping import Stream
from .merge import hash_of, sent_values
from .plugin import plugin
from .settings import Settings

Offered = Mapping[str, tuple[Entity, str]]


@attrs.frozen
class Wanted:
    """A write to be queued. ``source`` says what it came from; nothing is queued twice for one."""

    stream: Stream
    scope: str
    local_id: str
    values: Mapping[str, Any]
    source: str


def enqueue(session: Session, bridge: str, wanted: Sequence[Wanted]) -> int:
    """Queue writes in their order, and return how many; each one's key follows from the record and its place in the record's line."""
    if not wanted:
        return 0
    keys = [joined(bridge, w.stream.name, w.local_id) for w in wanted]
    known = set(session.execute(select(Outbound.source).where(Outbound.source.in_([w.source for w in wanted]))).scalars())
    counting = select(Outbound.local_key, func.count()).where(Outbound.local_key.in_(keys)).group_by(Outbound.local_key)
    places: Counter[str] = Counter({row[0]: row[1] for row in session.execute(counting)})
    rows: list[Outbound] = []
    for each, local_key in zip(wanted, keys, strict=True):
        if each.source in known:
            continue
        known.add(each.source)
        places[local_key] += 1
        rows.append(_row(session, bridge, each, local_key, places[local_key]))
    session.create_many(rows)
    return len(rows)


def renew(session: Session, bridge: str, wanted: Wanted, *, known: bool) -> None:
    """Give up the writes of a record that have not left us, and queue what it says now, unless the ERP has that already (*known*)."""
    local_key = joined(bridge, wanted.stream.name, wanted.local_id)
    unsent = (OpState.QUEUED, OpState.DEAD)
    session.update_where(session.query(Outbound).where(Outbound.local_key == local_key, Outbound.state.in_(unsent)), SUPERSEDED)
    if not known:
        enqueue(session, bridge, [wanted])


def _row(session: Session, bridge: str, wanted: Wanted, local_key: str, sequence: int) -> Outbound:
    return Outbound(
        bridge=bridge,
        stream=wanted.stream.name,
        scope=wanted.scope,
        local_key=local_key,
        local_id=wanted.local_id,
        sequence=sequence,
        source=wanted.source,
        key=operation_key(bridge, wanted.stream.name, wanted.local_id, sequence),
        values=dict(wanted.values),
        next_try=session.crm.runtime.clock.now(),
    )


def offer(reader: Session, own: Session, offered: Sequence[tuple[Entity, str]]) -> int:
    """Queue records for every ERP that is to have them, and before them what they point at; return how many writes that are.

    Args:
        reader: sees the records and what they point at.
        own: sees and writes the bridge's own records.
        offered: records, each with what it comes from; of one that is there twice, the last counts.
    """
    done = 0
    for bridge in own.settings(Settings).bridges:
        if bridge.scopes_of(own.actor.tenant):
            for stream in bridge.mapping.streams.values():
                # Compared by name: a section of a module that is not loaded has nothing to send, and holds up no other.
                mine = {record.id: (record, source) for record, source in offered if Link.to(record).entity == stream.record}
                done += enqueue(own, bridge.name, list(_wanted(reader, own, bridge, stream, mine, needed=False)))
    return done


def _wanted(reader: Session, own: Session, bridge: Bridge, stream: Stream, offered: Offered, *, needed: bool) -> Iterator[Wanted]:
    """Yield what is to be written, parents first."""
    if stream.to_erp == "never" or not offered:
        return
    bound = bindings_to(own, bridge.name, stream.name, list(offered))
    lines = _lines(own, bridge.name, stream, list(offered))
    found: list[Wanted] = []
    for id, (record, source) in offered.items():
        values = sent_values(stream, stream.ours(own.crm.to_json(record)))
        if _is_news(stream, values, bound.get(id), lines.get(id), needed=needed):
            scope = bound[id].scope if id in bound else bridge.scopes_of(own.actor.tenant)[0]
            found.append(Wanted(stream, scope, id, values, f"{joined(bridge.name, stream.name, id)}@{source}"))
    yield from _parents(reader, own, bridge, stream, found)
    yield from found


def _lines(own: Session, bridge: str, stream: Stream, ids: Sequence[str]) -> dict[str, Outbound]:
    """Return the last write of each record's line."""
    rows = own.query(Outbound).where(Outbound.local_key.in_([joined(bridge, stream.name, id) for id in ids]))
    return {row.local_id: row for row in rows.order_by(Outbound.sequence).all()}


def _is_news(stream: Stream, values: Mapping[str, Any], binding: Binding | None, line: Outbound | None, *, needed: bool) -> bool:
    """Say whether the ERP is to have a record, and does not have it like this or is about to get it."""
    if binding is None and (stream.to_erp == "known" or not (line or needed or stream.to_erp == "always")):
        return False
    if line is not None and (line.state in OPEN or line.state is OpState.DEAD):
        return bool(line.values != values)  # the same once more is for a person to ask
    return binding is None or hash_of(values) != binding.sent_hash


def _parents(reader: Session, own: Session, bridge: Bridge, stream: Stream, children: Sequence[Wanted]) -> Iterator[Wanted]:
    """Yield what *children* point at and the ERP does not have."""
    for field in (f for f in stream.sent if f.codec == "ref"):
        parent = bridge.mapping.streams[field.stream]
        asked = {c.values[field.field]: c.source for c in children if c.values.get(field.field)}
        known = bindings_to(own, bridge.name, parent.name, list(asked)).keys() | _lines(own, bridge.name, parent, list(asked)).keys()
        missing = [id for id in asked if id not in known]
        if missing and parent.to_erp in ("always", "needed"):
            records = reader.get_many(own.crm.entity(parent.record), missing)
            yield from _wanted(reader, own, bridge, parent, {r.id: (r, asked[r.id]) for r in records}, needed=True)


@plugin.on(Created[Account], batch=True)
@plugin.on(Updated[Account], batch=True)
@plugin.on(Created[Contact], batch=True)
@plugin.on(Updated[Contact], batch=True)
def queue_changes(session: Session, events: list[Any]) -> None:
    """Queue customers and people as their mappings say; what the bridge itself just took over is known by its hash, and left out."""
    for entity in (Account, Contact):
        sources = {e.record.id: e.id for e in events if e.record.entity is entity}
        offer(session, session, [(record, sources[record.id]) for record in session.get_many(entity, list(sources))])
