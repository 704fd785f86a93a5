"""How long records of bridges to an ERP are needed, as a suggestion: a tenant takes a rule by setting its period."""

from __future__ import annotations

from crm_core.rules import F

from .ledger import OpState, Outbound, Parked, ParkedState, Run
from .plugin import plugin

_ENDED = F("state").in_([OpState.DONE, OpState.DISCARDED])
plugin.retention("sent", Outbound, keep="90 days", since="updated_at", action="empty", where=_ENDED, suggested=True)
_SETTLED = F("state").in_([ParkedState.DONE, ParkedState.DISCARDED])
plugin.retention("parked", Parked, keep="90 days", since="updated_at", action="empty", where=_SETTLED, suggested=True)
plugin.retention("runs", Run, keep="1 year", since="ended_at", action="delete", suggested=True)
