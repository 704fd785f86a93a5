"""Reconcile: read all of the ERP once more and compare: counts, sums by currency and month, who has what the other has not [C63]."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Any

import attrs

from crm_core import Session

from .channel import Channel
from .connector import NoMemory
from .intake import Verdict, judge
from .ledger import Binding
from .letters import waiting
from .mapping import Stream
from .pull import horizon, read

MOST_SHOWN = 20
_EXACT = Context(prec=60)  # not the thread's, which a host may change


@attrs.define
class StreamReport:
    """One stream on both sides.

    Attributes:
        there, here: how many records.
        sums: for each amount, month and currency (``total 2026-03 EUR``) the sums there and here; the month is that of the stream's
            first date, empty where it has none.
        only_there, only_here: ids, the first twenty, of what the other side lacks; ``missing_here`` and ``missing_there`` count all.
        differing: how many records differ in a field that the ERP owns or a person decides; ``sample`` has the first twenty.
        dead: how many letters of both directions wait for a person: those of :meth:`ErpBridge.dead_letters`.
        queued: how many writes are on their way; that is no difference.
    """

    stream: str
    there: int = 0
    here: int = 0
    sums: dict[str, tuple[Decimal, Decimal]] = attrs.Factory(dict)
    missing_here: int = 0
    missing_there: int = 0
    only_there: list[str] = attrs.Factory(list)
    only_here: list[str] = attrs.Factory(list)
    differing: int = 0
    sample: list[tuple[str, dict[str, tuple[Any, Any]]]] = attrs.Factory(list)
    dead: int = 0
    queued: int = 0

    @property
    def clean(self) -> bool:
        """Whether both sides agree and no dead letter is left."""
        agree = all(there == here for there, here in self.sums.values())
        return not (self.missing_here or self.missing_there or self.differing or self.dead) and agree and self.there == self.here


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
    """Compare all streams; of one that is never read, count its dead letters and queued writes alone.

    Needs memory for one id and its verdict a record, some 300 bytes; writes nothing.
    """
    channel.connector.memory = NoMemory()
    until = horizon(channel)
    return Reconciliation([_stream(channel, s, until) for s in channel.streams])


def _stream(channel: Channel, stream: Stream, until: Any) -> StreamReport:
    report = StreamReport(stream.name)
    with channel.session("reconcile", fenced=False) as session:
        report.dead, report.queued = waiting(session, channel.name, stream.name)
    if stream.from_erp == "never":
        return report
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
            report.missing_here += 1
            report.only_there += [id][: MOST_SHOWN - len(report.only_there)]
        elif fields:
            report.differing += 1
            report.sample += [(id, fields)][: MOST_SHOWN - len(report.sample)]
    with channel.session("reconcile", fenced=False) as session:
        _here(channel, session, stream, report, living.keys())
    report.sums = dict(sorted(sums.items()))
    return report


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
            report.missing_there += 1
            report.only_here += [binding.remote_id][: MOST_SHOWN - len(report.only_here)]


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
