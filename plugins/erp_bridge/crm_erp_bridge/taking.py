"""Doing what was judged: our records, their bindings, and what must wait, in the session's transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from crm_core import CRMError, Entity, Ref, Session

from .intake import problem_of
from .keeping import key_of, to_plain
from .ledger import Binding, Parked, ParkedState, close_letters, conflicts_of, joined
from .mapping import Stream
from .merge import hash_of, sent_values
from .queue import Wanted, enqueue, renew
from .verdict import Verdict

OWN = "erp_bridge."


def take_in(session: Session, bridge: str, stream: Stream, scope: str, verdicts: Sequence[Verdict]) -> Counter[str]:
    """Create, change and delete as judged; what fails is parked and does not hold up the rest. Return how many of each kind."""
    _create(session, bridge, stream, scope, [v for v in verdicts if v.kind == "create"])
    for verdict in verdicts:
        if verdict.kind in ("update", "conflict") and verdict.local_id:
            _update(session, bridge, stream, scope, verdict)
        elif verdict.kind in ("same", "echo"):
            _note(session, stream, verdict)
        elif verdict.kind == "delete":
            _delete(session, stream, verdict)
    for verdict in verdicts:
        if _waits(verdict):
            _park(session, bridge, stream, verdict)
    _settle(session, bridge, stream, [v for v in verdicts if not _waits(v)])
    return Counter(v.kind for v in verdicts)


def _waits(verdict: Verdict) -> bool:
    """Say whether a letter is kept: it is not taken in, or not yet linked to all that it points at."""
    return verdict.kind in ("conflict", "waiting", "invalid") or bool(verdict.missing and verdict.kind not in ("delete", "skipped"))


def _create(session: Session, bridge: str, stream: Stream, scope: str, verdicts: Sequence[Verdict]) -> None:
    made = drafts(session, stream, verdicts)
    failed = dict(session.create_many([record for _, record in made], on_error="collect").failed)
    bindings = []
    for row, (verdict, record) in enumerate(made):
        if row in failed:
            verdict.kind, verdict.error = "invalid", problem_of(failed[row])
        else:
            verdict.ours = stream.ours(session.crm.to_json(record))
            bindings.append(_binding(session, bridge, stream, scope, verdict, record.id))
    session.create_many(bindings)


def drafts(session: Session, stream: Stream, verdicts: Sequence[Verdict]) -> list[tuple[Verdict, Entity]]:
    """Return a new record, not yet written, for each verdict to create one; a verdict whose values make none becomes invalid."""
    entity: Any = session.crm.entity(stream.record)
    made: list[tuple[Verdict, Entity]] = []
    for verdict in verdicts:
        given = {n: stream.fields[n].into(v, {}) for n, v in verdict.values.items() if v is not None}
        try:
            made.append((verdict, session.crm.from_json(entity, given)))
        except CRMError as e:
            verdict.kind, verdict.error = "invalid", problem_of(e)
    return made


def _binding(session: Session, bridge: str, stream: Stream, scope: str, verdict: Verdict, local_id: str) -> Binding:
    return Binding(
        bridge=bridge, stream=stream.name, scope=verdict.remote.scope or scope, remote_id=verdict.remote.id, record=stream.record,
        local_id=local_id, remote_key=joined(bridge, stream.name, verdict.remote.id), local_key=joined(bridge, stream.name, local_id),
        base={n: v for n, v in verdict.values.items() if n not in verdict.conflicts}, synced_at=_now(session),
        remote_version=verdict.remote.version, sent_hash=_agreed_hash(stream, verdict),
    )  # fmt: skip


def _agreed_hash(stream: Stream, verdict: Verdict) -> str:
    """Return the hash of our values where the ERP has the same, else nothing: then they are still to be sent."""
    ours = sent_values(stream, {**verdict.ours, **verdict.changes})
    return hash_of(ours) if ours == sent_values(stream, verdict.values) else ""


def _update(session: Session, bridge: str, stream: Stream, scope: str, verdict: Verdict) -> None:
    entity = session.crm.entity(stream.record)
    assert verdict.local_id is not None
    try:
        if verdict.changes:
            changes = {n: stream.fields[n].into(v, verdict.plain) for n, v in verdict.changes.items()}
            session.update(entity, verdict.local_id, changes)
        if verdict.binding is None:
            verdict.binding = session.create(_binding(session, bridge, stream, scope, verdict, verdict.local_id))
    except CRMError as e:
        verdict.kind, verdict.error = "invalid", problem_of(e)
        return
    _note(session, stream, verdict)
    if verdict.overruled:
        values = sent_values(stream, {**verdict.ours, **verdict.changes})
        source = f"{joined(bridge, stream.name, verdict.remote.id)}@{verdict.remote.version}"
        enqueue(session, bridge, [Wanted(stream, verdict.binding.scope, verdict.local_id, values, source)])


def _note(session: Session, stream: Stream, verdict: Verdict) -> None:
    """Remember what the ERP has now, where that is news."""
    binding = verdict.binding
    assert binding is not None
    sent = _agreed_hash(stream, verdict) or ("" if verdict.overruled or verdict.conflicts else binding.sent_hash)
    # On what is in conflict nobody has agreed yet: its base stays, so that each later version is compared with it.
    base = {n: v for n, v in {**verdict.values, **{n: binding.base.get(n) for n in verdict.conflicts}}.items() if n in verdict.values}
    news: dict[str, Any] = {"base": base, "remote_version": verdict.remote.version, "sent_hash": sent, "missing": 0}
    if binding.gone_at is not None:
        news["gone_at"] = None
    if any(getattr(binding, name) != value for name, value in news.items()):
        session.update(Binding, binding.id, {**news, "synced_at": _now(session)})


def _delete(session: Session, stream: Stream, verdict: Verdict) -> None:
    """A fact that the ERP deleted is deleted here; a customer or person stays, and its binding says that it is gone there."""
    assert verdict.binding is not None
    gone(session, stream, [verdict.binding])


def gone(session: Session, stream: Stream, bindings: Sequence[Binding]) -> None:
    """Take the ERP's records of *bindings* for deleted there."""
    entity = session.crm.entity(stream.record)
    for binding in bindings:
        if stream.record.startswith(OWN) and session.find(entity, binding.local_id):
            session.delete(Ref(entity, binding.local_id))
        session.update(Binding, binding.id, {"gone_at": _now(session), "synced_at": _now(session)})
    close_letters(session, [b.remote_key for b in bindings])


