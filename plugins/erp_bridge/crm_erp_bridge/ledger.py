"""What the bridge keeps: bindings, the queue to the ERP, what it could not take in, cursors, runs and used-up files.

A key field joins the parts that must be unique together, so the database itself refuses a second one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar
from uuid import NAMESPACE_URL, uuid5

from crm_core import Entity, Field, Session, field

from .plugin import plugin


class OpState(Enum):
    """How far a write to the ERP is. ``sent``: it left us, and nobody knows yet whether it arrived."""

    QUEUED = "queued"
    SENT = "sent"
    PENDING = "pending"
    DONE = "done"
    DEAD = "dead"
    DISCARDED = "discarded"


OPEN = (OpState.QUEUED, OpState.SENT, OpState.PENDING)
"""The states of a write that is still on its way."""

SUPERSEDED: Mapping[str, Any] = {
    "state": OpState.DISCARDED,
    "reason": "superseded",
    "error": {"code": "erp_bridge.superseded", "params": {}},
}
"""What becomes of a dead letter when a later write of its record takes its place."""


class ParkedState(Enum):
    """Whether a record that could not be taken in still waits."""

    WAITING = "waiting"
    CONFLICT = "conflict"
    DEAD = "dead"
    DONE = "done"
    DISCARDED = "discarded"


PARKED = (ParkedState.DEAD, ParkedState.CONFLICT, ParkedState.WAITING)
"""The states of a record that is still not taken in."""


class RunKind(Enum):
    """What a run did."""

    PULL = "pull"
    PUSH = "push"
    RECONCILE = "reconcile"


class Binding(Entity):
    """This record of the ERP is that record of ours: one to one, both ways.

    Attributes:
        base: the values on which both sides last agreed, in our words.
        remote_version: the ERP's version that was last seen or written.
        sent_hash: of what was last written there, so that it is known when it comes back, and not written twice.
        missing: in how many scans running the ERP did not have it.
        gone_at: since when it is deleted there.
        bridge: the connector.
        stream: the kind of records.
        scope: the part of the ERP, such as a company.
        remote_id: the ERP's id of the record.
        local_id: our id of it.
        remote_key: what makes the ERP's side one of a kind.
        local_key: what makes our side one of a kind.
        synced_at: when the two were the same last.
        record: the name of our entity.
    """

    __erased__: ClassVar[str] = "delete"

    bridge: Field[str] = field(length=60)
    stream: Field[str] = field(length=60)
    scope: Field[str] = field(default="", length=60)
    remote_id: Field[str] = field(length=200)
    record: Field[str] = field(length=127)
    local_id: Field[str] = field(length=36)
    remote_key: Field[str] = field(length=400, unique=True)
    local_key: Field[str] = field(length=400, unique=True)
    base: Field[dict[str, Any]] = field(factory=dict, pii=True)
    remote_version: Field[str] = field(default="", length=200)
    sent_hash: Field[str] = field(default="", length=64)
    missing: Field[int] = field(default=0)
    gone_at: Field[datetime | None] = field(default=None)
    synced_at: Field[datetime]


class Outbound(Entity):
    """A write on its way to the ERP; one record's go in order, and its parents' before it. ``key`` is the idempotency key.

    Attributes:
        bridge: the connector.
        stream: the kind of records.
        scope: the part of the ERP, such as a company.
        local_key: which record of ours.
        local_id: its id.
        sequence: the place among the writes of its record.
        source: what asked for it, so that nothing asks twice.
        kind: whether it creates, updates or deletes.
        values: what is written.
        state: how far it is.
        next_try: when it is tried again.
        remote_id: the ERP's id, once it is known.
        waits_for: the write that must be done first, or the record of the ERP whose conflict must be decided first.
        reason: why it was discarded.
    """

    __erased__: ClassVar[str] = "delete"

    bridge: Field[str] = field(length=60)
    stream: Field[str] = field(length=60)
    scope: Field[str] = field(default="", length=60)
    local_key: Field[str] = field(length=400, index=True)
    local_id: Field[str] = field(length=36)
    sequence: Field[int]
    key: Field[str] = field(length=36, unique=True)
    source: Field[str] = field(length=400, unique=True)
    kind: Field[str] = field(default="", length=10)
    values: Field[dict[str, Any]] = field(pii=True)
    state: Field[OpState] = field(default=OpState.QUEUED, index=True)
    attempts: Field[int] = field(default=0)
    next_try: Field[datetime]
    remote_id: Field[str | None] = field(default=None, length=200)
    waits_for: Field[str] = field(default="", length=200)
    error: Field[dict[str, Any]] = field(factory=dict, pii=True)
    reason: Field[str] = field(default="", text=True, pii=True)


class Parked(Entity):
    """A record of the ERP that could not be taken in, with what is wrong; newer versions of it replace it here.

    Attributes:
        bridge: the connector.
        stream: the kind of records.
        remote_key: which record of the ERP.
        remote: the record as it came.
        state: how far it is.
        reason: why it was discarded.
    """

    bridge: Field[str] = field(length=60)
    stream: Field[str] = field(length=60)
    remote_key: Field[str] = field(length=400, unique=True)
    remote: Field[dict[str, Any]] = field(pii=True)
    state: Field[ParkedState] = field(index=True)
    error: Field[dict[str, Any]] = field(factory=dict, pii=True)
    reason: Field[str] = field(default="", text=True, pii=True)


class Cursor(Entity):
    """How far a stream of a scope is read. It moves in the transaction that keeps what was read.

    Attributes:
        key: the bridge, stream and scope; the bridge alone says with which stream the next pull begins.
        cursor: the ERP's word for how far, or the stream to begin with.
        at: when it moved last.
    """

    key: Field[str] = field(length=200, unique=True)
    cursor: Field[str | None] = field(default=None, text=True)
    at: Field[datetime | None] = field(default=None)


class SeenFile(Entity):
    """A file that is used up, by its name and content.

    Attributes:
        key: the bridge, and what the file is known by.
        name: the file's name when it was read.
    """

    key: Field[str] = field(length=200, unique=True)
    name: Field[str] = field(default="", text=True, classified="internal")


class Run(Entity):
    """What one run did, and how it ended.

    Attributes:
        bridge: the connector.
        kind: whether it pulled, pushed or compared.
        ended_at: when it ended.
        ok: whether all went well.
        counts: how many records it read, wrote and parked.
    """

    bridge: Field[str] = field(length=60, index=True)
    kind: Field[RunKind]
    ended_at: Field[datetime]
    ok: Field[bool]
    counts: Field[dict[str, Any]] = field(factory=dict)
    error: Field[str] = field(default="", text=True)


class Lease(Entity):
    """Who works on a bridge now: pulls and pushes of one bridge and tenant do not overlap.

    Attributes:
        bridge: the connector.
        holder: the run that has it; empty where none has.
        until: when it falls to others.
    """

    bridge: Field[str] = field(length=60, unique=True)
    holder: Field[str] = field(default="", length=36)
    until: Field[datetime | None] = field(default=None)


plugin.entities(Binding, Outbound, Parked, Cursor, SeenFile, Run, Lease)


def joined(bridge: str, stream: str, id: str) -> str:
    """Return the key of one record on one side of a bridge."""
    return f"{bridge}:{stream}:{id}"


def operation_key(bridge: str, stream: str, local_id: str, sequence: int) -> str:
    """Return the idempotency key of a record's n-th write; the same whoever computes it, and whenever."""
    return str(uuid5(NAMESPACE_URL, f"crm:{bridge}/{stream}/{local_id}/{sequence}"))


