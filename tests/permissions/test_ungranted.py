"""A plugin that reads what it was not granted finds nothing; the log, and nothing else, says why."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from crm_core import CRM, Account, Actor, Contact, Created, Entity, Event, Field, Plugin, Role, Session

NAME = "crm_core.permissions.ungranted"
setup = Actor.system("setup", tenant="main")


class Tally(Entity):
    """What was found."""

    found: Field[int]


def counting(*grants: str, ask: bool = False) -> Plugin:
    plugin = Plugin("acme.count", version="1.0.0")
    plugin.grants(*grants)
    plugin.entities(Tally)

    @plugin.on(Created[Account])
    def count(s: Session, event: Event[Account]) -> None:
        """Count in three ways."""
        if ask and not s.can("read", Account):
            return
        ways = [s.query(Account).count(), len(s.query(Account).all()), s.execute(select(func.count()).select_from(Account)).scalar_one()]
        s.create_many([Tally(found=n) for n in ways])

    return plugin


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, object]]:
    return [(r.levelname, r.crm_facts) for r in caplog.records if r.name == NAME]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("grants", "found"), [((), 0), (("contact:read",), 0), (("account:read",), 1)])
def test_a_plugin_without_the_grant_finds_nothing_and_the_log_says_so_once(
    make_crm: Callable[..., CRM], caplog: pytest.LogCaptureFixture, grants: tuple[str, ...], found: int
) -> None:
    crm = make_crm(plugins=[counting(*grants)])
    with crm.session(setup) as s:
        s.create_many([Account(name="Acme")])
    for _ in range(2):
        assert crm.run_pending() or True
        with crm.session(setup) as s:
            assert {tally.found for tally in s.query(Tally).all()} == {found}
    for tenant in ("main", "north"):
        with crm.session(Actor.system("setup", tenant=tenant)) as s:
            s.create(Account(name="Again"))
    crm.run_pending()
    assert crm.delivery.parked() == []
    once = [("WARNING", {"plugin": "acme.count", "entity": "account"})]
    assert told(caplog) == ([] if found else once)


def test_who_asked_first_is_told_nothing(make_crm: Callable[..., CRM], caplog: pytest.LogCaptureFixture) -> None:
    crm = make_crm(plugins=[counting(ask=True)])
    with crm.session(setup) as s:
        s.create(Account(name="Acme"))
        with s.derive(plugin="acme.count").elevated("to look") as inner:
            assert not inner.can("read", Contact)
            assert inner.query(Contact).count() == 0
    crm.run_pending()
    assert told(caplog) == []


def test_users_without_rights_are_in_no_log(make_crm: Callable[..., CRM], caplog: pytest.LogCaptureFixture) -> None:
    crm = make_crm(plugins=[counting()], roles=[Role("nobody")])
    caplog.set_level(logging.DEBUG, NAME)
    with crm.session(Actor("7", roles={"nobody"})) as s:
        assert s.query(Account).count() == 0
    assert told(caplog) == []
