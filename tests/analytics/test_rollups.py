"""Sums kept with every write are what the records add up to, for whoever asks, whichever way they were written."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from itertools import product
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crm_sales
from crm_analytics import plugin
from crm_analytics.api import Calendar, Grain, RebuildRollups
from crm_analytics.parts import Asked, Part
from crm_analytics.reading import Selection
from crm_analytics.rolledup import rolled_up
from crm_core import (
    CRM,
    Account,
    Actor,
    Denied,
    Entity,
    Field,
    LoadError,
    Money,
    MoneyField,
    Plugin,
    Ref,
    Role,
    Session,
    User,
    field,
    owner,
    team,
)
from crm_core.rules import F, everything, related
from crm_sales.api import Opportunity, Sales

BOSS = Actor.system("boss", tenant="main")
OWN = Role("own").allow(Opportunity, "read", "create", "update", where=owner)
TEAM = Role("team").allow(Opportunity, "read", where=team)
BIG = Role("big").allow(Opportunity, "read", where=F("name") == "big")
THEIRS = Role("theirs").allow(Opportunity, "read", where=related("account", owner))
BLIND = Role("blind").allow(Opportunity, "read", fields={"amount": "none"})


class Teams:
    """The host's users: 7 and 8 are one team."""

    def users(self, tenant: str, ids: Any = None) -> Iterable[User]:
        return [User("7", "Ada", teams={"north"}), User("8", "Bob", teams={"north"}), User("9", "Eve")]

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return None


@pytest.fixture
def crm(make_crm: Any) -> CRM:
    """A CRM that sells, its rollups built while it is empty."""
    made: CRM = make_crm(plugins=[crm_sales.plugin, plugin], roles=[OWN, TEAM, BIG, THEIRS, BLIND], directory=Teams())
    rebuild(made)
    return made


def rebuild(crm: CRM, tenant: str = "main") -> None:
    with crm.session(Actor("1", tenant=tenant, roles={"analytics.analyst"})) as s:
        assert s.perform(RebuildRollups()) == 1


def asked(crm: CRM, *by: str) -> Asked:
    known = {d.key: d for d in crm.registry.dimensions}
    return Asked(
        by=[known[b] for b in by], where=F("stage") != "never", grain=None, since=None, until=None, calendar=Calendar(), currency=None,
        rates="frozen", money={Opportunity: "amount"},
    )  # fmt: skip


def summed(parts: Iterable[Part]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for part in parts:
        key = (part.keys, part.currency)
        found[key] = found[key] + part.value if key in found else part.value
    return found


def assert_equal(s: Session, *, used: bool = True) -> None:
    """Ask of the cells and of the records."""
    for name in ("sales.deals", "sales.deals_value", "sales.won_value", "sales.weighted_value"):
        measure: Any = s.crm.registry.figures[name]
        for by in ((), ("owner",), ("stage", "status"), ("owner", "forecast")):
            kept = rolled_up(s, measure, asked(s.crm, *by))
            assert (kept is not None) is used
            assert kept is None or summed(kept) == summed(part for _, part in Selection(s, [measure], asked(s.crm, *by)).parts())


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "bulk", "update", "move", "where", "win", "delete", "restore", "upsert", "fail"]),
        st.integers(0, 20),
        st.sampled_from(["7", "8", None]),
        st.sampled_from(["new", "proposal", "negotiation"]),
        st.sampled_from([("0.00", "EUR"), ("12.34", "EUR"), ("99.99", "USD"), ("-5.00", "USD")]),
    ),
    max_size=14,
)


@settings(max_examples=25)
@given(STEPS)
def test_rollups_are_what_the_records_add_up_to_after_any_writes(crm: CRM, steps: list[Any]) -> None:
    with pytest.raises(ZeroDivisionError), crm.session(BOSS) as s:
        for step in steps:
            play(s, *step)
            assert_equal(s)
        kept = {(*c.values.items(), c.currency): (c.records, c.amount) for c in s.cells(crm.registry.rollups[0]) or ()}
        s.rebuild(crm.registry.rollups[0])
        assert {(*c.values.items(), c.currency): (c.records, c.amount) for c in s.cells(crm.registry.rollups[0]) or ()} == kept
        raise ZeroDivisionError  # nothing of it is kept


