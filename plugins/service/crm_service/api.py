"""What other modules and hosts may import of the service module."""

from .actions import AssignTicket, CompleteRequest, ReopenTicket, ReplyToTicket, SolveTicket
from .calendars import BusinessCalendar, working_time
from .comments import TicketComment
from .notices import NoticeKind, SlaBreached, SlaNotice, SlaWarned
from .policies import SlaPolicy
from .reports import Attainment
from .requests import ChecklistItem, Commitment, Promise, RequestKind, RequestStatus, ServiceRequest
from .service import Service
from .settings import Settings
from .sla import Clock, ClockState
from .states import Metric, Priority, TicketStatus, TicketType
from .tickets import Ticket, TicketChange, TicketReopened, TicketSolved
from .worktime import WorkingTime

__all__ = [
    "AssignTicket",
    "Attainment",
    "BusinessCalendar",
    "ChecklistItem",
    "Clock",
    "ClockState",
    "Commitment",
    "CompleteRequest",
    "Metric",
    "NoticeKind",
    "Priority",
    "Promise",
    "ReopenTicket",
    "ReplyToTicket",
    "RequestKind",
    "RequestStatus",
    "Service",
    "ServiceRequest",
    "Settings",
    "SlaBreached",
    "SlaNotice",
    "SlaPolicy",
    "SlaWarned",
    "SolveTicket",
    "Ticket",
    "TicketChange",
    "TicketComment",
    "TicketReopened",
    "TicketSolved",
    "TicketStatus",
    "TicketType",
    "WorkingTime",
    "working_time",
]
