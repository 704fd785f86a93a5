"""Whoever knows the id of a record that is hidden from them learns nothing by it: it is as if it were not there."""

from __future__ import annotations

from typing import Any

import pytest

from crm_core import Account, Actor, CRMError, Invalid, Money, Ref, Role, owner
from crm_core.rules import F, related
from tests.permissions.doors_world import SYSTEM, Deal, beside, plugin

ME = Actor("1", roles={"kind"})
GHOST = "00000000-0000-7000-8000-000000000000"


def forged(entity: type[Any], id_: str) -> Any:
    """Make a record of an id, as if it had been read."""
    record: Any = object.__new__(entity)
    record.id, record._origin = id_, True
    return record


def test_what_may_be_done_to_a_hidden_record_is_nothing_whatever_other_rules_allow(make_crm: Any) -> None:
    """Reading is restricted, the rest is not: ``can`` and ``actions`` still answer as for a record that is not there."""
    role = Role("kind").allow(Deal, "read", "update", "delete", "export").restrict(Deal, "read", where=owner).permit("office.close")
    crm = make_crm(plugins=[plugin], roles=[role.allow(Account, "read")])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="a"))
        hidden = s.create(Deal(name="d", account=account.ref, amount=Money(1, "EUR"), owner="2"))
        mine = s.create(Deal(name="d", account=account.ref, amount=Money(1, "EUR"), owner="1"))
    with crm.session(ME) as s:
        told = [
            [
                [s.can(a, forged(Deal, id_)) for a in ("read", "update", "delete", "export")],
                [i.allowed for i in s.actions(forged(Deal, id_))],
            ]
            for id_ in (hidden.id, GHOST, mine.id)
        ]
    assert told == [[[False] * 4, [False]], [[False] * 4, [False]], [[True] * 4, [True]]]


def test_what_a_hidden_record_is_linked_with_is_not_told(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin], roles=[Role("kind").allow(Account, "read", where=owner).allow(Deal, "read")])
    with crm.session(SYSTEM) as s:
        hidden = s.create(Account(name="a", owner="2"))
        deal = s.create(Deal(name="d", account=hidden.ref, amount=Money(1, "EUR"), owner="1"))
        s.link(beside, hidden, deal)
    with crm.session(ME) as s:
        assert s.linked(beside, forged(Account, hidden.id)) == s.linked(beside, forged(Account, GHOST)) == []
        assert s.linked(beside, deal) == []
    with crm.session(SYSTEM) as s:
        assert s.linked(beside, hidden) == [s.get(Deal, deal.id)]


@pytest.mark.parametrize("collect", ["raise", "collect"])
def test_a_rule_on_related_records_does_not_answer_for_hidden_ones(make_crm: Any, collect: Any) -> None:
    """Who may create deals of accounts in one industry does not learn the industry of an account whose id they know."""
    role = Role("kind").allow(Deal, "read", "create", "update", where=related("account", F("industry") == "it") | owner)
    role.restrict(Deal, "create", "update", where=related("account", F("industry") == "it")).allow(Account, "read", where=owner)
    crm = make_crm(plugins=[plugin], roles=[role])
    with crm.session(SYSTEM) as s:
        ids = [s.create(Account(name=i, industry=i, owner="2")).id for i in ("it", "food")]
        mine = s.create(Account(name="mine", industry="it", owner="1"))
        deal = s.create(Deal(name="d", account=mine.ref, amount=Money(1, "EUR"), owner="1"))
    told = []
    for id_ in (*ids, GHOST):
        with crm.session(ME) as s:
            made = Deal(name="x", account=Ref(Account, id_), amount=Money(1, "EUR"))
            errors: list[CRMError] = []
            if collect == "collect":
                errors += [e for _, e in s.create_many([made], on_error="collect").failed]
            else:
                with pytest.raises(Invalid) as raised:
                    s.create(made)
                errors.append(raised.value)
            with pytest.raises(Invalid) as changed:
                s.update(Deal, deal.id, {"account": id_})
            told.append([e.problem() for e in (*errors, changed.value)])
    assert told[0] == told[1] == told[2]


def test_where_a_hidden_account_stands_in_the_tree_is_not_told(make_crm: Any) -> None:
    crm = make_crm(roles=[Role("kind").allow(Account, "read", "update", where=owner)])
    with crm.session(SYSTEM) as s:
        mine = s.create(Account(name="mine", owner="1"))
        below = s.create(Account(name="below", owner="2", parent=mine.ref))
        apart = s.create(Account(name="apart", owner="2"))
    told = []
    for id_ in (below.id, apart.id, GHOST):
        with crm.session(ME) as s, pytest.raises(Invalid) as raised:
            s.update(Account, mine.id, {"parent": id_})
        told.append(raised.value.problem())
    assert told[0] == told[1] == told[2]