def play(s: Session, what: str, n: int, who: str | None, stage: str, amount: tuple[str, str]) -> None:
    """Write in one of the ways there are."""
    money = {"amount": amount[0], "currency": amount[1]}
    ids = s.query(Opportunity).ids()
    chosen = ids[n % len(ids)] if ids else None
    made = s.crm.from_json(Opportunity, {"name": "x", "owner": who, "stage": stage, "amount": money})
    if what == "create" or chosen is None:
        s.create(made)
    elif what == "bulk":
        s.create_many(s.crm.from_json(Opportunity, {"name": "x", "owner": who, "stage": stage, "amount": money}) for _ in range(n))
    elif what == "update":
        s.update(Opportunity, chosen, {"amount": money, "owner": who})
    elif what == "move":
        s.update(Opportunity, chosen, {"stage": stage})
    elif what == "where":
        s.update_where(s.query(Opportunity).where(Opportunity.stage == stage), {"owner": who})
    elif what == "win":
        s.update(Opportunity, chosen, {"stage": "won", "won_reason": "price"})
    elif what == "upsert":
        made.external_ref = f"ref{n % 3}"
        s.upsert(made, on="external_ref")
    elif what == "fail":
        with pytest.raises(ArithmeticError), s.savepoint():
            s.create(made)
            raise ArithmeticError
    else:
        s.delete(Ref(Opportunity, chosen))
        if what == "restore":
            s.restore(Opportunity, chosen)


