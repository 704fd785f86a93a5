"""Dead letters: what did not get through in either direction, until somebody replays or discards it."""

from __future__ import annotations

from typing import Any

from crm_core import Invalid, Refused, Session

from .bridge import Bridge
from .connector import Remote
from .due import due_of
from .intake import judge
from .keeping import from_plain
from .ledger import OPEN, PARKED, SUPERSEDED, Binding, OpState, Outbound, Parked, ParkedState, joined
from .mapping import Stream
from .merge import hash_of, sent_values
from .queue import Wanted, enqueue, renew
from .settings import Settings
from .taking import take_in


def dead_letters(session: Session, bridge: str | None, limit: int) -> list[Outbound | Parked]:
    """Return dead letters of both directions, oldest first."""
    out = session.query(Outbound).where(Outbound.state == OpState.DEAD)
    parked = session.query(Parked).where(Parked.state.in_(PARKED))
    if bridge is not None:
        out, parked = out.where(Outbound.bridge == bridge), parked.where(Parked.bridge == bridge)
    found: list[Outbound | Parked] = [*out.order_by(Outbound.id).page(limit), *parked.order_by(Parked.id).page(limit)]
    return sorted(found, key=lambda letter: letter.id)[:limit]


def waiting(session: Session, bridge: str, stream: str) -> tuple[int, int]:
    """Count a stream's dead letters, and its writes that are on their way."""
    out = session.query(Outbound).where(Outbound.bridge == bridge, Outbound.stream == stream)
    parked = session.query(Parked).where(Parked.bridge == bridge, Parked.stream == stream, Parked.state.in_(PARKED))
    return out.where(Outbound.state == OpState.DEAD).count() + parked.count(), out.where(Outbound.state.in_(OPEN)).count()


def replay(session: Session, letter: Outbound | Parked, now: Remote | None = None) -> Outbound | Parked:
    """Queue a write once more, or take a record in once more: as it is *now* in the ERP, or else the newest version that is known."""
    _may(session)
    session.get(type(letter), letter.id)  # what they do not see is not theirs to move
    with session.elevated("replay") as own:
        if isinstance(letter, Outbound):
            _write_again(own, own.lock(Outbound, letter.id))
        else:
            _take_again(own, own.lock(Parked, letter.id), now)
    return session.get(type(letter), letter.id)


def _write_again(own: Session, letter: Outbound) -> None:
    """Queue a write once more; where our record changed since, what it says now goes under a new key, as a key keeps its values."""
    _must(letter.state is OpState.DEAD)
    stream = _stream(own, letter)
    found = due_of(own, stream.record, [letter.local_id])
    if found is not None and not found:
        raise Refused("erp_bridge.not_due", record=stream.record, id=letter.local_id)
    present = letter.values if found is None else sent_values(stream, stream.ours(found[letter.local_id]))
    on_its_way = own.query(Outbound).where(Outbound.local_key == letter.local_key, Outbound.state.in_(OPEN)).count()
    if present == letter.values and not on_its_way:
        now = own.crm.runtime.clock.now()
        own.update(Outbound, letter.id, {"state": OpState.QUEUED, "attempts": 0, "next_try": now, "error": {}})
        return
    own.update(Outbound, letter.id, SUPERSEDED)
    if not on_its_way:
        enqueue(own, letter.bridge, [Wanted(stream, letter.scope, letter.local_id, present, f"{letter.id}@replay")])


def _take_again(own: Session, letter: Parked, now: Remote | None) -> None:
    _must(letter.state in PARKED)
    binding = own.query(Binding).where(Binding.remote_key == letter.remote_key).first()
    if now is None and binding is not None and binding.synced_at > letter.updated_at:
        raise Refused("erp_bridge.letter_outdated", id=letter.remote["id"])
    conflict = bool(letter.error.get("conflicts"))
    if now is not None or not conflict:
        stream, remote = _stream(own, letter), now or from_plain(letter.remote)
        take_in(own, letter.bridge, stream, remote.scope, judge(own, letter.bridge, stream, [remote]))
        letter = own.lock(Parked, letter.id)
    if conflict and letter.error.get("conflicts") and letter.state is ParkedState.CONFLICT:
        _settle(own, letter, theirs=True)


