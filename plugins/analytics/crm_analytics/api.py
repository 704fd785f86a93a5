"""What hosts and other plugins import of analytics: reports, their parts and the service."""

from .definitions import Definition
from .periods import Calendar, Grain, Period
from .reports import Report, Row, Table
from .service import Analytics
from .settings import Settings

__all__ = ["Analytics", "Calendar", "Definition", "Grain", "Period", "Report", "Row", "Settings", "Table"]
