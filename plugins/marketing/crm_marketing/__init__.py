"""Marketing: campaigns, segments, consent, attribution to the cent. The rest is in ``crm_marketing.api``."""

from .plugin import plugin

__all__ = ["plugin"]
