"""Attribution: exact goldens, how models degrade, and credits that always sum to the amount [C34, G7, G8]."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crm_core import Invalid, Money
from crm_marketing.api import AttributionModel as Model
from crm_marketing.api import credits
from tests.marketing.conftest import eur

START = datetime(2026, 3, 1, tzinfo=UTC)


def days(*numbers: float) -> list[datetime]:
    return [START + timedelta(days=n) for n in numbers]


def amounts(parts: list[Money]) -> list[str]:
    return [str(p.amount) for p in parts]


def test_c34_g7_time_decay_shares_12000_among_five_touches_to_the_cent() -> None:
    parts = credits(eur(12000), days(0, 5, 12, 30, 38), Model.TIME_DECAY)
    assert [int(p.rounded(0).amount) for p in parts] == [175, 287, 575, 3417, 7545]
    assert Money.sum(parts, "EUR") == eur(12000)
    assert amounts(parts) == ["175.19", "287.44", "574.88", "3417.04", "7545.45"]


def test_c34_g8_u_gives_40_20_40_and_w_30_30_30_10() -> None:
    assert amounts(credits(eur(100), days(0, 1, 2), Model.U_SHAPED)) == ["40.00", "20.00", "40.00"]
    assert amounts(credits(eur(100), days(0, 1, 2, 3), Model.U_SHAPED)) == ["40.00", "10.00", "10.00", "40.00"]
    assert amounts(credits(eur(100), days(0, 1, 2, 3), Model.W_SHAPED)) == ["30.00", "30.00", "10.00", "30.00"]
    assert amounts(credits(eur(100), days(0, 1, 2, 3, 4), Model.W_SHAPED)) == ["30.00", "5.00", "30.00", "5.00", "30.00"]


@pytest.mark.parametrize(
    ("model", "one", "two", "three"),
    [
        (Model.FIRST, ["100.00"], ["100.00", "0.00"], ["100.00", "0.00", "0.00"]),
        (Model.LAST, ["100.00"], ["0.00", "100.00"], ["0.00", "0.00", "100.00"]),
        (Model.LINEAR, ["100.00"], ["50.00", "50.00"], ["33.34", "33.33", "33.33"]),
        (Model.U_SHAPED, ["100.00"], ["50.00", "50.00"], ["40.00", "20.00", "40.00"]),
        (Model.W_SHAPED, ["100.00"], ["50.00", "50.00"], ["33.34", "33.33", "33.33"]),
        (Model.TIME_DECAY, ["100.00"], ["33.33", "66.67"], ["14.29", "28.57", "57.14"]),
    ],
)
def test_c34_models_of_one_two_and_three_touches(model: Model, one: list[str], two: list[str], three: list[str]) -> None:
    touches = days(0, 7, 14)
    for count, expected in enumerate((one, two, three), 1):
        assert amounts(credits(eur(100), touches[:count], model)) == expected


def test_c34_w_knows_which_touch_made_the_lead_and_which_the_deal() -> None:
    touches = days(0, 1, 2, 3, 4)
    assert amounts(credits(eur(100), touches, Model.W_SHAPED, lead=1, deal=3)) == ["30.00", "30.00", "5.00", "30.00", "5.00"]
    # The first touch was a form that made the lead: it is two milestones.
    assert amounts(credits(eur(100), touches[:3], Model.W_SHAPED, lead=0, deal=2)) == ["60.00", "10.00", "30.00"]
    assert amounts(credits(eur(100), touches[:2], Model.W_SHAPED, lead=0, deal=0)) == ["90.00", "10.00"]
    assert amounts(credits(eur(100), touches[:1], Model.W_SHAPED, lead=0, deal=0)) == ["100.00"]


def test_c34_touches_may_come_in_any_order_and_credits_come_in_the_same() -> None:
    assert amounts(credits(eur(100), days(2, 0, 1), Model.U_SHAPED)) == ["40.00", "40.00", "20.00"]
    assert amounts(credits(eur(90), days(3, 0, 1, 2), Model.W_SHAPED, lead=3, deal=0)) == ["27.00", "27.00", "9.00", "27.00"]


def test_c34_of_no_touches_nobody_gets_anything() -> None:
    assert [credits(eur(100), [], model) for model in Model] == [[]] * len(Model)


def test_c34_touches_far_back_get_no_cent_and_break_nothing() -> None:
    parts = credits(eur(100), [datetime(1970, 1, 1, tzinfo=UTC), *days(0)], Model.TIME_DECAY, half_life=timedelta(microseconds=1))
    assert amounts(parts) == ["0.00", "100.00"]


@pytest.mark.parametrize("half_life", [timedelta(), timedelta(days=-1)])
def test_a_half_life_is_positive(half_life: timedelta) -> None:
    with pytest.raises(Invalid) as e:
        credits(eur(100), days(0), Model.TIME_DECAY, half_life=half_life)
    assert e.value.code == "marketing.bad_half_life"


def test_amounts_are_in_whole_minor_units() -> None:
    with pytest.raises(Invalid) as e:
        credits(eur("0.001"), days(0), Model.LINEAR)
    assert e.value.code == "too_precise"


_MONEY = st.builds(
    lambda units, currency: Money(Decimal(units).scaleb(-{"EUR": 2, "JPY": 0, "KWD": 3}[currency]), currency),
    st.integers(-(10**14), 10**14),
    st.sampled_from(["EUR", "JPY", "KWD"]),
)
_INSTANTS = st.builds(lambda microseconds: START + timedelta(microseconds=microseconds), st.integers(-(10**15), 10**15))
_TOUCHES = st.lists(_INSTANTS, min_size=1, max_size=12)


@given(_MONEY, _TOUCHES, st.sampled_from(Model), st.integers(1, 10**15), st.data())
@example(eur("0.01"), days(0, 1, 2), Model.W_SHAPED, 1, None)
def test_c34_credits_sum_to_the_amount_for_every_model_and_any_touches(
    amount: Money, touches: list[datetime], model: Model, half_life: int, data: st.DataObject | None
) -> None:
    lead, deal = (data.draw(st.none() | st.integers(0, len(touches) - 1)) if data else None for _ in range(2))
    parts = credits(amount, touches, model, half_life=timedelta(microseconds=half_life), lead=lead, deal=deal)
    assert len(parts) == len(touches)
    assert Money.sum(parts, amount.currency) == amount
    assert all(p.amount * amount.amount >= 0 for p in parts), "no credit has another sign"
