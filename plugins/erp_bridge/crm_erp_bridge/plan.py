"""Plan: what a pull and a push would do, field by field, without doing it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
from sqlalchemy import select

from crm_core import Session

from .channel import Channel, Remembered
from .intake import judge
from .ledger import OPEN, Binding, Outbound
from .mapping import Stream
from .matching import Coming
from .pull import horizon, read
from .taking import drafts
from .verdict import Verdict

MOST_SHOWN = 100
_SHOWN = ("create", "update", "conflict", "delete", "waiting", "invalid")


@attrs.frozen
class Difference:
    """One record that would change: what, and each field as (ours, theirs)."""

    stream: str
    kind: str
    remote_id: str
    local_id: str | None
    fields: dict[str, tuple[Any, Any]]
    error: dict[str, Any]


@attrs.frozen
class Plan:
    """What would happen.

    Attributes:
        counts: records by ``stream.verdict``; ``stream.queued`` for what would be written to the ERP, ``stream.not_offered`` for what is
            queued and the connector does not write: a push makes dead letters of it.
        differences: the first hundred that would change.
    """

    counts: Counter[str]
    differences: list[Difference]


def plan(channel: Channel) -> Plan:
    """Judge everything that a pull would read. A reference to a record that the same pull would make counts as waiting."""
    counts: Counter[str] = Counter()
    differences: list[Difference] = []
    channel.connector.memory = Remembered(channel)
    until = horizon(channel)
    for stream in (s for s in channel.streams if s.from_erp != "never"):
        coming: Coming = {}
        for scope in channel.scopes:
            for page in read(channel, stream, scope, until):
                with channel.session("plan", fenced=False) as session:
                    verdicts = judge(session, channel.name, stream, page.records, coming=coming)
                    drafts(session, stream, [v for v in verdicts if v.kind == "create"])
                counts += Counter(f"{stream.name}.{v.kind}" for v in verdicts)
                shown = [_difference(stream.name, v) for v in verdicts if v.kind in _SHOWN]
                differences += shown[: MOST_SHOWN - len(differences)]
    with channel.session("plan", fenced=False) as session:
        for stream in channel.streams:
            counts += _queued(channel, session, stream)
    return Plan(counts, differences)


def _queued(channel: Channel, session: Session, stream: Stream) -> Counter[str]:
    """Count the open writes: of records that are bound there they are updates, else they create."""
    mine = (Outbound.bridge == channel.name, Outbound.stream == stream.name, Outbound.state.in_(OPEN))
    bound: Any = select(Binding.local_key).where(Binding.bridge == channel.name, Binding.stream == stream.name)
    updates = session.query(Outbound).where(*mine, Outbound.local_key.in_(bound)).count()
    creates = session.query(Outbound).where(*mine).count() - updates
    caps, counts = channel.caps(stream), Counter[str]()
    for offered, count in ((caps.create, creates), (caps.update, updates)):
        counts[f"{stream.name}.{'queued' if offered else 'not_offered'}"] += count
    return +counts


def _difference(stream: str, verdict: Verdict) -> Difference:
    names = verdict.values if verdict.kind == "create" else {**verdict.changes, **verdict.conflicts, **dict.fromkeys(verdict.overruled)}
    fields = {n: (verdict.ours.get(n), verdict.values.get(n)) for n in names}
    return Difference(stream, verdict.kind, verdict.remote.id, verdict.local_id, fields, verdict.error)
