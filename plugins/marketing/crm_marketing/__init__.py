"""Marketing: campaigns with members and cost, segments that tell who entered and left, consent, attribution to the cent. The rest is in ``crm_marketing.api``."""

from .plugin import plugin

__all__ = ["plugin"]
