"""What answers add up to: NPS, CSAT and CES, each by a named method, with the number of answers and the margin of error [C43].

Pure functions of a tally: how many people gave which score. The published methods for one and the same survey give unlike numbers, so
nothing here has a default method. Figures are exact until they are rounded half-up to two places.

Each figure is a mean of n answers x: of 1 (promoter), 0 and -1 (detractor) for NPS; of 1 and 0 for a share; of the scores themselves for
a mean. Its margin of error at 95 % is 1.96 * s / sqrt(n): the normal approximation for a simple random sample from a large population
(Cochran, Sampling Techniques, 3rd ed., 2.7 and 3.2), with s the standard deviation of x in the sample, divided by n for NPS and shares
(for NPS: s^2 = p + d - (p - d)^2, with the shares p of promoters and d of detractors) and by n - 1 for means. For few answers it is too
narrow; where it cannot be told (one answer to a mean) it is None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import Enum
from fractions import Fraction

import attrs

from crm_core import Invalid

Tally = Mapping[int, int]
_Z = Decimal("1.96")
_EXACT = Context(prec=40, rounding=ROUND_HALF_UP, traps=[])  # not the thread's, which a host may change


class SurveyKind(Enum):
    """What a survey asks: would you recommend us (NPS), are you satisfied (CSAT), how easy was it (CES)."""

    NPS = "nps"
    CSAT = "csat"
    CES = "ces"


class Method(Enum):
    """How a figure comes from the answers.

    ``nps``: % of 9 and 10 minus % of 0 to 6, from -100 to 100. ``top2``: % of answers in the scale's two best scores. ``mean``: the
    average score. ``percent_of_max``: the sum of the scores in % of the highest sum that could be. ``percent_5_7``: % of 5, 6 and 7.
    """

    NPS = "nps"
    TOP2 = "top2"
    MEAN = "mean"
    PERCENT_OF_MAX = "percent_of_max"
    PERCENT_5_7 = "percent_5_7"


METHODS: Mapping[SurveyKind, tuple[Method, ...]] = {
    SurveyKind.NPS: (Method.NPS,),
    SurveyKind.CSAT: (Method.TOP2, Method.MEAN, Method.PERCENT_OF_MAX),
    SurveyKind.CES: (Method.MEAN, Method.PERCENT_5_7),
}


@attrs.frozen
class Score:
    """A figure and how sure it is.

    Attributes:
        value: None where nobody answered.
        n: how many answers it comes from.
        margin: half the width of its 95 % confidence interval, in the figure's own unit; None where it cannot be told.
    """

    method: Method
    value: Decimal | None
    n: int
    margin: Decimal | None


def score(kind: SurveyKind, method: Method, tally: Tally, *, highest: int) -> Score:
    """Return the figure that *method* makes of the answers.

    Args:
        tally: how many answers each score has.
        highest: the best score of the scale.

    Raises:
        Invalid: ``service.bad_method``: it is not one for this kind of survey.
    """
    if method not in METHODS[kind]:
        raise Invalid("service.bad_method", given=method.value, kind=kind.value, allowed=[m.value for m in METHODS[kind]])
    value_of, unit = _valued(method, highest)
    return _mean_of(method, [(value_of(given), count) for given, count in tally.items()], unit)


def nps(tally: Tally) -> Score:
    """Return the Net Promoter Score: % of 9 and 10 minus % of 0 to 6 (Reichheld, The One Number You Need to Grow, HBR 12/2003)."""
    return score(SurveyKind.NPS, Method.NPS, tally, highest=10)


def csat(tally: Tally, *, method: Method, highest: int) -> Score:
    """Return the satisfaction by ``top2``, ``mean`` or ``percent_of_max``."""
    return score(SurveyKind.CSAT, method, tally, highest=highest)


def ces(tally: Tally, *, method: Method) -> Score:
    """Return the customer's effort on the scale from 1 (hard) to 7 (easy), by ``mean`` or ``percent_5_7``."""
    return score(SurveyKind.CES, method, tally, highest=7)


def _valued(method: Method, highest: int) -> tuple[Callable[[int], Fraction], int]:
    """Return what one answer counts, and what the mean of that is multiplied by."""
    match method:
        case Method.NPS:
            return lambda given: Fraction((given >= 9) - (given <= 6)), 100
        case Method.TOP2:
            return lambda given: Fraction(given >= highest - 1), 100
        case Method.PERCENT_5_7:
            return lambda given: Fraction(given >= 5), 100
        case Method.PERCENT_OF_MAX:
            return lambda given: Fraction(given, highest), 100
    return Fraction, 1


def _mean_of(method: Method, values: list[tuple[Fraction, int]], unit: int) -> Score:
    n = sum(count for _, count in values)
    if n == 0:
        return Score(method, None, 0, None)
    mean = sum((value * count for value, count in values), Fraction()) / n
    squares = sum(((value - mean) ** 2 * count for value, count in values), Fraction())
    divisor = n - 1 if method in (Method.MEAN, Method.PERCENT_OF_MAX) else n
    margin = _rounded(_EXACT.multiply(_EXACT.multiply(_Z, _root(squares / divisor / n)), Decimal(unit))) if divisor else None
    return Score(method, _rounded(_decimal(mean * unit)), n, margin)


def _decimal(value: Fraction) -> Decimal:
    return _EXACT.divide(Decimal(value.numerator), Decimal(value.denominator))


def _root(value: Fraction) -> Decimal:
    return _EXACT.sqrt(_decimal(value))


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.01"), ROUND_HALF_UP, _EXACT)
