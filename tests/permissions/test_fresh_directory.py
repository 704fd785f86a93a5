"""Who reports to whom is up to date in the first session already, also in one that only reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, Role, User, subordinates
from crm_core.testing.databases import Database

ROLE = Role("boss").allow(Account, "read", where=subordinates)
BOSS = Actor("1", roles={"boss"})


class Staff:
    """Two people; the second reports to *manager*."""

    def __init__(self, manager: str | None) -> None:
        self.manager = manager

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterable[User]:
        return [User("1", "Boss"), User("2", "Rep", manager=self.manager)]

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return None


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("first", ["query", "settings"])
def test_the_first_session_of_a_process_goes_by_the_directory_as_it_is(database: Database, write: bool, first: str) -> None:
    """On SQLite a reading session saw the people as they were when somebody last wrote them down, days ago perhaps."""
    from tests.laws.shop import plugin
    from tests.laws.tricks import Sizes, trick

    seen: list[Any] = []
    for manager in ("1", None, "1"):
        crm = CRM(database.url, plugins=[plugin, trick], roles=[ROLE], directory=Staff(manager))
        if not seen:
            crm.migrate()
            with crm.session(Actor.system("test", tenant="main")) as s:
                s.create(Account(name="a", owner="2"))
        with crm.session(BOSS, write=write) as s:
            if first == "settings":
                s.settings(Sizes)
            seen.append(s.query(Account).count())
        crm.close()
    assert seen == [1, 0, 1]
