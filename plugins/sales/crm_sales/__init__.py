"""Sales: leads, deals, quotes, orders and forecasts. ``crm_sales.plugin`` is what a host loads; the rest is in ``crm_sales.api``."""

from . import actions, messages, quote_lines, roles, stages
from .plugin import plugin

__all__ = ["actions", "messages", "plugin", "quote_lines", "roles", "stages"]
