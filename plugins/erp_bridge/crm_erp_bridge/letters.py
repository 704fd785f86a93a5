"""Dead letters: what did not get through in either direction, until somebody replays or discards it."""

from __future__ import annotations

from typing import Any

from crm_core import Invalid, Refused, Session

from .bridge import Bridge
from .intake import judge
from .keeping import from_plain
from .ledger import OPEN, SUPERSEDED, Binding, OpState, Outbound, Parked, ParkedState
from .mapping import Stream
from .merge import sent_values
from .queue import Wanted, enqueue
from .settings import Settings
from .status import PARKED
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


def replay(session: Session, letter: Outbound | Parked) -> Outbound | Parked:
    """Queue a write once more, or take a record in once more."""
    _may(session)
    with session.elevated("replay") as own:
        if isinstance(letter, Outbound):
            _write_again(own, own.lock(Outbound, letter.id))
        else:
            _take_again(own, own.lock(Parked, letter.id))
    return session.get(type(letter), letter.id)


def _write_again(own: Session, letter: Outbound) -> None:
    """Queue a write once more; where our record changed since, what it says now goes under a new key, as a key keeps its values."""
    _must(letter.state is OpState.DEAD)
    stream = _stream(own, letter)
    record = own.find(own.crm.entity(stream.record), letter.local_id)
    present = sent_values(stream, stream.ours(own.crm.to_json(record))) if record else letter.values
    on_its_way = own.query(Outbound).where(Outbound.local_key == letter.local_key, Outbound.state.in_(OPEN)).count()
    if present == letter.values and not on_its_way:
        now = own.crm.runtime.clock.now()
        own.update(Outbound, letter.id, {"state": OpState.QUEUED, "attempts": 0, "next_try": now, "error": {}})
        return
    own.update(Outbound, letter.id, SUPERSEDED)
    if not on_its_way:
        enqueue(own, letter.bridge, [Wanted(stream, letter.scope, letter.local_id, present, f"{letter.id}@replay")])


def _take_again(own: Session, letter: Parked) -> None:
    _must(letter.state in PARKED)
    if letter.error.get("conflicts"):
        _settle(own, letter, theirs=True)
        return
    stream, remote = _stream(own, letter), from_plain(letter.remote)
    take_in(own, letter.bridge, stream, remote.scope, judge(own, letter.bridge, stream, [remote]))


def discard(session: Session, letter: Outbound | Parked, reason: str) -> Outbound | Parked:
    """Give a letter up for good."""
    _may(session)
    if not reason.strip():
        raise Invalid("erp_bridge.reason_missing")
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


def _stream(session: Session, letter: Outbound | Parked) -> Stream:
    return bridge_named(session, letter.bridge).mapping.streams[letter.stream]


def _settle(own: Session, letter: Parked, *, theirs: bool) -> None:
    """Decide a conflict: theirs are written here, or ours there."""
    stream = _stream(own, letter)
    binding = own.query(Binding).where(Binding.remote_key == letter.remote_key).one()
    entity = own.crm.entity(stream.record)
    record: Any = own.get(entity, binding.local_id)
    conflicts: dict[str, list[Any]] = letter.error["conflicts"]
    if theirs:
        plain = own.crm.to_json(record)
        own.update(entity, record.id, {name: stream.fields[name].into(both[1], plain) for name, both in conflicts.items()})
        own.update(Parked, letter.id, {"state": ParkedState.DONE})
        return
    open_line = own.query(Outbound).where(Outbound.local_key == binding.local_key, Outbound.state.in_(OPEN)).count()
    if not open_line:
        values = sent_values(stream, stream.ours(own.crm.to_json(record)))
        enqueue(own, letter.bridge, [Wanted(stream, binding.scope, record.id, values, f"{letter.id}@{letter.version}")])
