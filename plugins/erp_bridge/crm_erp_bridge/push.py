"""Push: write what is queued, in each record's order and parents first; what left us is noted before it leaves [C63].

A try is three steps: note in a transaction that it is sent, ask the ERP without one, keep the answer in a second one. Whoever dies in
between leaves the note, and the next run asks the ERP by the key what became of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from crm_core import CRMError, Session

from .channel import Channel
from .connector import AuthFailed, Conflict, Fatal, Invalid, NotOffered, Ok, Op, OpResult, Pending, Remote, Retry, Throttled, Unavailable
from .intake import judge, problem_of
from .ledger import OPEN, Binding, OpState, Outbound, ParkedState, bindings_to, close_letters, conflicts_of, joined, supersede
from .mapping import Stream
from .merge import hash_of, sent_values
from .settings import Settings
from .taking import take_in

LONGEST = timedelta(hours=1)
OLDEST = timedelta(hours=24)


def push(channel: Channel, counts: Counter[str]) -> None:
    """Write what is due; count how many ops ended how, by ``stream.state``.

    Raises:
        AuthFailed, Throttled, Unavailable: the run stopped; what was not written is still queued.
    """
    with channel.leased():
        settle(channel)
        for stream in (s for s in channel.streams if s.to_erp != "never"):
            while batch := _next(channel, stream):
                counts += _write(channel, stream, *batch)


def settle(channel: Channel) -> None:
    """Find out what became of writes that left us before somebody died or a connection broke.

    What the ERP does not know, or cannot tell, is queued again under its key.
    """
    with channel.session("settle") as session:
        lost = session.query(Outbound).where(Outbound.bridge == channel.name, Outbound.state == OpState.SENT).order_by(Outbound.id).all()
    for row in lost:
        stream = channel.bridge.mapping.streams.get(row.stream)
        if stream is None:
            continue
        try:
            found = channel.call(channel.connector.find, stream.entity, row.key)
        except NotOffered:
            found = []
        with channel.session("settle") as session:
            if not found or row.kind != "create":
                session.update(Outbound, row.id, {"state": OpState.QUEUED})
            elif found[0].state and found[0].state == channel.caps(stream).states.get("in_approval"):
                _kept(channel, session, stream, row, Pending(found[0].id, waits_for="", poll_after=timedelta(0)))
            else:
                _kept(channel, session, stream, row, Ok(found[0].id, found[0].version))


def _next(channel: Channel, stream: Stream) -> tuple[list[Outbound], list[Op]] | None:
    """Note the next ops as sent and return them; None where nothing is due."""
    with channel.session("push") as session:
        due = _heads(channel, session, stream)
        if not due:
            return None
        bound = bindings_to(session, channel.name, stream.name, [row.local_id for row in due])
        undecided = conflicts_of(session, [b.remote_key for b in bound.values()])
        rows: list[Outbound] = []
        ops: list[Op] = []
        for row in due:
            binding = bound.get(row.local_id)
            if binding is not None and binding.remote_key in undecided and row.state is OpState.QUEUED:
                _put_off(channel, session, row, binding.remote_key)
                continue
            if binding is not None and row.state is OpState.QUEUED and hash_of(row.values) == binding.sent_hash:
                session.update(Outbound, row.id, {"state": OpState.DONE, "remote_id": binding.remote_id})
                supersede(session, row)
                continue
            op = _op(channel, session, stream, row, binding)
            if op is not None:
                changes = {"state": OpState.SENT, "attempts": row.attempts + 1, "kind": op.kind, "remote_id": op.remote_id}
                rows.append(session.update(Outbound, row.id, changes))
                ops.append(op)
    return rows, ops


def _heads(channel: Channel, session: Session, stream: Stream) -> list[Outbound]:
    """Return due ops, of each record its oldest open one alone."""
    mine = session.query(Outbound).where(Outbound.bridge == channel.name, Outbound.stream == stream.name)
    ready = mine.where(Outbound.state.in_((OpState.QUEUED, OpState.PENDING)), Outbound.next_try <= channel.now())
    found = ready.order_by(Outbound.id).page(channel.caps(stream).bulk_write).items
    if not found:
        return []
    lines = mine.where(Outbound.state.in_(OPEN), Outbound.local_key.in_([row.local_key for row in found])).all()
    oldest: dict[str, Outbound] = {}
    for row in sorted(lines, key=lambda r: -r.sequence):
        oldest[row.local_key] = row
    heads = [row for row in found if oldest[row.local_key].id == row.id]
    for row in found:
        if row not in heads:  # it comes when its head is through
            session.update(Outbound, row.id, {"next_try": max(channel.now(), oldest[row.local_key].next_try) + timedelta(seconds=1)})
    return heads


def _op(channel: Channel, session: Session, stream: Stream, row: Outbound, binding: Binding | None) -> Op | None:
    """Make the op, or put it off where what it points at is not in the ERP yet, or end it where it cannot be written."""
    # A create that is repeated stays one, also where a pending answer has told its id already.
    kind: Literal["create", "update"] = "create" if row.kind == "create" or binding is None else "update"
    data: dict[str, Any] = {}
    try:
        if not getattr(channel.caps(stream), kind):
            raise NotOffered(what=f"{kind} {stream.entity}")
        for field in stream.sent:
            value = row.values.get(field.field)
            if field.codec == "ref" and value is not None:
                parent = bindings_to(session, channel.name, field.stream, [value]).get(value)
                if parent is None:
                    _put_off(channel, session, row, joined(channel.name, field.stream, value))
                    return None
                value = parent.remote_id
            field.write(value, data)
    except CRMError as e:
        session.update(Outbound, row.id, {"state": OpState.DEAD, "error": problem_of(e)})
        return None
    version = binding.remote_version if binding and kind == "update" and channel.caps(stream).optimistic_lock else None
    remote_id = binding.remote_id if binding else None
    return Op(row.key, kind, stream.entity, row.scope, remote_id, data, version or None)


def _put_off(channel: Channel, session: Session, row: Outbound, waits_for: str) -> None:
    later = channel.now() + timedelta(seconds=session.settings(Settings).first_delay_seconds)
    session.update(Outbound, row.id, {"next_try": later, "waits_for": waits_for[:200]})


def _write(channel: Channel, stream: Stream, rows: Sequence[Outbound], ops: Sequence[Op]) -> Counter[str]:
    if not ops:
        return Counter()
    try:
        results = channel.call(channel.connector.apply, ops)
        if len(results) != len(ops):
            raise Unavailable(reason=f"{len(results)} results for {len(ops)} ops")
    except (AuthFailed, Throttled) as e:
        _put_back(channel, rows, e.after if isinstance(e, Throttled) else timedelta(0))
        raise
    except Unavailable:
        raise  # the rows stay "sent": the next run asks what became of them
    except Exception as e:
        results = [Fatal(f"{type(e).__name__} in the connector") for _ in ops]
    counts: Counter[str] = Counter()
    with channel.session("push") as session:
        for row, result in zip(rows, results, strict=True):
            counts[f"{stream.name}.{_kept(channel, session, stream, row, result)}"] += 1
    return counts


def _put_back(channel: Channel, rows: Sequence[Outbound], after: timedelta) -> None:
    with channel.session("push") as session:
        for row in rows:
            session.update(Outbound, row.id, {"state": OpState.QUEUED, "next_try": channel.now() + after})


def _kept(channel: Channel, session: Session, stream: Stream, row: Outbound, result: OpResult) -> str:
    """Keep an answer; one that cannot be, as an id that is bound already, is a dead letter and spoils no other."""
    try:
        with session.savepoint():
            return _keep(channel, session, stream, row, result)
    except CRMError as e:
        return _dead(session, row, problem_of(e))


def _keep(channel: Channel, session: Session, stream: Stream, row: Outbound, result: OpResult) -> str:
    match result:
        case Ok(id, version):
            _done(channel, session, stream, row, id, version)
            return "done"
        case Pending():
            return _pending(channel, session, stream, row, result)
        case Invalid(errors):
            return _dead(
                session, row, {"code": "erp_bridge.refused_fields", "fields": [{"field": f, "code": m} for f, m in errors.items()]}
            )
        case Fatal(reason):
            return _dead(session, row, {"code": "erp_bridge.fatal", "params": {"reason": reason[:200]}})
        case Conflict(current):
            return _merged(channel, session, stream, row, current)
        case Retry(after):
            return _again(channel, session, row, after, {"code": "erp_bridge.not_now", "params": {}})
    return _dead(session, row, {"code": "erp_bridge.fatal", "params": {"reason": type(result).__name__}})


def _done(channel: Channel, session: Session, stream: Stream, row: Outbound, id: str, version: str) -> None:
    _bind(channel, session, stream, row, id, version)
    session.update(Outbound, row.id, {"state": OpState.DONE, "remote_id": id, "error": {}, "waits_for": ""})
    supersede(session, row)
    # What was on its way before the conflict was seen: the ERP decided, and took ours.
    close_letters(session, [joined(channel.name, stream.name, id)], (ParkedState.CONFLICT,))


def _bind(channel: Channel, session: Session, stream: Stream, row: Outbound, id: str, version: str) -> None:
    """Bind our record to the ERP's, with what was written as the common ground."""
    news: dict[str, Any] = {"remote_version": version, "sent_hash": hash_of(row.values), "synced_at": channel.now()}
    known = bindings_to(session, channel.name, stream.name, [row.local_id]).get(row.local_id)
    if known is not None:
        session.update(Binding, known.id, {**news, "base": {**known.base, **row.values}})
        return
    session.create(
        Binding(
            bridge=channel.name, stream=stream.name, scope=row.scope, remote_id=id, record=stream.record, local_id=row.local_id,
            base=row.values,
            remote_key=joined(channel.name, stream.name, id), local_key=row.local_key, **news,
        )
    )  # fmt: skip


