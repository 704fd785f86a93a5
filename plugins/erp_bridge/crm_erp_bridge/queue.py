"""The queue to the ERP: what is to be written there, put in by subscribers, each event once [C63]."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crm_core import Account, Contact, Created, Entity, Event, Session, Updated

from .bridge import Bridge
from .ledger import OPEN, Binding, Outbound, joined, operation_key
from .mapping import Stream
from .merge import hash_of, sent_values
from .plugin import plugin
from .settings import Settings


def enqueue(
    session: Session, bridge: str, stream: Stream, scope: str, local_id: str, values: Mapping[str, Any], *, source: str
) -> Outbound | None:
    """Put a write into the queue, once a *source*; its idempotency key follows from the record and its place in the record's line."""
    if session.query(Outbound).where(Outbound.source == source).first():
        return None
    local_key = joined(bridge, stream.name, local_id)
    sequence = session.query(Outbound).where(Outbound.local_key == local_key).count() + 1
    return session.create(
        Outbound(
            bridge=bridge, stream=stream.name, scope=scope, local_key=local_key, local_id=local_id, sequence=sequence, source=source,
            key=operation_key(bridge, stream.name, local_id, sequence), values=dict(values), next_try=session.crm.runtime.clock.now(),
        )
    )  # fmt: skip


def offer(reader: Session, own: Session, record: Entity, source: str) -> int:
    """Queue a record of ours for every ERP that is to have it, and before it what it points at; return how many writes that are.

    Args:
        reader: sees the record and what it points at.
        own: sees and writes the bridge's own records.
    """
    bridges = own.settings(Settings).bridges
    return sum(_offer(reader, own, b, s, record, source, needed=False) for b in bridges for s in _streams(own, b, record))


def _streams(own: Session, bridge: Bridge, record: Entity) -> Iterator[Stream]:
    if bridge.scopes_of(own.actor.tenant):
        for stream in bridge.mapping.streams.values():
            if stream.to_erp != "never" and own.crm.entity(stream.record) is type(record):
                yield stream


def _offer(reader: Session, own: Session, bridge: Bridge, stream: Stream, record: Entity, source: str, *, needed: bool) -> int:
    local_key = joined(bridge.name, stream.name, record.id)
    binding = own.query(Binding).where(Binding.local_key == local_key).first()
    line = own.query(Outbound).where(Outbound.local_key == local_key).order_by(Outbound.sequence.desc()).first()
    if not (binding or line or needed or stream.to_erp == "always") or (binding is None and stream.to_erp == "known"):
        return 0
    values = sent_values(stream, stream.ours(own.crm.to_json(record)))
    if line is not None and line.state in OPEN:
        known = line.values == values
    else:
        known = binding is not None and hash_of(values) == binding.sent_hash
    if known:
        return 0
    done = _offer_parents(reader, own, bridge, stream, values, source)
    scope = binding.scope if binding else bridge.scopes_of(own.actor.tenant)[0]
    return done + (enqueue(own, bridge.name, stream, scope, record.id, values, source=f"{local_key}@{source}") is not None)


def _offer_parents(reader: Session, own: Session, bridge: Bridge, stream: Stream, values: Mapping[str, Any], source: str) -> int:
    done = 0
    for field in (f for f in stream.sent if f.codec == "ref" and values.get(f.field)):
        parent_stream = bridge.mapping.streams[field.stream]
        key = joined(bridge.name, parent_stream.name, values[field.field])
        known = own.query(Binding).where(Binding.local_key == key).first() or own.query(Outbound).where(Outbound.local_key == key).first()
        parent = None if known else reader.find(own.crm.entity(parent_stream.record), values[field.field])
        if parent is not None and parent_stream.to_erp in ("always", "needed"):
            done += _offer(reader, own, bridge, parent_stream, parent, source, needed=True)
    return done


@plugin.on(Created[Account])
@plugin.on(Updated[Account])
@plugin.on(Created[Contact])
@plugin.on(Updated[Contact])
def queue_changes(session: Session, event: Event[Any]) -> None:
    """Queue customers and people as their mappings say; what the bridge itself just took over is known by its hash, and left out."""
    record = session.find(event.record.entity, event.record.id)
    if record is not None:
        offer(session, session, record, event.id)
