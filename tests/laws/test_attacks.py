"""Attacks by a caller in the same process: a user with a weak role, a plugin with a trick. Each of these once broke a law."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest

from crm_core import (
    Account,
    Actor,
    Conflict,
    CRMError,
    Denied,
    Interaction,
    Invalid,
    Money,
    Plugin,
    ReadOnly,
    Role,
    Session,
    owner,
)
from crm_core.permissions.predicates import F
from tests.laws.shop import Deal, plugin
from tests.laws.tricks import LOOK, SYSTEM, Leak, Redeem, Ring, bound, journal, trick
from tests.threads import at_once

# -- escalation ------------------------------------------------------------------------------------------------------------------


def test_a_record_with_a_forged_owner_cannot_be_shared_nor_linked(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin, trick], roles=[LOOK])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="theirs", owner="2"))
        deal = s.create(Deal(name="d", account=account.ref, amount=Money(1, "EUR"), owner="2"))
    with crm.session(Actor("1", roles={"look"})) as s:
        mine = s.get(Account, account.id)
        mine.owner = "1"
        attacks: list[Callable[[], None]] = [lambda: s.share(mine, "user:1", "read", "update"), lambda: s.link(bound, mine, deal)]
        for attack in attacks:
            with pytest.raises(Denied):
                attack()
        with pytest.raises(Denied):
            s.update(Account, account.id, {"name": "stolen"})


def test_an_action_granted_on_own_records_is_denied_on_others(make_crm: Any) -> None:
    role = Role("redeemer").allow(Account, "read").allow(Account, "trick.redeem", where=owner)
    crm = make_crm(plugins=[plugin, trick], roles=[role])
    with crm.session(SYSTEM) as s:
        theirs, mine = s.create(Account(name="theirs", owner="2")), s.create(Account(name="mine", owner="1"))
    with crm.session(Actor("1", roles={"redeemer"})) as s:
        assert s.perform(Redeem(mine.ref)) == "redeemed"
        with pytest.raises(Denied):
            s.perform(Redeem(theirs.ref))
        theirs.owner = "1"
        assert [(a.name, a.allowed) for a in s.actions(s.get(Account, theirs.id))] == [("trick.redeem", False)]


def test_giving_a_record_away_does_not_open_what_else_a_rule_closes(make_crm: Any) -> None:
    role = Role("giver").allow(Account, "read").allow(Account, "update", where=owner & (F("industry") == "wood")).allow(Account, "assign")
    crm = make_crm(roles=[role])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="a", owner="1", industry="wood"))
    with crm.session(Actor("1", roles={"giver"})) as s:
        for changes in ({"industry": "steel"}, {"industry": "steel", "owner": "2"}):
            with pytest.raises(Denied):
                s.update(Account, account.id, changes)
        assert s.update(Account, account.id, {"owner": "2"}).owner == "2"


def test_an_update_leaves_the_record_in_sight(make_crm: Any) -> None:
    role = Role("short").allow(Account, "read", where=F("industry") == "wood").allow(Account, "update")
    crm = make_crm(roles=[role])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="a", industry="wood"))
    with crm.session(Actor("1", roles={"short"})) as s:
        with pytest.raises(Denied):
            s.update(Account, account.id, {"industry": "steel"})
        assert s.update(Account, account.id, {"name": "b"}).name == "b"


def test_a_list_that_an_action_returns_passes_the_callers_lens(make_crm: Any) -> None:
    spy = Plugin("spy", version="1")
    spy.grants("account:read")

    @spy.action(permission="spy.leak", label="Leak")
    def leak(s: Session, command: Leak) -> Any:
        with s.elevated("look around") as e:
            return e.query(Account).order_by(Account.name).all()

    crm = make_crm(plugins=[spy], roles=[Role("leaker").allow(Account, "read", where=owner).permit("spy.leak")])
    with crm.session(SYSTEM) as s:
        s.create_many([Account(name="theirs", owner="2"), Account(name="mine", owner="1")])
    with crm.session(Actor("1", roles={"leaker"})) as s:
        assert [a.name for a in s.perform(Leak())] == ["mine"]


def test_an_elevated_session_ends_with_its_block(make_crm: Any) -> None:
    kept: list[Session] = []
    spy = Plugin("spy", version="1")
    spy.grants("account:read")

    @spy.action(permission="spy.keep", label="Keep")
    def keep(s: Session, command: Leak) -> None:
        with s.elevated("look around") as e:
            kept.append(e)

    crm = make_crm(plugins=[spy], roles=[Role("keeper").permit("spy.keep")])
    with crm.session(SYSTEM) as s:
        s.create(Account(name="theirs", owner="2"))
    with crm.session(Actor("1", roles={"keeper"})) as s:
        s.perform(Leak())
        for attack in (lambda: kept[0].query(Account).all(), lambda: kept[0].create(Account(name="x"))):
            with pytest.raises(ReadOnly):
                attack()


# -- oracles ---------------------------------------------------------------------------------------------------------------------


def test_an_upsert_tells_nothing_of_hidden_records_and_fields(make_crm: Any) -> None:
    role = Role("blind").allow(Account, "read", where=owner).allow(Deal, "read", "update", "create", fields={"code": "none"})
    crm = make_crm(plugins=[plugin], roles=[role])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="theirs", owner="2", external_ref="a:1"))
        s.create(Deal(name="d", account=account.ref, amount=Money(1, "EUR"), code="secret", owner="1"))

    def problem(attack: Callable[[Session], Any]) -> Any:
        with crm.session(Actor("1", roles={"blind"})) as s, pytest.raises(CRMError) as raised:
            attack(s)
        return raised.value.problem()

    def by_ref(ref: str) -> Callable[[Session], Any]:
        return lambda s: s.upsert(Account(name="x", external_ref=ref), on="external_ref")

    def by_code(code: str) -> Callable[[Session], Any]:
        return lambda s: s.upsert(Deal(name="x" * 300, account=account.ref, amount=Money(1, "EUR"), code=code), on="code")

    assert problem(by_ref("a:1")) == problem(by_ref("a:2"))
    assert problem(by_code("secret")) == problem(by_code("guess!"))


# -- the journal and the rows say the same ---------------------------------------------------------------------------------------


def test_a_record_that_a_query_finds_twice_is_changed_once(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="a"))
        s.create_many([Deal(name=str(i), account=account.ref, amount=Money(1, "EUR")) for i in range(3)])
    with crm.session(SYSTEM) as s:
        assert s.update_where(s.query(Account).where(Deal.account == Account.id), {"industry": "wood"}) == 1
        assert s.get(Account, account.id).version == 2
    assert [(k, v) for k, r, v in journal(crm) if r == account.id] == [("account.created.v1", 1), ("account.updated.v1", 2)]


def test_a_change_made_behind_the_back_of_a_write_is_a_conflict_and_leaves_nothing(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin, trick])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="a"))
    with crm.session(SYSTEM) as s:
        with pytest.raises(Conflict):
            s.update(Account, account.id, {"name": "twice"})
        assert s.get(Account, account.id).name == "a"
    assert [v for k, r, v in journal(crm) if r == account.id] == [1]


def test_one_record_given_twice_is_created_never(make_crm: Any) -> None:
    crm = make_crm()
    with crm.session(SYSTEM) as s:
        record = Account(name="a")
        with pytest.raises(CRMError):
            s.create_many([record, record])
        assert s.query(Account).count() == 0
    assert journal(crm) == []


def test_a_restored_record_points_at_nothing_deleted(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="a"))
        deal = s.create(Deal(name="d", account=account.ref, amount=Money(1, "EUR")))
        s.delete(deal)
        s.delete(account)
        with pytest.raises(Invalid) as raised:
            s.restore(Deal, deal.id)
        assert [d.code for d in raised.value.details] == ["bad_ref"]
        s.restore(Account, account.id)
        assert s.restore(Deal, deal.id).account == account.ref


def test_records_that_cascade_in_a_circle_are_all_deleted(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin, trick])
    with crm.session(SYSTEM) as s:
        one = s.create(Ring(name="1"))
        two = s.create(Ring(name="2", next=one.ref))
        s.update(Ring, one.id, {"next": two.id})
        s.delete(one)
        assert s.query(Ring).count() == 0
    assert sorted((k, v) for k, _, v in journal(crm) if "deleted" in k) == [("trick.ring.deleted.v1", 2), ("trick.ring.deleted.v1", 3)]


def test_what_was_said_stays_said(make_crm: Any) -> None:
    crm = make_crm(roles=[Role("all").allow(Interaction, "read", "create", "update", "delete")])
    with crm.session(Actor("1", roles={"all"})) as s:
        said = s.create(Interaction(at=datetime.fromisoformat("2026-01-01T00:00:00+00:00"), subject="no"))
        with pytest.raises(Denied):
            s.delete(said)


def test_nothing_points_at_a_record_that_is_deleted_at_the_same_instant(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin])
    for _ in range(10):
        with crm.session(SYSTEM) as s:
            account = s.create(Account(name="a"))

        def point(account: Account = account) -> None:
            with suppress(CRMError), crm.session(SYSTEM) as s:
                s.create(Deal(name="d", account=account.ref, amount=Money(1, "EUR")))

        def delete(account: Account = account) -> None:
            with suppress(CRMError), crm.session(SYSTEM) as s:
                s.delete(account)

        at_once(lambda work: work(), [point, delete])
        with crm.session(SYSTEM) as s:
            assert (s.find(Account, account.id) is not None) == (s.query(Deal).where(Deal.account == account.id).count() == 1)


def test_a_record_that_could_not_be_created_is_as_it_was(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin], roles=[LOOK])
    with crm.session(Actor("1", roles={"look"})) as s:
        for given in ("1", "2", None):
            record = Account(name="a", owner=given)
            with pytest.raises(Denied):
                s.create(record)
            assert record == Account(name="a", owner=given)
