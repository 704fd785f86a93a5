"""Service: tickets with SLAs on business calendars, and requests that begin where sales ends. The rest is in ``crm_service.api``."""

from . import api, labels, matching, messages, metrics, panels, retention, roles  # noqa: F401  # they register their parts
from .plugin import plugin

__all__ = ["plugin"]
