"""Figures of surveys: golden cases, every method by its name, margins of error, and laws [C43, G5, G6]."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from statistics import fmean, pstdev, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core import Invalid
from crm_service.api import Method, Score, SurveyKind, ces, csat, nps
from crm_service.scoring import METHODS, score

GOLDEN = Counter([10, 10, 9, 9, 9, 8, 7, 4, 2, 1])


def test_g5_the_nps_of_ten_answers_is_20() -> None:
    assert nps(GOLDEN).value == Decimal("20.00")
    assert nps(GOLDEN).n == 10


def test_g6_three_methods_of_csat_give_three_numbers_for_the_same_answers() -> None:
    methods = (Method.TOP2, Method.MEAN, Method.PERCENT_OF_MAX)
    assert [csat(GOLDEN, method=m, highest=10).value for m in methods] == [Decimal("50.00"), Decimal("6.90"), Decimal("69.00")]


def test_g6_the_method_has_no_default() -> None:
    with pytest.raises(TypeError, match="method"):
        csat(GOLDEN, highest=10)  # type: ignore[call-arg]  # what must not be left out
    with pytest.raises(TypeError, match="method"):
        ces(GOLDEN)  # type: ignore[call-arg]  # the same


def test_c43_a_detractor_begins_at_zero_and_ends_at_six() -> None:
    assert [nps({given: 1}).value for given in (0, 6, 7, 8, 9, 10)] == [-100, -100, 0, 0, 100, 100]


def test_c43_top2_are_the_two_best_scores_of_the_scale() -> None:
    assert csat({5: 1, 4: 1, 3: 2}, method=Method.TOP2, highest=5).value == Decimal("50.00")


def test_c43_effort_is_a_mean_or_the_share_of_five_to_seven() -> None:
    answers = {7: 2, 5: 1, 4: 1, 1: 1}
    assert ces(answers, method=Method.MEAN).value == Decimal("4.80")
    assert ces(answers, method=Method.PERCENT_5_7).value == Decimal("60.00")


def test_c43_the_margin_of_an_nps_follows_the_variance_of_its_three_groups() -> None:
    # Half promoters, a third passives, a sixth detractors: the variance is 5/9, so 1.96 * sqrt(5/9/600) = 5.96 points.
    assert nps({10: 300, 8: 200, 3: 100}) == Score(Method.NPS, Decimal("33.33"), 600, Decimal("5.96"))


def test_c43_the_margin_of_a_share_is_that_of_a_proportion() -> None:
    # The textbook's: half of 100 give plus or minus 9.8 points.
    assert csat({5: 50, 1: 50}, method=Method.TOP2, highest=5).margin == Decimal("9.80")


def test_c43_without_answers_there_is_no_figure_and_one_answer_has_no_margin_of_a_mean() -> None:
    assert nps({}) == Score(Method.NPS, None, 0, None)
    assert csat({4: 1}, method=Method.MEAN, highest=5) == Score(Method.MEAN, Decimal("4.00"), 1, None)


@pytest.mark.parametrize("kind", SurveyKind)
@pytest.mark.parametrize("method", Method)
def test_c43_a_method_that_a_kind_does_not_have_is_refused(kind: SurveyKind, method: Method) -> None:
    if method in METHODS[kind]:
        assert score(kind, method, {5: 1}, highest=10).method is method
        return
    with pytest.raises(Invalid) as e:
        score(kind, method, {5: 1}, highest=10)
    assert (e.value.code, e.value.params["allowed"]) == ("service.bad_method", [m.value for m in METHODS[kind]])


ANSWERS = st.lists(st.integers(0, 10), min_size=2, max_size=60)


@given(ANSWERS)
def test_c43_figures_agree_with_the_answers_counted_one_by_one(answers: list[int]) -> None:
    groups = [(a >= 9) - (a <= 6) for a in answers]
    found = nps(Counter(answers))
    assert found.value is not None
    assert found.margin is not None
    assert float(found.value) == pytest.approx(100 * fmean(groups), abs=0.0051)
    assert float(found.margin) == pytest.approx(196 * pstdev(groups) / len(groups) ** 0.5, abs=0.0051)
    mean = csat(Counter(answers), method=Method.MEAN, highest=10)
    assert mean.margin is not None
    assert float(mean.margin) == pytest.approx(1.96 * stdev(answers) / len(answers) ** 0.5, abs=0.0051)


@given(ANSWERS, st.integers(1, 5))
def test_c43_the_same_answers_many_times_over_give_the_same_figure_and_a_smaller_margin(answers: list[int], times: int) -> None:
    once, often = nps(Counter(answers)), nps(Counter(answers * times))
    assert often.value == once.value
    assert once.margin is not None
    assert often.margin is not None
    assert often.margin <= once.margin
