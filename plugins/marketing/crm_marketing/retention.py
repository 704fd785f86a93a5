"""How long records of marketing are needed, as a suggestion: a tenant takes a rule by setting its period."""

from __future__ import annotations

from .consent import Consent
from .plugin import plugin
from .touches import Touch

# 25 months is what CNIL's guidelines on trackers allow for what they collected. Of a consent that was withdrawn, the proof is needed as
# long as somebody may claim that they were written to without one.
plugin.retention("clicks", Touch, keep="25 months", since="at", action="empty", suggested=True)
plugin.retention("withdrawn_consents", Consent, keep="5 years", since="withdrawn_at", action="delete", suggested=True)
