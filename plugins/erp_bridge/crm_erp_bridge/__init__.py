"""ERP bridge: connectors, what is bound to what, a queue that neither loses nor doubles. The rest is in ``crm_erp_bridge.api``."""

from .plugin import plugin

__all__ = ["plugin"]
