"""What is only written to the ERP, compared: is all of ours there, and is what is there still ours [C63]."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import islice

from crm_core import Session

from .channel import Channel
from .due import all_due, due_of
from .ledger import OPEN, Binding, OpState, Outbound, bindings_to, joined
from .mapping import Stream
from .pull import living_ids
from .report import StreamReport, lacks_here, lacks_there


def listed(channel: Channel, stream: Stream) -> set[str] | None:
    """Return the living ids of a kind that no stream reads; None where the ERP does not list them, and nobody can tell."""
    if not (channel.caps(stream).id_listing and channel.connector.offers("list_ids")):
        return None
    return {id for scope in channel.scopes for id in living_ids(channel, stream, scope)}


def compare_written(session: Session, bridge: str, stream: Stream, report: StreamReport, there: AbstractSet[str] | None) -> None:
    """Compare what is bound with what is due here and lives there; what is on its way counts as being there."""
    bound = session.query(Binding).where(Binding.bridge == bridge, Binding.stream == stream.name)
    rows = bound.stream()
    while batch := list(islice(rows, 500)):
        due = due_of(session, stream.record, [b.local_id for b in batch])
        moving = _with_lines(session, [b.local_key for b in batch], OPEN)
        for binding in batch:
            lives = there is None or binding.remote_id in there or binding.local_key in moving
            wanted = due is None or binding.local_id in due
            report.there += lives
            report.here += wanted
            if wanted and not lives:
                lacks_there(report, binding.remote_id)
            elif lives and not wanted:
                lacks_here(report, binding.remote_id)


def count_unsent(session: Session, bridge: str, stream: Stream, report: StreamReport) -> None:
    """Count what is to be there and was never sent: neither bound, nor queued, nor a dead letter, which is counted as such."""
    for ids in all_due(session, stream):
        bound = bindings_to(session, bridge, stream.name, ids)
        lined = _with_lines(session, [joined(bridge, stream.name, id) for id in ids], (*OPEN, OpState.DEAD))
        for id in ids:
            if id not in bound and joined(bridge, stream.name, id) not in lined:
                report.here += 1
                lacks_there(report, id)


def _with_lines(session: Session, local_keys: Sequence[str], states: Sequence[OpState]) -> set[str]:
    rows = session.query(Outbound).where(Outbound.local_key.in_(local_keys), Outbound.state.in_(states))
    return {row.local_key for row in rows.all()}
