"""What people and screens do with the bridge, and what it shows beside a customer."""

from __future__ import annotations

from typing import Any

import attrs

from crm_core import Account, Ref, Session

from .facts import Invoice, Order, Payment
from .ledger import Outbound, Parked
from .plugin import plugin
from .purchase_history import purchase_history
from .service import ErpBridge


@attrs.define
class ReplayWrite:
    """Try a write that the ERP refused once more."""

    letter: Ref[Outbound]


@attrs.define
class DiscardWrite:
    """Give a write up, and say why."""

    letter: Ref[Outbound]
    reason: str


@attrs.define
class ReplayRecord:
    """Take a parked record of the ERP in once more; of a conflict, take the ERP's values."""

    letter: Ref[Parked]


@attrs.define
class DiscardRecord:
    """Give a parked record of the ERP up, and say why; of a conflict, keep our values."""

    letter: Ref[Parked]
    reason: str


@attrs.define
class BindRecord:
    """Decide which of our records, by its id, a parked record of the ERP is."""

    letter: Ref[Parked]
    record: str


@plugin.action(on=Outbound, permission="erp_bridge.operate", label="erp_bridge.action.replay")
def replay_write(session: Session, command: ReplayWrite) -> Any:
    """Put a dead write back into the queue."""
    return session.use(ErpBridge).replay(session.get(Outbound, command.letter))


@plugin.action(on=Outbound, permission="erp_bridge.operate", label="erp_bridge.action.discard")
def discard_write(session: Session, command: DiscardWrite) -> Any:
    """Give a dead write up."""
    return session.use(ErpBridge).discard(session.get(Outbound, command.letter), reason=command.reason)


@plugin.action(on=Parked, permission="erp_bridge.operate", label="erp_bridge.action.replay")
def replay_record(session: Session, command: ReplayRecord) -> Any:
    """Take a parked record in."""
    return session.use(ErpBridge).replay(session.get(Parked, command.letter))


@plugin.action(on=Parked, permission="erp_bridge.operate", label="erp_bridge.action.discard")
def discard_record(session: Session, command: DiscardRecord) -> Any:
    """Give a parked record up."""
    return session.use(ErpBridge).discard(session.get(Parked, command.letter), reason=command.reason)


@plugin.action(on=Parked, permission="erp_bridge.operate", label="erp_bridge.action.bind")
def bind_record(session: Session, command: BindRecord) -> Any:
    """Bind a parked record to one of ours."""
    return session.use(ErpBridge).bind(session.get(Parked, command.letter), record=command.record)


@plugin.panel(Account, label="erp_bridge.panel.purchases", reads=[Order, Invoice, Payment])
def purchases(session: Session, account: Account) -> dict[str, Any]:
    """What a customer bought and still owes, and the last ten orders, as far as the actor may see them [C02, C04]."""
    found = purchase_history(session, account)
    orders = session.query(Order).where(Order.account == account.ref).order_by(Order.ordered_on.desc()).page(10)
    return {
        "orders": [_shown(o) for o in orders],
        "count": found.orders,
        "returns": found.returns,
        "first": found.first.isoformat() if found.first else None,
        "last": found.last.isoformat() if found.last else None,
        "interval_days": round(found.interval.total_seconds() / 86_400) if found.interval else None,
        "lifetime": [m.to_json() for m in found.lifetime.values()],
        "lifetime_base": found.lifetime_base.to_json() if found.lifetime_base else None,
        "balance": [m.to_json() for m in found.balance.values()],
    }


def _shown(order: Order) -> dict[str, Any]:
    return {"number": order.number, "on": order.ordered_on.isoformat(), "status": order.status.value, "total": order.total.to_json()}
