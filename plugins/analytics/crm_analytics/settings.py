"""What a tenant can set for the analytics module."""

from __future__ import annotations

import attrs


@attrs.define
class Settings:
    """Settings of the analytics module, per tenant.

    Attributes:
        zone: the IANA zone whose days, weeks and months reports speak of.
        fiscal_start: the month (1 to 12) in which the fiscal year begins; it is named after the year in which it ends.
    """

    zone: str = "UTC"
    fiscal_start: int = attrs.field(default=1, validator=[attrs.validators.ge(1), attrs.validators.le(12)])
