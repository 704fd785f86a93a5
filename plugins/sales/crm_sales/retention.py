"""How long records of sales are needed, as a suggestion: a tenant takes a rule by setting its period."""

from __future__ import annotations

from crm_core.rules import F

from .leads import Lead, LeadStatus
from .plugin import plugin

# Three years after the last contact is what CNIL's recommendation on customer management allows for prospects.
_PROSPECT = F("status").in_([LeadStatus.NEW, LeadStatus.WORKING])
plugin.retention("leads", Lead, keep="3 years", since="updated_at", action="delete", where=_PROSPECT, suggested=True)
_GIVEN_UP = F("status") == LeadStatus.DISQUALIFIED
plugin.retention("disqualified_leads", Lead, keep="1 year", since="updated_at", action="delete", where=_GIVEN_UP, suggested=True)
