"""What a tenant can set for the analytics module."""

from __future__ import annotations

import attrs

from crm_core import valid_currency, valid_zone


@attrs.define
class Settings:
    """Settings of the analytics module, per tenant.

    Attributes:
        zone: the IANA zone whose days, weeks and months reports speak of.
        fiscal_start: the month (1 to 12) in which the fiscal year begins; it is named after the year in which it ends.
        purchases: the measure of amounts that counts as purchases, for grades and cohorts; empty for none.
        customer: the dimension of that measure's entity that says which account bought.
        grade_currency: convert purchases to this currency for grades; None where they are all in one.
        grades: the least sum of the scores R, F and M (3 to 15) for each grade; the worst is given below all.
    """

    zone: str = attrs.field(default="UTC", validator=valid_zone)
    fiscal_start: int = attrs.field(default=1, validator=[attrs.validators.ge(1), attrs.validators.le(12)])
    purchases: str = "sales.won_value"
    customer: str = "sales.account"
    grade_currency: str | None = attrs.field(default=None, validator=valid_currency)
    grades: dict[str, int] = attrs.field(factory=lambda: {"A": 12, "B": 8, "C": 3}, validator=attrs.validators.min_len(1))
