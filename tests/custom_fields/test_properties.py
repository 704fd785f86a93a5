"""[C76] What filters and orders by custom fields find is what Python finds, on both databases."""

from __future__ import annotations

import operator
import os
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_core import CRM, Account, Actor, Role, custom, owner

EXAMPLES = 400 if os.environ.get("CRM_TRUST_LONG") else 25
RECORDS = 60
SEED = 76
TENANT = "acme"
ADMIN = Actor.system("setup", tenant=TENANT)
REP = Actor("7", tenant=TENANT, roles={"rep"})
START = datetime(2026, 1, 1, tzinfo=UTC)
# Few values, so that there are ties; among them those that sort unlike in most collations, and that floats would not keep.
POOLS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "word": ({}, ["a", "B", "b", "ä", "Z", "a b", "\U0001f600", "%", "_", "'"]),
    "whole": ({"kind": "integer"}, [-(2**63) + 1, -1, 0, 1, 7, 2**53 + 1, 2**63 - 1]),
    "exact": ({"kind": "decimal", "scale": 4}, [Decimal(n) for n in ("-0.0001", "0", "0.1", "0.2", "0.3", "900719925474.0993")]),
    "truth": ({"kind": "boolean"}, [False, True]),
    "day": ({"kind": "date"}, [date(999, 1, 1), date(2026, 1, 31), date(2026, 2, 1)]),
    "instant": ({"kind": "instant"}, [START + timedelta(microseconds=n) for n in (-1, 0, 1)] + [START.replace(year=1900)]),
    "tier": ({"kind": "choice", "options": ["gold", "tin"]}, ["gold", "tin"]),
}
OPERATORS = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
UNORDERED = {"truth"}
names = st.sampled_from(sorted(POOLS))


@st.composite
def conditions(draw: st.DrawFn) -> tuple[str, str, Any]:
    name = draw(names)
    pool = POOLS[name][1]
    how = draw(st.sampled_from(["==", "!=", "null", *(() if name in UNORDERED else ("in", "<", "<=", ">", ">="))]))
    if how == "in":
        return name, how, draw(st.lists(st.sampled_from(pool), max_size=3))
    return name, how, None if how == "null" else draw(st.sampled_from(pool))


def as_rule(condition: tuple[str, str, Any]) -> Any:
    name, how, value = condition
    field = custom(name)
    return field.in_(value) if how == "in" else field.is_null() if how == "null" else OPERATORS[how](field, value)


def holds(condition: tuple[str, str, Any], record: Account) -> bool:
    name, how, value = condition
    found = record.custom[name]
    if how == "null":
        return found is None
    return found is not None and (found in value if how == "in" else bool(OPERATORS[how](found, value)))


def in_order(records: list[Account], orders: list[tuple[str, bool]]) -> list[str]:
    found = sorted(records, key=lambda r: r.id, reverse=bool(orders) and orders[-1][1])
    for name, descending in reversed(orders):
        known = sorted((r for r in found if r.custom[name] is not None), key=lambda r: r.custom[name], reverse=descending)
        found = [*known, *(r for r in found if r.custom[name] is None)]
    return [r.id for r in found]


@pytest.fixture
def crm(make_crm: Any) -> CRM:
    made: CRM = make_crm(roles=[Role("rep").allow(Account, "read", where=owner)])
    chance = random.Random(SEED)
    with made.session(ADMIN) as s:
        for name, (options, _) in POOLS.items():
            s.custom_fields.add(Account, name, **options)
        for n in range(RECORDS):
            values = {name: chance.choice([None, *pool]) for name, (_, pool) in POOLS.items()}
            s.create(Account(name=f"a{n}", owner=chance.choice(["7", "8"]), custom=values))
    with made.session(Actor.system("setup", tenant="other")) as s:
        s.custom_fields.add(Account, "word")
        s.create(Account(name="theirs", owner="7", custom={"word": "a"}))
    return made


def test_filters_orders_and_pages_find_what_python_finds(crm: CRM) -> None:
    cases = 0

    @settings(max_examples=EXAMPLES)
    @given(
        st.lists(conditions(), max_size=2),
        st.booleans(),
        st.lists(st.tuples(names, st.booleans()), max_size=2, unique_by=lambda order: order[0]),
        st.integers(7, 70),
        st.sampled_from([ADMIN, REP]),
    )
    def check(asked: list[tuple[str, str, Any]], either: bool, orders: list[tuple[str, bool]], size: int, actor: Actor) -> None:
        nonlocal cases
        cases += 1
        with crm.session(actor, write=False) as s:
            everything = s.query(Account).all()
            rules = [as_rule(condition) for condition in asked]
            criteria = [rules[0] | rules[1]] if either and len(rules) == 2 else rules
            test = any if either and len(rules) == 2 else all
            expected = in_order([r for r in everything if test(holds(c, r) for c in asked)], orders)
            query = s.query(Account).where(*criteria).order_by(*(custom(n).desc() if down else custom(n) for n, down in orders))
            assert query.ids() == expected
            assert query.count() == len(expected)
            first = query.first()
            assert (first and first.id) == (expected[0] if expected else None)
            assert [r.id for r in query.stream(size)] == expected

    check()
    print(f"\nC76: {crm.bound.kind}, {RECORDS} records, {cases} cases, seed {SEED}")
