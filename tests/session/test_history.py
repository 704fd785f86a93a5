"""[C73] ``s.history(record)``: who changed a record, when and what, as its reader may see it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, Contact, FixedClock, Invalid, NotFound, Role, Runtime
from crm_core.events.event import Change

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
SYSTEM = Actor.system("test", tenant="main")
BOSS = Role("boss").allow(Account, "read", "create", "update", "delete").allow(Contact, "read", "create", "update")
CLERK = Role("clerk").allow(Account, "read", fields={"industry": "none", "website": "masked"})
NOBODY = Role("nobody")


@pytest.fixture
def crm(make_crm: Any) -> CRM:
    made: CRM = make_crm(roles=[BOSS, CLERK, NOBODY], runtime=Runtime.seeded(7, clock=FixedClock(START)))
    return made


def changed(crm: CRM) -> Account:
    """Make a company and change it twice."""
    with crm.session(Actor("1", roles={"boss"})) as s:
        acme = s.create(Account(name="Acme", industry="arms", website="https://a.example"))
    with crm.session(Actor("2", roles={"boss"})) as s:
        s.update(Account, acme.id, {"name": "Acme GmbH", "industry": "toys"})
        s.update(Account, acme.id, {"website": "https://b.example"})
    return acme


def test_it_says_who_changed_what_and_when_the_newest_first(crm: CRM) -> None:
    acme = changed(crm)
    with crm.session(Actor("1", roles={"boss"}), write=False) as s:
        web, name, made = s.history(acme)
    assert [(e.verb, e.actor, e.version, e.at) for e in (web, name, made)] == [
        ("updated", "2", 3, START),
        ("updated", "2", 2, START),
        ("created", "1", 1, START),
    ]
    assert name.changes == {"name": Change("Acme", "Acme GmbH"), "industry": Change("arms", "toys")}
    assert (made.changes["name"], web.changes) == (Change(None, "Acme"), {"website": Change("https://a.example", "https://b.example")})


def test_a_hidden_field_is_not_there_and_a_masked_one_says_only_that_it_changed(crm: CRM) -> None:
    acme = changed(crm)
    with crm.session(Actor("7", roles={"clerk"}), write=False) as s:
        web, name, made = s.history(acme)
    assert (dict(web.changes), dict(name.changes)) == ({"website": Change("***", "***")}, {"name": Change("Acme", "Acme GmbH")})
    assert "industry" not in made.changes
    assert made.changes["website"] == Change(None, "***")
    with crm.session(Actor("8", roles={"nobody"}), write=False) as s, pytest.raises(NotFound):
        s.history(acme)


def test_it_is_read_page_by_page_and_a_cursor_tells_nothing_of_other_records(crm: CRM) -> None:
    acme = changed(crm)
    with crm.session(SYSTEM, write=False) as s:
        first = s.history(acme, size=2)
        rest = s.history(acme.ref, size=2, after=first.next)
        assert ([e.version for e in first], first.next, [e.version for e in rest], rest.next) == ([3, 2], "2", [1], None)
        for wrong in ("x", "-1", "1" * 30, "²"):
            with pytest.raises(Invalid) as raised:
                s.history(acme, after=wrong)
            assert raised.value.code == "bad_cursor"
        with pytest.raises(Invalid) as size:
            s.history(acme, size=0)
    assert size.value.code == "bad_page_size"


def test_it_knows_one_tenant_and_one_entity(crm: CRM) -> None:
    acme = changed(crm)
    with crm.session(Actor.system("test", tenant="other"), write=False) as s, pytest.raises(NotFound):
        s.history(acme)
