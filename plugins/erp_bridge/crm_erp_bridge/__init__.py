"""ERP bridge: bindings, a queue that neither loses nor doubles, plans and reconciliation. The rest is in ``crm_erp_bridge.api``."""

from . import api, labels, messages, metrics, retention, roles  # noqa: F401  # they register their parts
from .plugin import plugin

__all__ = ["plugin"]
