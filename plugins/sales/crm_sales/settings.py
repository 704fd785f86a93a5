"""What a tenant can set."""

from __future__ import annotations

from enum import Enum

import attrs

from crm_core import valid_currency, valid_zone


class Rounding(Enum):
    """Where the tax of a document is rounded half-up to the minor unit: on each line, or once a rate on the document."""

    LINE = "line"
    DOCUMENT = "document"


@attrs.define
class Settings:
    """Settings of the sales module.

    Attributes:
        base_currency: closed deals freeze their amount in this currency at the rate of their day; None freezes nothing.
        currency: of deals whose amount nobody knows yet.
        rounding: of new quotes; a quote keeps the one it was made with.
        timezone: the IANA zone that decides in which day and month a deal was closed.
        lead_pool: ids of the users who get new leads in turn; empty leaves leads without an owner, for whoever claims them.
    """

    base_currency: str | None = attrs.field(default=None, validator=valid_currency)
    currency: str = attrs.field(default="USD", validator=valid_currency)
    rounding: Rounding = Rounding.LINE
    timezone: str = attrs.field(default="UTC", validator=valid_zone)
    lead_pool: list[str] = attrs.Factory(list)
