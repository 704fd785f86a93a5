"""Real purchases: the CDNOW sample (2,357 customers, 6,919 purchases) graded and put in cohorts, against a plain recomputation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from crm_analytics import plugin
from crm_analytics.api import AccountGrade, Analytics, GradeChange
from crm_core import CRM, Account, Actor, Money, Runtime
from tests.analytics import shop

ANALYST = Actor.system("analyst", tenant="main")
PLUGINS = [shop.plugin, plugin.configured(purchases="shop.spent", customer="shop.account")]


@attrs.frozen
class Bought:
    """A line of the file."""

    customer: str
    on: date
    amount: Decimal


@pytest.fixture
def lines(test_data: Callable[[str], Path]) -> list[Bought]:
    """The purchases of the sample, as the file has them."""
    text = test_data("analytics/cdnow/CDNOW_sample.txt").read_text("ascii")
    cells = [line.split() for line in text.splitlines() if line.strip()]
    return [Bought(c[1], date.fromisoformat(c[2]), Decimal(c[4])) for c in cells]


@pytest.fixture
def crm(make_crm: Any, lines: list[Bought]) -> CRM:
    """A CRM with these purchases, each customer an account."""
    made: CRM = make_crm(plugins=PLUGINS, runtime=Runtime.seeded(1))
    with made.session(ANALYST) as s:
        names = sorted({line.customer for line in lines})
        accounts = {a.name: a.ref for a in s.create_many(Account(name=n) for n in names).ok}
        s.create_many(shop.Purchase(account=accounts[b.customer], on=b.on, amount=Money(b.amount, "USD")) for b in lines)
    return made


def test_c05_grades_are_those_of_a_plain_recomputation_and_a_second_run_changes_nothing(crm: CRM, lines: list[Bought]) -> None:
    assert (len(lines), len({b.customer for b in lines})) == (6919, 2357)
    mine: dict[str, list[Bought]] = defaultdict(list)
    for b in lines:
        mine[b.customer].append(b)
    last = {c: max(b.on for b in bought) for c, bought in mine.items()}
    often = {c: len(bought) for c, bought in mine.items()}
    spent = {c: sum(b.amount for b in bought) for c, bought in mine.items()}
    ranks: list[tuple[dict[str, Any], Counter[Any]]] = [(values, Counter(values.values())) for values in (last, often, spent)]

    def scores(customer: str) -> tuple[int, ...]:
        return tuple(1 + 5 * sum(n for v, n in counts.items() if v < values[customer]) // len(values) for values, counts in ranks)

    expected = {c: scores(c) for c in sorted(mine)[::7]}
    with crm.session(ANALYST) as s:
        assert s.use(Analytics).regrade(date(1998, 6, 30)) == 2357
        assert s.use(Analytics).regrade(date(1998, 6, 30)) == 0
        names = {a.id: a.name for a in s.query(Account).all()}
        found = {names[g.account.id]: g for g in s.query(AccountGrade).all()}
        assert {c: (g.recency, g.frequency, g.monetary) for c, g in found.items() if c in expected} == expected
        for customer in expected:
            grade, total = found[customer], sum(expected[customer])
            assert (grade.last_on, grade.purchases, grade.spent) == (last[customer], often[customer], Money(spent[customer], "USD"))
            assert grade.grade == ("A" if total >= 12 else "B" if total >= 8 else "C")
        assert s.query(GradeChange).count() == 2357


def test_c58_the_retention_matrix_is_that_of_a_plain_recomputation(crm: CRM, lines: list[Bought]) -> None:
    active: dict[str, set[int]] = defaultdict(set)
    for b in lines:
        active[b.customer].add(b.on.year * 12 + b.on.month - 1)
    expected: dict[int, Counter[int]] = defaultdict(Counter)
    for months in active.values():
        expected[min(months)].update(m - min(months) for m in months)
    with crm.session(ANALYST, write=False) as s:
        found = s.use(Analytics).cohorts("month")
    assert [c.period.label for c in found] == ["1997-01", "1997-02", "1997-03"]
    assert [list(c.active) for c in found] == [[expected[m][n] for n in range(1998 * 12 + 6 - m)] for m in sorted(expected)]
    assert sum(c.size for c in found) == 2357
    assert found[0].retention(0) == 100
    assert found[0].retention(1) == (Decimal(10_000 * found[0].active[1]) / found[0].size).quantize(Decimal(1), "ROUND_HALF_UP") / 100
