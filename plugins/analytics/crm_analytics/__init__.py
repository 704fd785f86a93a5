"""Analytics: metrics, dimensions and reports that plugins declare; rollups, grades, cohorts. The rest is in ``crm_analytics.api``."""

from . import api  # noqa: F401  # it registers its parts
from .plugin import plugin

__all__ = ["plugin"]
