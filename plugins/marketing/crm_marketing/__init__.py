"""Marketing: campaigns, segments, consent, and attribution to the cent. The rest is in ``crm_marketing.api``."""

from . import api, labels, messages, metrics, retention, roles  # noqa: F401  # they register their parts
from .plugin import plugin

__all__ = ["plugin"]
