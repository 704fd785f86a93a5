"""What hosts and other plugins import of analytics: reports, grades, cohorts, commands and the service."""

from .actions import OverrideGrade, RebuildRollups, RegradeCustomers
from .cohorts import Cohort
from .definitions import Definition
from .grades import AccountGrade, GradeChange
from .periods import Calendar, Grain, Period
from .reports import Report, Row, Table
from .service import Analytics
from .settings import Settings

__all__ = [
    "AccountGrade",
    "Analytics",
    "Calendar",
    "Cohort",
    "Definition",
    "GradeChange",
    "Grain",
    "OverrideGrade",
    "Period",
    "RebuildRollups",
    "RegradeCustomers",
    "Report",
    "Row",
    "Settings",
    "Table",
]  # fmt: skip
