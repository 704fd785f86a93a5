"""What a tenant can set for the service module."""

from __future__ import annotations

import attrs

_CENTURY = attrs.validators.le(36_525)  # days; more would lead beyond the calendar
_CENTURY_OF_HOURS = attrs.validators.le(36_525 * 24)


@attrs.define
class Settings:
    """Settings of the service module, per tenant.

    Attributes:
        reopen_days: for how many days (of 24 hours) a solved ticket may be opened again.
        warn_percent: of a target's working time; when so much is consumed, the warning event is sent.
        onboarding_title: what an onboarding request is called; ``{deal}`` is the deal's name.
        onboarding_days: working or not, after how many days an onboarding request is due; a deal that was closed longer ago than that
            before it was recorded (an import of history) opens none.
        onboarding_checklist: the steps of a new onboarding request, in order.
        onboarding_owner: the user who gets onboarding requests; empty for whoever won the deal.
        low_score_title: what the ticket that a low score opens is called; ``{score}`` and ``{survey}`` stand for those.
        low_score_owner: the user who gets these tickets; empty for nobody in particular.
        complaint_acknowledge_hours: by the calendar, until a complaint has to be acknowledged.
        complaint_answer_days: of 24 hours, until it has to have a final answer; regulators often say 56 (FCA, DISP 1.6.2R: eight weeks).
    """

    reopen_days: int = attrs.field(default=14, validator=[attrs.validators.ge(0), _CENTURY])
    warn_percent: int = attrs.field(default=80, validator=[attrs.validators.ge(1), attrs.validators.le(100)])
    onboarding_title: str = attrs.field(default="Onboarding: {deal}", validator=attrs.validators.max_len(200))
    onboarding_days: int = attrs.field(default=30, validator=[attrs.validators.ge(0), _CENTURY])
    onboarding_checklist: list[str] = attrs.Factory(lambda: ["Kick-off call", "Accounts set up", "Training held", "Handed over to support"])
    onboarding_owner: str = ""
    low_score_title: str = attrs.field(default="Score {score}: {survey}", validator=attrs.validators.max_len(200))
    low_score_owner: str = ""
    complaint_acknowledge_hours: int = attrs.field(default=48, validator=[attrs.validators.ge(1), _CENTURY_OF_HOURS])
    complaint_answer_days: int = attrs.field(default=56, validator=[attrs.validators.ge(1), _CENTURY])
