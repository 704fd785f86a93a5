"""Figures that plugins declare are checked when they load: their fields, and the rules that say of which records they are."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crm_core import ratio
from crm_core.entities.customer import Account
from crm_core.errors import LoadError
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from crm_core.permissions.predicates import F, Rule, related
from tests.hooks.host import refused


@pytest.mark.parametrize(
    "declare",
    [
        lambda p: p.measure("value", Account, label="v", formula="f", unit="u", of="nmae"),
        lambda p: p.measure("value", Account, label="v", formula="f", unit="u", at="nmae"),
        lambda p: p.measure("value", Account, label="v", formula="f", unit="u", weight="nmae"),
        lambda p: p.dimension("value", Account, "nmae", label="v"),
        lambda p: p.rollup("value", Account, by=["nmae"]),
    ],
)
def test_a_figure_of_a_field_that_is_not_there_is_refused_with_what_was_meant(declare: Any) -> None:
    acme = Plugin("acme", version="1.0")
    declare(acme)
    with pytest.raises(LoadError, match=r"acme.value .* nmae, .* account .* Did you mean name\?") as error:
        Registry([acme])
    assert error.value.code == "figure_field"


@pytest.mark.parametrize(
    ("where", "code", "field"),
    [
        (F("nmae") == "x", "rule_unknown_field", "nmae"),
        (F("kind") == "companie", "rule_constant", "kind"),
        (F("emails") > 3, "rule_operator", "emails"),
        (related("parent", F("nmae") == "x"), "rule_unknown_field", "nmae"),
    ],
)
def test_a_measure_whose_rule_cannot_be_asked_is_refused_when_plugins_load(where: Rule, code: str, field: str) -> None:
    acme = Plugin("acme", version="1.0")
    acme.measure("value", Account, label="v", formula="f", unit="u", where=where)
    error = refused(lambda: Registry([acme]))
    assert (error.code, error.params["field"], error.params["entity"]) == (code, field, "account")


@given(st.integers(0, 10**9), st.integers(1, 10**9))
@example(1, 200)  # 0.005
@example(2, 3)
def test_a_ratio_has_two_places_rounded_half_up(part: int, whole: int) -> None:
    assert str(ratio(part, whole)) == str((Decimal(part) / whole).quantize(Decimal("0.01"), ROUND_HALF_UP))


def test_there_is_no_ratio_of_nothing() -> None:
    assert (ratio(0, 0), ratio(100 * 5, 0)) == (None, None)
