"""What other modules and hosts may import of the service module."""

from .actions import (
    AcknowledgeComplaint,
    AnswerOffer,
    AssignTicket,
    CompleteRequest,
    OfferResolution,
    ReachMilestone,
    ReopenTicket,
    ReplyToTicket,
    RespondToSurvey,
    SolveTicket,
)
from .agent_card import AgentCard, CardCtx, CardDeal, CardPart, CardSubject, LastScore, PreferredChannel, ServiceTier, card_parts
from .calendars import BusinessCalendar, working_time
from .comments import TicketComment
from .complaints import Complaint, ComplaintEnded, ComplaintReceived, ComplaintStatus, Severity
from .history import Case, CaseStep, Rebuilt
from .invitations import Invited, SurveyToken
from .milestones import TicketMilestone
from .notices import NoticeKind, SlaBreached, SlaNotice, SlaWarned
from .policies import SlaPolicy
from .reports import Attainment, Throughput
from .requests import ChecklistItem, Commitment, Promise, RequestKind, RequestStatus, ServiceRequest
from .scoring import Method, Score, SurveyKind, ces, csat, nps
from .service import Service
from .settings import Settings
from .sla import Clock, ClockState
from .states import Metric, Milestone, Priority, Recurrence, TicketStatus, TicketType
from .surveys import Survey, SurveyAnswered, SurveyInvitation, SurveyResponse, SurveyResult
from .tickets import Ticket, TicketChange, TicketReopened, TicketSolved
from .worktime import WorkingTime

__all__ = [
    "AcknowledgeComplaint",
    "AgentCard",
    "AnswerOffer",
    "AssignTicket",
    "Attainment",
    "BusinessCalendar",
    "CardCtx",
    "CardDeal",
    "CardPart",
    "CardSubject",
    "Case",
    "CaseStep",
    "ChecklistItem",
    "Clock",
    "ClockState",
    "Commitment",
    "Complaint",
    "ComplaintEnded",
    "ComplaintReceived",
    "ComplaintStatus",
    "CompleteRequest",
    "Invited",
    "LastScore",
    "Method",
    "Metric",
    "Milestone",
    "NoticeKind",
    "OfferResolution",
    "PreferredChannel",
    "Priority",
    "Promise",
    "ReachMilestone",
    "Rebuilt",
    "Recurrence",
    "ReopenTicket",
    "ReplyToTicket",
    "RequestKind",
    "RequestStatus",
    "RespondToSurvey",
    "Score",
    "Service",
    "ServiceRequest",
    "ServiceTier",
    "Settings",
    "Severity",
    "SlaBreached",
    "SlaNotice",
    "SlaPolicy",
    "SlaWarned",
    "SolveTicket",
    "Survey",
    "SurveyAnswered",
    "SurveyInvitation",
    "SurveyKind",
    "SurveyResponse",
    "SurveyResult",
    "SurveyToken",
    "Throughput",
    "Ticket",
    "TicketChange",
    "TicketComment",
    "TicketMilestone",
    "TicketReopened",
    "TicketSolved",
    "TicketStatus",
    "TicketType",
    "WorkingTime",
    "card_parts",
    "ces",
    "csat",
    "nps",
    "working_time",
]
