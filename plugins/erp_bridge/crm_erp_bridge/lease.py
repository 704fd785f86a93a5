"""The lease of a bridge in a tenant: one run at a time, and a run that lost its lease writes nothing more."""

from __future__ import annotations

from datetime import timedelta

from crm_core import Refused, Session

from .ledger import Lease
from .settings import Settings


def hold(session: Session, bridge: str, holder: str) -> None:
    """Take or renew the lease, in the transaction of what it protects.

    Raises:
        Refused: ``erp_bridge.busy``: another run has it.
    """
    row = session.upsert(Lease(bridge=bridge), on="bridge")
    row = session.lock(Lease, row.id)
    now = session.crm.runtime.clock.now()
    if row.holder not in ("", holder) and row.until is not None and row.until > now:
        raise Refused("erp_bridge.busy", bridge=bridge, until=row.until.isoformat())
    until = now + timedelta(minutes=session.settings(Settings).lease_minutes)
    session.update(Lease, row.id, {"holder": holder, "until": until})


def release(session: Session, bridge: str, holder: str) -> None:
    """Give the lease back, where it is still ours."""
    row = session.query(Lease).where(Lease.bridge == bridge).first()
    if row is not None and session.lock(Lease, row.id).holder == holder:
        session.update(Lease, row.id, {"holder": "", "until": None})
