"""The roles that the module brings."""

from __future__ import annotations

from crm_core import Account, Role

from .facts import Invoice, Order, OrderLine, Payment
from .ledger import Binding, Cursor, Lease, Outbound, Parked, Run, SeenFile
from .plugin import plugin

reader = (
    Role("erp_bridge.reader", label="erp_bridge.role.reader")
    .allow(Order, "read")
    .allow(OrderLine, "read")
    .allow(Invoice, "read")
    .allow(Payment, "read")
)
operator = (
    Role("erp_bridge.operator", label="erp_bridge.role.operator", extends=["erp_bridge.reader"])
    .allow(Account, "read")
    .allow(Binding, "read")
    .allow(Outbound, "read")
    .allow(Parked, "read")
    .allow(Cursor, "read")
    .allow(SeenFile, "read")
    .allow(Run, "read")
    .allow(Lease, "read")
    .permit("erp_bridge.operate")
)
plugin.role(reader)
plugin.role(operator)
