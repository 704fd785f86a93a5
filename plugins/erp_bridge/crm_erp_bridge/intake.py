"""What a page of the ERP's records means for ours: judged first, for a plan and a pull alike, then done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from crm_core import CRMError, Session

from .connector import Remote
from .keeping import named, shown
from .ledger import bindings_of, conflicts_of
from .mapping import Stream
from .matching import Coming, match
from .merge import merge
from .verdict import Verdict


def judge(
    session: Session,
    bridge: str,
    stream: Stream,
    remotes: Sequence[Remote],
    *,
    chosen: Mapping[str, str] = MappingProxyType({}),
    coming: Coming | None = None,
) -> list[Verdict]:
    """Say what each record means, in the ERP's order; of several versions of one record the last counts. Nothing is written.

    Args:
        chosen: which record of ours a person took for one of the ERP's, by the ERP's id.
        coming: what earlier pages would bring that is not written, as in a plan; this page adds to it.
    """
    latest = {r.id: r for r in remotes}
    verdicts = [_read(stream, r) for r in latest.values()]
    _look_up_references(session, bridge, stream, verdicts)
    bound = bindings_of(session, bridge, stream.name, [id for id, remote in latest.items() if named(remote)])
    for verdict in verdicts:
        verdict.binding = bound.get(verdict.remote.id)
        verdict.local_id = verdict.binding.local_id if verdict.binding else chosen.get(verdict.remote.id)
    match(session, bridge, stream, verdicts, {} if coming is None else coming)
    undecided = conflicts_of(session, [v.binding.remote_key for v in verdicts if v.binding and v.remote.partial])
    entity = session.crm.entity(stream.record)
    records = {r.id: r for r in session.get_many(entity, [v.local_id for v in verdicts if v.local_id])}
    for verdict in verdicts:
        record = records.get(verdict.local_id or "")
        verdict.plain = session.crm.to_json(record) if record else {}
        verdict.ours = stream.ours(verdict.plain)
        if verdict.remote.partial and verdict.values:
            before = {**verdict.ours, **(verdict.binding.base if verdict.binding else {})}
            torn = undecided.get(verdict.binding.remote_key) if verdict.binding else None
            before |= {name: both[1] for name, both in torn.error.get("conflicts", {}).items()} if torn else {}
            verdict.values |= {name: before.get(name) for name in stream.unsaid(verdict.remote.data)}
        if verdict.kind == "create":
            _decide(stream, verdict, found=record is not None)
    return verdicts


def _read(stream: Stream, remote: Remote) -> Verdict:
    if not named(remote):
        return Verdict("invalid", remote, error={"code": "erp_bridge.bad_id", "params": {}})
    if remote.wrong is not None:
        return Verdict("invalid", remote, error=problem_of(remote.wrong))
    if remote.deleted:
        return Verdict("create", remote)
    try:
        return Verdict("create", remote, values=stream.read(remote.data))
    except CRMError as e:
        return Verdict("invalid", remote, error=problem_of(e))


def _look_up_references(session: Session, bridge: str, stream: Stream, verdicts: Sequence[Verdict]) -> None:
    required = session.crm.json_schema(session.crm.entity(stream.record))["required"]
    for field in (f for f in stream.fields.values() if f.codec == "ref"):
        may_come_later = field.owner == "erp" and field.field not in required
        asked = [v for v in verdicts if v.values.get(field.field) is not None]
        found = bindings_of(session, bridge, field.stream, [v.values[field.field] for v in asked])
        for verdict in asked:
            remote_id = verdict.values[field.field]
            if remote_id in found:
                verdict.values[field.field] = found[remote_id].local_id
                continue
            if may_come_later:
                verdict.values[field.field] = None
                verdict.missing.append((field.stream, remote_id))
            else:
                verdict.kind = "waiting"
            verdict.error = {"code": "erp_bridge.parent_missing", "params": {"stream": field.stream, "id": remote_id}}


def _decide(stream: Stream, verdict: Verdict, *, found: bool) -> None:
    binding, remote = verdict.binding, verdict.remote
    if remote.deleted:
        verdict.kind = "delete" if binding and binding.gone_at is None else "skipped"
    elif verdict.local_id is None:
        verdict.kind = "create" if stream.from_erp == "always" else "skipped"
    elif not found:
        verdict.kind = "skipped"  # it was deleted here; the ERP's word does not bring it back
    else:
        echo = binding is not None and bool(binding.sent_hash) and remote.version == binding.remote_version
        merged = merge(stream, binding.base if binding else {}, verdict.ours, verdict.values, echo=echo)
        verdict.changes, verdict.overruled, verdict.conflicts = merged.changes, merged.overruled, merged.conflicts
        if merged.conflicts:
            verdict.kind = "conflict"
            verdict.error = {"code": "erp_bridge.both_changed", "params": {"fields": sorted(merged.conflicts)}}
        elif merged.changes or merged.overruled or binding is None:
            verdict.kind = "update"
        else:
            verdict.kind = "echo" if echo else "same"


def problem_of(error: CRMError) -> dict[str, Any]:
    """Return what is wrong as plain JSON, without the values: they may be personal."""
    body: dict[str, Any] = {"code": error.code, "params": {k: shown(str(v))[:100] for k, v in error.params.items()}}
    if error.details:
        body["fields"] = [
            {"field": d.field, "code": d.code, "params": {k: shown(str(v))[:100] for k, v in d.params.items()}} for d in error.details
        ]
    return body
