"""What hosts, integrators and other modules may import of the ERP bridge."""

from .actions import BindRecord, DiscardRecord, DiscardWrite, ReplayRecord, ReplayWrite
from .bridge import Bridge
from .connector import (
    AuthFailed,
    CheckResult,
    Conflict,
    Connector,
    CursorExpired,
    EntityCaps,
    Fatal,
    IdPage,
    Invalid,
    Memory,
    NotOffered,
    Ok,
    Op,
    OpResult,
    Page,
    Pending,
    Remote,
    Retry,
    SchemaChanged,
    SchemaField,
    Throttled,
    Unavailable,
)
from .due import DueCtx, due
from .facts import Invoice, InvoiceKind, Order, OrderKind, OrderLine, OrderStatus, Payment
from .folder import FolderDrop, FolderSettings
from .ledger import Binding, Cursor, Lease, OpState, Outbound, Parked, ParkedState, Run, RunKind, SeenFile
from .plan import Difference, Plan
from .purchase_history import PurchaseHistory
from .reconcile import Reconciliation
from .report import StreamReport
from .service import ErpBridge
from .settings import Settings
from .status import BridgeStatus, LastRun
from .sync import Sync

__all__ = [
    "AuthFailed",
    "BindRecord",
    "Binding",
    "Bridge",
    "BridgeStatus",
    "CheckResult",
    "Conflict",
    "Connector",
    "Cursor",
    "CursorExpired",
    "Difference",
    "DiscardRecord",
    "DiscardWrite",
    "DueCtx",
    "EntityCaps",
    "ErpBridge",
    "Fatal",
    "FolderDrop",
    "FolderSettings",
    "IdPage",
    "Invalid",
    "Invoice",
    "InvoiceKind",
    "LastRun",
    "Lease",
    "Memory",
    "NotOffered",
    "Ok",
    "Op",
    "OpResult",
    "OpState",
    "Order",
    "OrderKind",
    "OrderLine",
    "OrderStatus",
    "Outbound",
    "Page",
    "Parked",
    "ParkedState",
    "Payment",
    "Pending",
    "Plan",
    "PurchaseHistory",
    "Reconciliation",
    "Remote",
    "ReplayRecord",
    "ReplayWrite",
    "Retry",
    "Run",
    "RunKind",
    "SchemaChanged",
    "SchemaField",
    "SeenFile",
    "Settings",
    "StreamReport",
    "Sync",
    "Throttled",
    "Unavailable",
    "due",
]