def bind(session: Session, letter: Parked, record: str) -> Parked:
    """Decide that a record of the ERP is that record of ours, and take it in as such."""
    _may(session)
    letter = session.get(Parked, letter.id)
    entity = session.crm.entity(_stream(session, letter).record)
    session.get(entity, record)  # one that the actor does not see is not there
    with session.elevated("bind") as own:
        found = own.lock(Parked, letter.id)
        _must(found.state in PARKED)
        stream, remote = _stream(own, found), from_plain(found.remote)
        taken = own.query(Binding).where(
            (Binding.remote_key == found.remote_key) | (Binding.local_key == joined(found.bridge, stream.name, record))
        )
        other = taken.first()
        if other is not None:
            raise Refused("erp_bridge.bound_already", record=other.local_id, id=other.remote_id)
        verdicts = judge(own, found.bridge, stream, [remote], chosen={remote.id: record})
        take_in(own, found.bridge, stream, remote.scope, verdicts)
        (verdict,) = verdicts
        if verdict.binding is None:
            raise Refused(verdict.error.get("code", "erp_bridge.not_dead"), **verdict.error.get("params", {}))
    return session.get(Parked, letter.id)


def discard(session: Session, letter: Outbound | Parked, reason: str) -> Outbound | Parked:
    """Give a letter up for good."""
    _may(session)
    if not reason.strip():
        raise Invalid("erp_bridge.reason_missing")
    session.get(type(letter), letter.id)
    with session.elevated("discard") as own:
        if isinstance(letter, Outbound):
            _must(own.lock(Outbound, letter.id).state is OpState.DEAD)
            own.update(Outbound, letter.id, {"state": OpState.DISCARDED, "reason": reason})
        else:
            found = own.lock(Parked, letter.id)
            _must(found.state in PARKED)
            if found.error.get("conflicts"):
                _settle(own, found, theirs=False)
            own.update(Parked, letter.id, {"state": ParkedState.DISCARDED, "reason": reason})
    return session.get(type(letter), letter.id)


def _may(session: Session) -> None:
    denied = session.check_action("erp_bridge.operate", None)
    if denied is not None:
        raise denied


def _must(dead: bool) -> None:
    if not dead:
        raise Refused("erp_bridge.not_dead")


def bridge_named(session: Session, name: str) -> Bridge:
    """Return a bridge of the settings.

    Raises:
        Invalid: ``erp_bridge.unknown_bridge``.
    """
    bridges = {b.name: b for b in session.settings(Settings).bridges}
    if name not in bridges:
        raise Invalid("erp_bridge.unknown_bridge", given=name[:60], known=sorted(bridges))
    return bridges[name]


def letter_of(session: Session, bridge: str, id: str) -> Outbound | Parked:
    """Return a letter of a bridge by its id.

    Raises:
        Invalid: ``erp_bridge.unknown_letter``.
    """
    found = session.find(Outbound, id) or session.find(Parked, id)
    if found is None or found.bridge != bridge:
        raise Invalid("erp_bridge.unknown_letter", given=id[:60])
    return found


def _stream(session: Session, letter: Outbound | Parked) -> Stream:
    return bridge_named(session, letter.bridge).mapping.streams[letter.stream]


def _settle(own: Session, letter: Parked, *, theirs: bool) -> None:
    """Decide a conflict: theirs are written here, or ours there. What waited to be written is given up for what holds now."""
    stream = _stream(own, letter)
    binding = own.query(Binding).where(Binding.remote_key == letter.remote_key).one()
    entity = own.crm.entity(stream.record)
    record: Any = own.find(entity, binding.local_id)
    conflicts: dict[str, list[Any]] = letter.error["conflicts"]
    if theirs:
        own.update(Parked, letter.id, {"state": ParkedState.DONE})
    if record is None:
        return
    if theirs:
        plain = own.crm.to_json(record)
        record = own.update(entity, record.id, {name: stream.fields[name].into(both[1], plain) for name, both in conflicts.items()})
    base = {**binding.base, **{name: both[1] for name, both in conflicts.items()}}
    values = sent_values(stream, stream.ours(own.crm.to_json(record)))
    agreed = values == sent_values(stream, base)
    own.update(Binding, binding.id, {"base": base, "sent_hash": hash_of(values) if agreed else ""})
    renew(own, letter.bridge, Wanted(stream, binding.scope, record.id, values, f"{letter.id}@{letter.version}"), known=agreed)
