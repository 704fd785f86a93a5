"""From when on a subscription counts."""

from __future__ import annotations

import pytest

from crm_core import CRM, Account, Actor, Created, Plugin, Session
from crm_core.testing.databases import Database

SYSTEM = Actor.system("test", tenant="main")


@pytest.mark.parametrize("inside", [False, True], ids=["its own transaction", "the host's migration"])
def test_what_happens_between_the_migration_and_the_first_delivery_is_delivered(database: Database, inside: bool) -> None:
    plugin, heard = Plugin("acme", version="1"), []
    plugin.grants("account:read")

    @plugin.on(Created[Account])
    def listen(s: Session, event: Created[Account]) -> None:
        heard.append(event.new["name"])

    crm = CRM(database.engine(), plugins=[plugin])
    if inside:
        with crm.bound.begin() as connection:
            crm.migrations.upgrade(connection)
    else:
        crm.migrations.upgrade()
    with crm.session(SYSTEM) as s:
        s.create(Account(name="the first"))
    assert crm.run_pending() == 1
    assert heard == ["the first"]