def _park(session: Session, bridge: str, stream: Stream, verdict: Verdict) -> None:
    states = {"conflict": ParkedState.CONFLICT, "invalid": ParkedState.DEAD}
    state = states.get(verdict.kind, ParkedState.WAITING)
    error = dict(verdict.error)
    if verdict.conflicts:
        error["conflicts"] = {name: list(both) for name, both in verdict.conflicts.items()}
    key, kept = joined(bridge, stream.name, key_of(verdict.remote.id)), to_plain(verdict.remote)
    known = session.query(Parked).where(Parked.remote_key == key).first()
    if known is not None and known.state is ParkedState.DISCARDED and known.remote["version"] == kept["version"]:
        return
    session.upsert(
        Parked(bridge=bridge, stream=stream.name, remote_key=key, remote=kept, state=state, error=error),
        on="remote_key",
    )


def _settle(session: Session, bridge: str, stream: Stream, verdicts: Sequence[Verdict]) -> None:
    """Close the letters of what needs none any more; what a conflict held back is queued as it is now."""
    by_key = {joined(bridge, stream.name, key_of(v.remote.id)): v for v in verdicts}
    ended = conflicts_of(session, list(by_key))
    close_letters(session, list(by_key))
    for key, letter in ended.items():
        verdict = by_key[key]
        if verdict.binding is not None and verdict.local_id is not None and verdict.kind in ("update", "same", "echo"):
            values = sent_values(stream, {**verdict.ours, **verdict.changes})
            wanted = Wanted(stream, verdict.binding.scope, verdict.local_id, values, f"{letter.id}@{letter.version}")
            renew(session, bridge, wanted, known=bool(_agreed_hash(stream, verdict)))


def _now(session: Session) -> datetime:
    return session.crm.runtime.clock.now()
