"""How long records of service are needed, as a suggestion: a tenant takes a rule by setting its period."""

from __future__ import annotations

from crm_core.rules import F

from .comments import TicketComment
from .plugin import plugin
from .surveys import SurveyInvitation, SurveyResponse
from .tickets import Ticket

# An invitation that nobody answered is needed no longer than it keeps its person from being asked again.
_UNANSWERED = F("answered_at").is_null()
plugin.retention("invitations", SurveyInvitation, keep="1 year", since="expires_at", action="delete", where=_UNANSWERED, suggested=True)
plugin.retention("survey_comments", SurveyResponse, keep="2 years", since="at", action="empty", suggested=True)
plugin.retention("tickets", Ticket, keep="5 years", since="solved_at", action="empty", suggested=True)
plugin.retention("comments", TicketComment, keep="5 years", since="created_at", action="empty", suggested=True)
