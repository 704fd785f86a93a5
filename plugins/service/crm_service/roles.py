"""The roles that the module brings."""

from __future__ import annotations

from crm_core import Account, Contact, Interaction, Note, Role, owner, subordinates, team
from crm_core.rules import related

from .calendars import BusinessCalendar
from .comments import TicketComment
from .complaints import Complaint
from .milestones import TicketMilestone
from .notices import SlaNotice
from .plugin import plugin
from .policies import SlaPolicy
from .requests import ChecklistItem, Promise, ServiceRequest
from .surveys import Survey, SurveyInvitation, SurveyResponse
from .tickets import Ticket, TicketChange

_mine = owner | team | subordinates

agent = (
    Role("service.agent", label="service.role.agent")
    .allow(Account, "read")
    .allow(Contact, "read", "create", "update")
    .allow(Interaction, "read", "create")
    .allow(Note, "read", "create")
    .allow(Ticket, "read", "create", "update", "assign")
    .allow(TicketChange, "read")
    .allow(TicketComment, "read", "create")
    .allow(TicketMilestone, "read", "create")
    .allow(SlaNotice, "read")
    .allow(SlaPolicy, "read")
    .allow(BusinessCalendar, "read")
    .allow(ServiceRequest, "read")
    .allow(ServiceRequest, "create", "update", where=_mine)
    .allow(ChecklistItem, "read")
    .allow(ChecklistItem, "create", "update", where=related("request", _mine))
    .allow(Promise, "read")
    .allow(Promise, "create", "update", where=related("request", _mine))
    .allow(Complaint, "read", "create", "update", "assign")
    .allow(Survey, "read")
    .allow(SurveyInvitation, "read", fields={"token_hash": "none"})
    .allow(SurveyResponse, "read")
    .permit("service.work")
)
manager = (
    Role("service.manager", label="service.role.manager", extends=["service.agent"])
    .allow(Ticket, "delete", "export")
    .allow(TicketChange, "create")
    .allow(ServiceRequest, "create", "update", "delete", "assign", "export")
    .allow(ChecklistItem, "create", "update", "delete")
    .allow(Promise, "create", "update", "delete")
    .allow(SlaPolicy, "create", "update", "delete")
    .allow(BusinessCalendar, "create", "update", "delete")
    .allow(Complaint, "delete", "export")
    .allow(Survey, "create", "update", "delete")
    .allow(SurveyInvitation, "create", fields={"token_hash": "none"})
    .allow(SurveyResponse, "export")
)
respondent = Role("service.respondent", label="service.role.respondent").permit("service.respond")
plugin.role(agent)
plugin.role(manager)
plugin.role(respondent)
