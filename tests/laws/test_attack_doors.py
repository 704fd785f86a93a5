"""Attacks on what stays open behind a door: elevations, joined transactions, keys. Each of these once broke a law."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, cast

import attrs
import pytest
from sqlalchemy import Float, func, select
from sqlalchemy.exc import DBAPIError

from crm_core import (
    CRM,
    Account,
    Actor,
    Conflict,
    CRMError,
    Invalid,
    Money,
    Plugin,
    ReadOnly,
    Refused,
    Role,
    Session,
    User,
    owner,
    subordinates,
)
from crm_core.testing.state import state_hash
from tests.laws.shop import Deal, Shop, plugin
from tests.laws.tricks import SYSTEM, Sizes, trick

spy = Plugin("spy", version="1")
spy.grants("account:read", "contact:read")


@attrs.frozen
class Keep:
    """Keep what an elevation gives."""


class Census:
    """A service that counts what its session sees."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def count(self) -> int:
        return self.session.query(Account).count()


spy.service(Census)
kept: list[Callable[[], Any]] = []


@spy.action(permission="spy.keep", label="Keep")
def keep(s: Session, command: Keep) -> int:
    forgotten = ExitStack()
    with s.elevated("look around") as e:
        census = e.use(Census)
        query = e.query(Account)
        rows = e.query(Account).stream(1)
        next(rows)
        inner = forgotten.enter_context(e.elevated("and around"))
        kept[:] = [
            census.count,
            query.all,
            query.count,
            query.page,
            lambda: list(rows),
            lambda: inner.query(Account).all(),
            lambda: e.use(Census).count(),
            lambda: census.session.elevated("again").__enter__(),
            lambda: e.derive().query(Account).all(),
            lambda: e.create(Account(name="x")),
        ]
        return census.count()


# -- elevations --------------------------------------------------------------------------------------------------------------------


def test_nothing_made_inside_an_elevation_works_after_it(make_crm: Any) -> None:
    crm = make_crm(plugins=[spy], roles=[Role("keeper").permit("spy.keep")])
    with crm.session(SYSTEM) as s:
        s.create_many([Account(name="a", owner="2"), Account(name="b", owner="2")])
    with crm.session(Actor("1", roles={"keeper"})) as s:
        assert s.perform(Keep()) == 2
        for attack in kept:
            with pytest.raises(ReadOnly) as raised:
                attack()
            assert raised.value.code == "session_closed"
        assert s.use(Census).count() == 0


# -- a host's transaction ------------------------------------------------------------------------------------------------------------

FAIL = {
    "sqlite": "CREATE TRIGGER broken BEFORE INSERT ON crm_journal WHEN NEW.entity = 'shop.deal' BEGIN SELECT RAISE(ABORT, 'broken'); END",
    "postgresql": (
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'broken'; END $$; "
        "CREATE TRIGGER broken BEFORE INSERT ON crm_journal FOR EACH ROW WHEN (NEW.entity = 'shop.deal') EXECUTE FUNCTION broken()"
    ),
}

HALFWAY: dict[str, Callable[[Session, Deal], Any]] = {
    "create": lambda s, d: s.create(_deal(d)),
    "create_many": lambda s, d: s.create_many(_deal(d, str(i)) for i in range(3)),
    "update": lambda s, d: s.update(Deal, d.id, {"name": "new"}),
    "save": lambda s, d: s.save(_renamed(d)),
    "upsert a new one": lambda s, d: s.upsert(_deal(d, "c:2"), on="code"),
    "upsert a known one": lambda s, d: s.upsert(_deal(d, "c:1"), on="code"),
    "update_where": lambda s, d: s.update_where(s.query(Deal), {"name": "new"}),
    "delete": lambda s, d: s.delete(d),
    "share": lambda s, d: s.share(d, "user:7"),
}


def _deal(like: Deal, code: str = "c:9") -> Deal:
    return Deal(name="another", account=like.account, amount=Money(1, "EUR"), code=code)


def _renamed(deal: Deal) -> Deal:
    deal.name = "new"
    return deal


@pytest.mark.parametrize("case", HALFWAY)
def test_a_call_that_fails_between_row_and_journal_leaves_a_hosts_transaction_as_it_was(make_crm: Any, case: str) -> None:
    crm = make_crm(plugins=[plugin, trick])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="a"))
        deal = s.create(Deal(name="d", account=account.ref, amount=Money(1, "EUR"), code="c:1"))
    with crm.bound.begin() as connection:
        connection.exec_driver_sql(FAIL[crm.bound.kind])
    before = state_hash(crm)
    with crm.bound.begin() as connection, crm.session(SYSTEM, on=connection) as s, pytest.raises((CRMError, DBAPIError)):
        HALFWAY[case](s, deal)
    assert state_hash(crm) == before


def test_failed_calls_leave_no_savepoints_behind(make_crm: Any) -> None:
    crm = make_crm()
    with crm.bound.begin() as connection, crm.session(SYSTEM, on=connection) as s:
        for _ in range(3):
            with pytest.raises(Invalid):
                s.create(Account(name=""))
        for number in range(2, 6):  # the first is the session's own
            with pytest.raises(DBAPIError), connection.begin_nested():
                connection.exec_driver_sql(f"RELEASE SAVEPOINT crm_{number}")


