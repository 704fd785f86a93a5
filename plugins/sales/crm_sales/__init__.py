"""Sales: leads, deals, quotes, orders and forecasts. ``crm_sales.plugin`` is what a host loads; the rest is in ``crm_sales.api``."""

from . import api, labels, messages, metrics, panels, retention, roles, stages  # noqa: F401  # they register their parts
from .plugin import plugin

__all__ = ["plugin"]
