"""How a bridge is: its last runs and how they ended, what waits for a person or for the ERP, and who works on it now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from crm_core import Session

from .ledger import OPEN, PARKED, Lease, OpState, Outbound, Parked, Run, RunKind


@attrs.frozen
class LastRun:
    """The last run of one kind.

    Attributes:
        error: the code of what it stopped at; of a reconciliation that found differences, empty.
    """

    ended_at: datetime
    ok: bool
    error: str


@attrs.frozen
class BridgeStatus:
    """One bridge of a tenant, as far as the actor may see it.

    Attributes:
        runs: the last of each kind, ``pull``, ``push`` and ``reconcile``; a kind that never ran is not there.
        dead: how many dead letters there are, of both directions.
        queued: how many writes are on their way, and ``oldest`` since when the first of them is.
        leased_until: until when a run has the bridge for itself; one that died keeps it that long. None where nobody works on it.
    """

    bridge: str
    runs: Mapping[RunKind, LastRun]
    dead: int
    queued: int
    oldest: datetime | None
    leased_until: datetime | None

    @property
    def well(self) -> bool:
        """Whether each last run ended well and nothing waits for a person."""
        return not self.dead and all(run.ok for run in self.runs.values())

    def to_json(self) -> dict[str, Any]:
        """Write it as plain JSON; instants as ISO 8601."""
        runs = {kind.value: {"ended_at": r.ended_at.isoformat(), "ok": r.ok, "error": r.error} for kind, r in self.runs.items()}
        at = {"oldest": self.oldest, "leased_until": self.leased_until}
        told = {name: instant.isoformat() if instant else None for name, instant in at.items()}
        return {"bridge": self.bridge, "well": self.well, "runs": runs, "dead": self.dead, "queued": self.queued, **told}


def bridge_status(session: Session, bridge: str) -> BridgeStatus:
    """Look at a bridge, and change nothing."""
    runs = {}
    for kind in RunKind:
        run = session.query(Run).where(Run.bridge == bridge, Run.kind == kind).order_by(Run.id.desc()).first()
        if run is not None:
            runs[kind] = LastRun(run.ended_at, run.ok, run.error)
    out = session.query(Outbound).where(Outbound.bridge == bridge)
    parked = session.query(Parked).where(Parked.bridge == bridge, Parked.state.in_(PARKED)).count()
    waits = out.where(Outbound.state.in_(OPEN))
    first = waits.order_by(Outbound.id).first()
    lease = session.query(Lease).where(Lease.bridge == bridge).first()
    held = lease is not None and lease.holder != "" and lease.until is not None and lease.until > session.crm.runtime.clock.now()
    return BridgeStatus(
        bridge=bridge,
        runs=runs,
        dead=out.where(Outbound.state == OpState.DEAD).count() + parked,
        queued=waits.count(),
        oldest=first.created_at if first else None,
        leased_until=lease.until if lease and held else None,
    )
