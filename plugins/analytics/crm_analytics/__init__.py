"""Analytics: metrics, dimensions and reports that plugins declare; rollups, grades, cohorts. The rest is in ``crm_analytics.api``."""

from . import api, labels, messages, roles  # noqa: F401  # they register their parts
from .plugin import plugin

__all__ = ["plugin"]
