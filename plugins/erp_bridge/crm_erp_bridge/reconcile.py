"""Reconcile: read all of the ERP once more and compare: counts, sums by currency and month, who has what the other has not [C63]."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Context, Decimal
from typing import Any

import attrs

from crm_core import Session

from .channel import Channel
from .connector import NoMemory
from .intake import judge
from .ledger import Binding
from .letters import waiting
from .mapping import Stream
from .pull import horizon, read
from .report import MOST_SHOWN, StreamReport, lacks_here, lacks_there
from .verdict import Verdict
from .written import compare_written, count_unsent, listed

_EXACT = Context(prec=60)  # not the thread's, which a host may change


@attrs.frozen
class Reconciliation:
    """All streams of a bridge in a tenant."""

    streams: list[StreamReport]

    @property
    def clean(self) -> bool:
        """Whether nothing is left to explain."""
        return all(s.clean for s in self.streams)

    @property
    def exit_code(self) -> int:
        """0 where both sides agree, else 1: for a job that must fail."""
        return 0 if self.clean else 1


def reconcile(channel: Channel) -> Reconciliation:
    """Compare all streams. One that is only written is compared by its bindings and the ERP's living ids, where any stream reads them
    or the ERP lists them.

    Needs memory for one id and its verdict a record, some 300 bytes; changes nothing.
    """
    channel.connector.memory = NoMemory()
    until = horizon(channel)
    reports = {s.name: StreamReport(s.name) for s in channel.streams}
    living: dict[str, set[str]] = {}
    for stream in channel.streams:
        report = reports[stream.name]
        with channel.session("reconcile", fenced=False) as session:
            report.dead, report.queued = waiting(session, channel.name, stream.name)
        if stream.from_erp != "never":
            living.setdefault(stream.entity, set()).update(_read(channel, stream, until, report))
    for stream in channel.streams:
        if stream.from_erp == "never" and stream.to_erp != "never":
            there = living[stream.entity] if stream.entity in living else listed(channel, stream)
            with channel.session("reconcile", fenced=False) as session:
                compare_written(session, channel.name, stream, reports[stream.name], there)
        if stream.to_erp == "always":
            with channel.session("reconcile", fenced=False) as session:
                count_unsent(session, channel.name, stream, reports[stream.name])
    return Reconciliation(list(reports.values()))


def _read(channel: Channel, stream: Stream, until: datetime, report: StreamReport) -> Iterable[str]:
    """Compare what is read, and return the living ids there."""
    last: dict[str, tuple[bool, str | None, dict[str, tuple[Any, Any]], list[tuple[str, Decimal, Decimal]]]] = {}
    for scope in channel.scopes:
        for page in read(channel, stream, scope, until, fresh=True):
            with channel.session("reconcile", fenced=False) as session:
                for verdict in judge(session, channel.name, stream, page.records):
                    last[verdict.remote.id] = (
                        verdict.remote.deleted,
                        verdict.local_id,
                        _differing(stream, verdict),
                        _amounts(stream, verdict),
                    )
    living = {id: found for id, found in last.items() if not found[0]}
    report.there = len(living)
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    for id, (_, local_id, fields, amounts) in living.items():
        for name, there, here in amounts:
            before = sums.get(name, (Decimal(0), Decimal(0)))
            sums[name] = _EXACT.add(before[0], there), _EXACT.add(before[1], here)
        if local_id is None:
            lacks_here(report, id)
        elif fields:
            report.differing += 1
            report.sample += [(id, fields)][: MOST_SHOWN - len(report.sample)]
    with channel.session("reconcile", fenced=False) as session:
        _here(channel, session, stream, report, living.keys())
    report.sums = dict(sorted(sums.items()))
    return living.keys()


def _here(channel: Channel, session: Session, stream: Stream, report: StreamReport, there: Any) -> None:
    bound = session.query(Binding).where(Binding.bridge == channel.name, Binding.stream == stream.name, Binding.gone_at.is_(None))
    entity = session.crm.entity(stream.record)
    batch: list[Binding] = []
    for binding in bound.stream():
        batch.append(binding)
        if len(batch) == 500:
            _count(session, entity, batch, report, there)
            batch = []
    _count(session, entity, batch, report, there)


def _count(session: Session, entity: Any, batch: Sequence[Binding], report: StreamReport, there: Any) -> None:
    living = {r.id for r in session.get_many(entity, [b.local_id for b in batch])}
    for binding in batch:
        if binding.local_id not in living:
            continue
        report.here += 1
        if binding.remote_id not in there:
            lacks_there(report, binding.remote_id)


def _differing(stream: Stream, verdict: Verdict) -> dict[str, tuple[Any, Any]]:
    if verdict.local_id is None or verdict.kind == "invalid":
        return {}
    return {n: (verdict.ours.get(n), v) for n, v in verdict.values.items() if verdict.ours.get(n) != v and stream.fields[n].owner != "crm"}


def _amounts(stream: Stream, verdict: Verdict) -> list[tuple[str, Decimal, Decimal]]:
    """Return each amount there and here, under its name, month and currency."""
    day = next((f.field for f in stream.fields.values() if f.codec == "date"), None)
    found = []
    for field in (f.field for f in stream.fields.values() if f.codec == "money"):
        for side, values in enumerate((verdict.values, verdict.ours)):
            money = values.get(field)
            if money:
                name = " ".join(filter(None, [field, str(values.get(day) or "")[:7] if day else "", money["currency"]]))
                amount = Decimal(money["amount"])
                found.append((name, amount, Decimal(0)) if side == 0 else (name, Decimal(0), amount))
    return found