def bindings_of(session: Session, bridge: str, stream: str, remote_ids: Sequence[str]) -> dict[str, Binding]:
    """Return the bindings of the ERP's records by their ids."""
    found: dict[str, Binding] = {}
    keys = [joined(bridge, stream, id) for id in dict.fromkeys(remote_ids)]
    for start in range(0, len(keys), 500):
        for binding in session.query(Binding).where(Binding.remote_key.in_(keys[start : start + 500])).all():
            found[binding.remote_id] = binding
    return found


def bindings_to(session: Session, bridge: str, stream: str, local_ids: Sequence[str]) -> dict[str, Binding]:
    """Return the bindings of our records by their ids."""
    found: dict[str, Binding] = {}
    keys = [joined(bridge, stream, id) for id in dict.fromkeys(local_ids)]
    for start in range(0, len(keys), 500):
        for binding in session.query(Binding).where(Binding.local_key.in_(keys[start : start + 500])).all():
            found[binding.local_id] = binding
    return found


def conflicts_of(session: Session, remote_keys: Sequence[str]) -> dict[str, Parked]:
    """Return the open conflicts of the ERP's records by their keys: until somebody decides, nothing of them is written there."""
    found: dict[str, Parked] = {}
    for start in range(0, len(remote_keys), 500):
        some = session.query(Parked).where(Parked.remote_key.in_(remote_keys[start : start + 500]), Parked.state == ParkedState.CONFLICT)
        found |= {letter.remote_key: letter for letter in some.all()}
    return found


def close_letters(session: Session, remote_keys: Sequence[str], states: Sequence[ParkedState] = PARKED) -> None:
    """Close the letters of the ERP's records: they are taken in, or gone."""
    for start in range(0, len(remote_keys), 500):
        letters = session.query(Parked).where(Parked.remote_key.in_(remote_keys[start : start + 500]), Parked.state.in_(states))
        session.update_where(letters, {"state": ParkedState.DONE})


def supersede(session: Session, done: Outbound) -> None:
    """Give up older dead letters of the same record: what they would send is older than what the ERP has by now."""
    older = session.query(Outbound).where(
        Outbound.local_key == done.local_key, Outbound.sequence < done.sequence, Outbound.state == OpState.DEAD
    )
    session.update_where(older, SUPERSEDED)