def deals(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        account = s.create(Account(name="Acme", owner="7"))
        for who, name in (("7", "big"), ("8", "small"), ("9", "big"), (None, "small")):
            money = {"amount": "10.00", "currency": "EUR"}
            s.create(crm.from_json(Opportunity, {"name": name, "owner": who, "amount": money, "account": account.id}))


@pytest.mark.parametrize(
    ("actor", "seen"),
    [
        (Actor("7", roles={"sales.manager"}), 4),
        (Actor("7", roles={"own"}), 1),
        (Actor("7", roles={"sales.rep"}), 1),
        (Actor("7", roles={"team"}, teams={"north"}), 2),
        (Actor("6", roles={"own"}), 0),
        (Actor("7", roles={"big"}), None),  # by a field that no cell has
        (Actor("7", roles={"theirs"}), None),
    ],
)
def test_rollups_answer_whom_they_tell_the_same_as_the_records(crm: CRM, actor: Actor, seen: int | None) -> None:
    deals(crm)
    with crm.session(actor, write=False) as s:
        assert_equal(s, used=seen is not None)
        measure: Any = crm.registry.figures["sales.deals_value"]
        kept = rolled_up(s, measure, asked(crm))
        if seen is None:
            assert kept is None
        else:
            assert summed(kept or []) == ({((), "EUR"): Money(10 * seen, "EUR")} if seen else {})


def test_rollups_do_not_answer_where_a_deal_is_shared_or_a_field_is_hidden(crm: CRM) -> None:
    deals(crm)
    me = Actor("7", roles={"own"})
    with crm.session(BOSS) as s:
        s.share(s.query(Opportunity).where(Opportunity.owner == "9").one(), "user:7")
    with crm.session(me, write=False) as s:
        assert_equal(s, used=False)
    with crm.session(Actor("5", roles={"blind"}), write=False) as s:
        assert rolled_up(s, s.crm.registry.figures["sales.deals"], asked(crm)) is None  # type: ignore[arg-type]  # a measure


def test_rollups_of_one_tenant_hold_nothing_of_another_and_are_not_read_before_they_are_built(crm: CRM) -> None:
    deals(crm)
    other = Actor.system("other", tenant="other")
    with crm.session(other) as s:
        s.create(crm.from_json(Opportunity, {"name": "x", "amount": {"amount": "1.00", "currency": "EUR"}}))
        assert_equal(s, used=False)
    rebuild(crm, "other")
    with crm.session(other, write=False) as s:
        assert_equal(s)
        found = s.cells(crm.registry.rollups[0]) or []
        assert [(c.records, c.amount) for c in found] == [(1, Decimal(1))]


def test_rollups_are_rebuilt_only_by_who_may(crm: CRM) -> None:
    with crm.session(Actor("2", roles={"analytics.viewer"})) as s, pytest.raises(Denied):
        s.perform(RebuildRollups())
    with crm.session(Actor("2", roles={"analytics.analyst"})) as s, pytest.raises(Denied):
        s.rebuild(crm.registry.rollups[0])


class Visit(Entity):
    """Something with fields of all sorts."""

    who: Field[str] = field(pii=True)
    note: Field[str] = field(text=True)
    on: Field[date]
    fee: MoneyField = field(scale=2)


@pytest.mark.parametrize("asked", [{"by": ["who"]}, {"by": ["note"]}, {"by": ["nothing"]}, {"by": ["on"], "of": "fee"}, {"by": ["fee"]}])
def test_rollups_take_only_fields_that_make_cells(asked: dict[str, Any]) -> None:
    clinic = Plugin("clinic", version="1.0.0")
    clinic.entities(Visit)
    clinic.rollup("visits", Visit, **asked)
    with pytest.raises(LoadError) as caught:
        CRM("sqlite://", plugins=[clinic])
    assert caught.value.code == ("figure_field" if asked["by"] == ["nothing"] else "rollup_field")


class Sale(Entity):
    """Something sold on a day, or on none that is known."""

    on: Field[date | None]
    amount: MoneyField = field()


def test_rollups_by_day_answer_for_spans_and_periods_as_the_records_do(make_crm: Any) -> None:
    stall = Plugin("stall", version="1.0.0")
    stall.entities(Sale)
    taken = stall.measure("taken", Sale, of="amount", at="on", label="Taken", unit="money", formula="sum of sales")
    stall.rollup("days", Sale, by=("on",), of="amount")
    days = (date(2026, 1, 30), date(2026, 1, 31), date(2026, 2, 1), date(2026, 2, 28), date(2026, 3, 1), None)
    with make_crm(plugins=[stall, plugin]).session(BOSS) as s:
        s.create_many(Sale(on=day, amount=Money(10**n, "EUR")) for n, day in enumerate(days))
        s.rebuild(s.crm.registry.rollups[0])
        for grain, since, until in product((None, Grain.DAY, Grain.MONTH), (None, days[1]), (None, days[3])):
            question = Asked(
                by=[], where=everything, grain=grain, since=since, until=until, calendar=Calendar(), currency=None, rates="frozen",
                money={Sale: "amount"},
            )  # fmt: skip
            kept = rolled_up(s, taken, question)
            assert kept is not None
            assert by_period(kept) == by_period(part for _, part in Selection(s, [taken], question).parts()), question


def by_period(parts: Iterable[Part]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for part in parts:
        found[part.period] = found.get(part.period, Money.zero("EUR")) + part.value
    return found


def test_rollups_stay_right_when_many_write_the_same_cells_at_once_and_one_rebuilds_them(crm: CRM) -> None:
    writers, rounds = 4, 5
    start = Barrier(writers + 1)

    def write(n: int) -> None:
        start.wait()
        for turn in range(rounds):
            order = ["7", "8", "9"] if (n + turn) % 2 else ["9", "8", "7"]
            # One batch locks its cells in one order, whatever that of its records.
            plain = [{"name": "x", "owner": o, "amount": {"amount": "1.00", "currency": "EUR"}} for o in order]
            with crm.session(BOSS) as s:
                s.create_many(crm.from_json(Opportunity, p) for p in plain)

    def build() -> None:
        start.wait()
        for _ in range(rounds):
            rebuild(crm)

    with crm.session(BOSS) as s:
        s.use(Sales).setup()
    with ThreadPoolExecutor(writers + 1) as pool:
        done = [pool.submit(build), *(pool.submit(write, n) for n in range(writers))]
        for future in done:
            future.result(timeout=60)
    with crm.session(BOSS, write=False) as s:
        assert_equal(s)
        assert sum(c.records for c in s.cells(crm.registry.rollups[0]) or ()) == 3 * writers * rounds
