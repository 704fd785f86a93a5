"""Attacks by doing things again: a second run under a key, and what is remembered too long. Each of these once broke a law."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from crm_core import (
    Account,
    Actor,
    Conflict,
    Money,
    NotFound,
    Role,
    Session,
    User,
    owner,
    subordinates,
)
from crm_core.permissions.predicates import related
from tests.laws.shop import Deal, plugin
from tests.laws.tricks import SYSTEM, Sizes, bound, journal, trick

# -- once ------------------------------------------------------------------------------------------------------------------------


def test_a_second_run_under_a_key_repeats_no_effect(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin, trick])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="a"))
        deal = s.create(Deal(name="d", account=account.ref, amount=Money(1, "EUR")))

    def work(s: Session) -> int:
        size = s.change_settings(Sizes, {"size": 5}).size
        s.link(bound, account, deal)
        s.share(account, "user:7")
        s.define_role(Role("extra").allow(Account, "read"))
        return size

    assert crm.transact(SYSTEM, work, idempotency_key="k") == 5
    with crm.session(SYSTEM) as s:
        s.change_settings(Sizes, {"size": 9})
        s.unlink(bound, account, deal)
        s.unshare(account, "user:7")
        s.remove_role("extra")
    before = journal(crm)
    assert crm.transact(SYSTEM, work, idempotency_key="k") == 5
    assert journal(crm) == before
    with crm.session(SYSTEM) as s:
        assert s.settings(Sizes).size == 9


def test_a_key_belongs_to_one_query_and_to_all_fields(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin])
    with crm.session(SYSTEM) as s:
        s.create_many([Account(name="a"), Account(name="b")])
    with crm.session(SYSTEM, idempotency_key="k") as s:
        assert s.update_where(s.query(Account).where(Account.name == "a"), {"industry": "wood"}) == 1
    with pytest.raises(Conflict), crm.session(SYSTEM, idempotency_key="k") as s:
        s.update_where(s.query(Account).where(Account.name == "b"), {"industry": "wood"})


# -- caches ----------------------------------------------------------------------------------------------------------------------


def test_a_role_that_the_host_rolls_back_gave_nobody_rights(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin])
    with crm.session(SYSTEM) as s:
        s.create(Account(name="a"))
    weak = Actor("1", roles={"extra"})
    with suppress(ZeroDivisionError), crm.bound.begin() as connection:
        with crm.session(SYSTEM, on=connection) as s:
            s.define_role(Role("extra").allow(Account, "read"))
        with crm.session(weak, on=connection) as s:
            assert s.query(Account).count() == 1
        raise ZeroDivisionError
    with crm.session(weak) as s:
        assert s.query(Account).count() == 0


def test_settings_that_were_undone_are_not_seen(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin, trick])
    with crm.session(SYSTEM) as s:
        with suppress(ZeroDivisionError), s.savepoint():
            s.change_settings(Sizes, {"size": 5})
            assert s.settings(Sizes).size == 5
            raise ZeroDivisionError
        assert s.settings(Sizes).size == 1


def test_people_read_in_a_failed_session_are_there_in_the_next(make_crm: Any) -> None:
    class Staff:
        def users(self, tenant: str, ids: Any = None) -> list[User]:
            return [User("1", "Boss"), User("2", "Rep", manager="1")]

        def actor(self, tenant: str, user_id: str) -> Actor | None:
            return None

    boss = Actor("1", roles={"boss"})
    role = Role("boss").allow(Account, "create", "update").allow(Account, "read", where=subordinates)
    crm = make_crm(roles=[role], directory=Staff())
    with crm.session(SYSTEM) as s:
        s.create(Account(name="a", owner="2"))
    crm.directory_changed("main")
    with suppress(ZeroDivisionError), crm.session(boss) as s:
        s.create(Account(name="b", owner="2"))
        assert s.query(Account).count() == 2
        raise ZeroDivisionError
    with crm.session(boss) as s:
        assert s.query(Account).count() == 1


def test_a_right_through_another_record_ends_with_it_in_the_same_session(make_crm: Any) -> None:
    role = (
        Role("through")
        .allow(Account, "read", "update", "assign", where=owner)
        .allow(Deal, "read", "update", where=related("account", owner))
    )
    crm = make_crm(plugins=[plugin], roles=[role])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="a", owner="1"))
        deal = s.create(Deal(name="d", account=account.ref, amount=Money(1, "EUR")))
    with crm.session(Actor("1", roles={"through"})) as s:
        s.update(Deal, deal.id, {"name": "mine"})
        s.update(Account, account.id, {"owner": "2"})
        with pytest.raises(NotFound):
            s.update(Deal, deal.id, {"name": "still mine"})
