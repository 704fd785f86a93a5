"""What a tenant can set."""

from __future__ import annotations

from enum import Enum

import attrs


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

    base_currency: str | None = None
    currency: str = "USD"
    rounding: Rounding = Rounding.LINE
    timezone: str = "UTC"
    lead_pool: list[str] = attrs.Factory(list)