def test_a_key_is_not_taken_by_a_session_that_failed_in_a_hosts_transaction(make_crm: Any) -> None:
    crm = make_crm()
    with crm.bound.begin() as connection:
        with suppress(ZeroDivisionError), crm.session(SYSTEM, on=connection, idempotency_key="k") as s:
            s.create(Account(name="a"))
            raise ZeroDivisionError
        assert connection.in_transaction()
    assert crm.outcome("k") is None
    with crm.session(SYSTEM, idempotency_key="k") as s:
        s.create(Account(name="b"))
        assert [a.name for a in s.query(Account).all()] == ["b"]


# -- keys ----------------------------------------------------------------------------------------------------------------------------


def test_an_error_that_was_caught_under_a_key_comes_again_in_the_second_run(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin])
    errors: list[CRMError] = []

    def work(s: Session) -> tuple[str, str]:
        first = s.create(Account(name="a", external_ref="a:1"))
        for attempt in (
            lambda: s.create(Account(name="b", external_ref="a:1")),
            lambda: s.create(Account(name="", industry=cast("Any", 5))),
            lambda: s.update(Account, first.id, {"name": "c"}, version=7),
            lambda: s.use(Shop).close(Deal(name="d", account=first.ref, amount=Money(1, "EUR"))),
        ):
            with pytest.raises(CRMError) as raised:
                attempt()
            errors.append(raised.value)
        return first.id, s.create(Account(name="z")).id

    assert crm.transact(SYSTEM, work, idempotency_key="k") == crm.transact(SYSTEM, work, idempotency_key="k")
    half = len(errors) // 2
    assert [type(e) for e in errors[:half]] == [type(e) for e in errors[half:]]
    assert [e.problem() for e in errors[:half]] == [e.problem() for e in errors[half:]]
    assert [str(e) for e in errors[:half]] == [str(e) for e in errors[half:]]


# -- what is told ----------------------------------------------------------------------------------------------------------------------


def test_a_form_is_described_by_the_tenants_roles_as_they_are_now(make_crm: Any) -> None:
    crm = make_crm()
    clerk = Actor("1", roles={"clerk"})
    assert crm.describe(Account, clerk)["fields"] == {}
    with crm.session(SYSTEM) as s:
        s.define_role(Role("clerk").allow(Account, "read", fields={"industry": "none"}))
    assert "industry" not in crm.describe(Account, clerk)["fields"]
    assert crm.describe(Account, clerk)["actions"]["read"]
    with crm.session(SYSTEM) as s:
        s.remove_role("clerk")
    assert not crm.describe(Account, clerk)["actions"]["read"]


CLERKS: dict[str, tuple[Role, dict[str, str]]] = {
    "sees it": (Role("clerk").allow(Deal, "read"), {"by": "shop.deal", "field": "account"}),
    "sees no such": (Role("clerk"), {}),
    "sees others of it": (Role("clerk").allow(Deal, "read", where=owner), {}),
    "sees it without the field": (Role("clerk").allow(Deal, "read", fields={"account": "none"}), {}),
}


@pytest.mark.parametrize("case", CLERKS)
def test_a_refused_delete_names_only_what_the_actor_sees(make_crm: Any, case: str) -> None:
    role, told = CLERKS[case]
    crm = make_crm(plugins=[plugin], roles=[role.allow(Account, "read", "delete")])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="a"))
        s.create(Deal(name="d", account=account.ref, amount=Money(1, "EUR"), owner="2"))
    with crm.session(Actor("1", roles={"clerk"})) as s:
        with pytest.raises(Conflict) as raised:
            s.delete(account)
        assert (raised.value.code, raised.value.params) == ("protected", {"entity": "account", **told})
        assert ("shop.deal" in str(raised.value)) is bool(told)
        assert s.find(Account, account.id) is not None


# -- one connection ------------------------------------------------------------------------------------------------------------------


class Staff:
    """A directory of two."""

    def users(self, tenant: str, ids: Any = None) -> list[User]:
        return [User("1", "Boss"), User("2", "Rep", manager="1")]

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return None


@pytest.mark.parametrize("first", ["settings", "query"])
def test_in_memory_a_reading_session_may_be_the_first_to_ask_the_directory(first: str) -> None:
    roles = [Role("boss").allow(Account, "create", "update").allow(Account, "read", where=subordinates)]
    crm = CRM("sqlite://", plugins=[plugin, trick], roles=roles, directory=Staff())
    crm.migrate()
    with crm.session(SYSTEM) as s:
        s.create(Account(name="a", owner="2"))
    crm.directory_changed("main")
    boss = Actor("1", roles={"boss"})
    with crm.session(boss, write=False) as s:
        if first == "settings":
            s.settings(Sizes)
        assert s.query(Account).count() == 1
        with pytest.raises(ReadOnly):
            s.create(Account(name="b"))
    with crm.session(boss) as s:
        assert s.query(Account).count() == 1
    crm.close()


def test_a_mean_of_integers_is_a_float_on_both_databases_where_it_is_asked_for(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="a"))
        s.create_many([Deal(name="d", account=account.ref, amount=Money(i, "EUR"), salary=i) for i in (1, 2)])
        mean = s.execute(select(func.avg(Deal.salary, type_=Float()))).scalar_one()
        with pytest.raises(Refused) as caught:
            s.execute(select(func.avg(Deal.salary)))
    assert caught.value.code == "untyped_mean"
    assert (type(mean), mean) == (float, 1.5)
