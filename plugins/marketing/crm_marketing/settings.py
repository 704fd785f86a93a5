"""What a tenant can set for the marketing module."""

from __future__ import annotations

import attrs

from crm_core import valid_currency

from .attribution import AttributionModel


@attrs.define
class Settings:
    """Settings of the marketing module, per tenant.

    Attributes:
        currency: of campaigns that name none, neither themselves nor by their parent or budget.
        half_life_days: after how many days (of 24 hours) a touch counts half as much in attribution with time decay.
        model: how reports share won money among campaigns, for attributed revenue and ROI.
    """

    currency: str = attrs.field(default="EUR", validator=valid_currency)
    half_life_days: int = attrs.field(default=7, validator=[attrs.validators.gt(0), attrs.validators.le(36_525)])
    model: AttributionModel = AttributionModel.LINEAR