def _pending(channel: Channel, session: Session, stream: Stream, row: Outbound, result: Pending) -> str:
    if result.id:
        _bind(channel, session, stream, row, result.id, "")
    changes = {"state": OpState.PENDING, "waits_for": result.waits_for[:200], "next_try": channel.now() + result.poll_after}
    session.update(Outbound, row.id, {**changes, "remote_id": result.id or None, "attempts": 0})
    return "pending"


def _merged(channel: Channel, session: Session, stream: Stream, row: Outbound, current: Remote) -> str:
    """Take in how the ERP has the record now; what is ours then goes again on top of that, unless a person must decide first."""
    verdicts = judge(session, channel.name, stream, [current])
    take_in(session, channel.name, stream, row.scope, verdicts)
    (verdict,) = verdicts
    if verdict.conflicts or verdict.kind == "invalid":
        return _dead(session, row, verdict.error)
    session.update(Outbound, row.id, {"values": sent_values(stream, {**verdict.ours, **verdict.changes})})
    return _again(channel, session, row, timedelta(0), {"code": "erp_bridge.changed_there", "params": {"id": current.id}})


def _again(channel: Channel, session: Session, row: Outbound, after: timedelta, error: dict[str, Any]) -> str:
    settings = session.settings(Settings)
    if row.attempts >= settings.most_tries or channel.now() - row.created_at > OLDEST:
        return _dead(session, row, error)
    pause = max(after, delay(row.attempts, settings.first_delay_seconds, channel.crm.runtime.random.random()))
    session.update(Outbound, row.id, {"state": OpState.QUEUED, "next_try": channel.now() + pause, "error": error})
    return "queued"


def delay(attempts: int, first: int, chance: float) -> timedelta:
    """Return the pause after so many tries: exponential with full jitter (AWS, "Exponential Backoff And Jitter"), an hour at most."""
    return min(LONGEST, timedelta(seconds=first * 2.0 ** min(attempts - 1, 20))) * chance


def _dead(session: Session, row: Outbound, error: dict[str, Any]) -> str:
    session.update(Outbound, row.id, {"state": OpState.DEAD, "error": error})
    return "dead"
