"""Attribution: how an amount is shared among the touches before it, to the cent [C34].

Shares are exact fractions; ``Money.allocate`` makes cents of them by largest remainders, so the credits always sum to the amount.
The weights are those of Salesforce's multi-touch models: U 40/20/40, W 30/30/30/10 (first touch, lead, deal, all others).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal
from enum import Enum
from fractions import Fraction

from crm_core import Invalid, Money

HALF_LIFE = timedelta(days=7)
_PRECISE = Context(prec=50)
_FARTHEST = -300  # 2 ** -300 is 5e-91: no amount has a cent for it


class AttributionModel(Enum):
    """Who gets the credit.

    ``FIRST`` and ``LAST``: that touch alone. ``LINEAR``: all alike. ``U_SHAPED``: 40 % each to the first and the last, 20 % to those
    between. ``W_SHAPED``: 30 % each to the first touch, the one that made the lead and the one that made the deal, 10 % to the others.
    ``TIME_DECAY``: a touch counts half as much as one that is a half-life younger.
    """

    FIRST = "first"
    LAST = "last"
    LINEAR = "linear"
    U_SHAPED = "u_shaped"
    W_SHAPED = "w_shaped"
    TIME_DECAY = "time_decay"


def credits(
    amount: Money,
    touches: Sequence[datetime],
    model: AttributionModel,
    *,
    half_life: timedelta = HALF_LIFE,
    lead: int | None = None,
    deal: int | None = None,
) -> list[Money]:
    """Share an amount among touches; of no touches, nobody gets anything.

    A share that has no touch of its own is spread in proportion: of two touches U and W give each half, of three touches W gives each a
    third, one touch gets all. A touch that is two of W's milestones gets the shares of both.

    Args:
        amount: in whole minor units.
        touches: when they were, in any order; the credits come in the same order. Of equal instants the first given is the earlier.
        half_life: of ``TIME_DECAY``.
        lead, deal: for ``W_SHAPED``, which of *touches* made the lead and the deal; else the middle one (of an even number the earlier)
            and the last.

    Raises:
        Invalid: ``too_precise``: round the amount first. ``marketing.bad_half_life``: it is not positive.
    """
    if not touches:
        return []
    order = sorted(range(len(touches)), key=lambda i: touches[i])
    place = {touch: n for n, touch in enumerate(order)}
    shares = _weights([touches[i] for i in order], model, half_life, *(None if i is None else place[i] for i in (lead, deal)))
    parts = amount.allocate(shares)
    return [parts[place[i]] for i in range(len(touches))]


def _weights(
    touches: Sequence[datetime], model: AttributionModel, half_life: timedelta, lead: int | None, deal: int | None
) -> Sequence[int | Fraction]:
    count = len(touches)
    match model:
        case AttributionModel.FIRST:
            return _peaks(count, [0], 1, 0)
        case AttributionModel.LAST:
            return _peaks(count, [count - 1], 1, 0)
        case AttributionModel.LINEAR:
            return [1] * count
        case AttributionModel.U_SHAPED:
            return _peaks(count, [0, count - 1], 40, 20)
        case AttributionModel.W_SHAPED:
            middle = [lead] if lead is not None else [(count - 1) // 2] if count > 2 else []
            return _peaks(count, [0, *middle, count - 1 if deal is None else deal], 30, 10)
        case AttributionModel.TIME_DECAY:
            return _decay(touches, half_life)


def _peaks(count: int, peaks: Sequence[int], each: int, rest: int) -> list[int | Fraction]:
    others = [n for n in range(count) if n not in peaks]
    return [Fraction(rest, len(others)) if n in others else each * peaks.count(n) for n in range(count)]


def _decay(touches: Sequence[datetime], half_life: timedelta) -> list[int | Fraction]:
    """Weigh by 2 ** (-age / half-life), the age counted back from the last touch; only proportions matter."""
    if half_life <= timedelta():
        raise Invalid("marketing.bad_half_life", given=str(half_life))
    unit = timedelta(microseconds=1)
    ages = [Fraction((touches[-1] - at) // unit, half_life // unit) for at in touches]
    return [_halved(-age) for age in ages]


def _halved(times: Fraction) -> int | Fraction:
    if times < _FARTHEST:
        return 0
    exponent = _PRECISE.divide(Decimal(times.numerator), Decimal(times.denominator))
    return Fraction(_PRECISE.power(Decimal(2), exponent))
