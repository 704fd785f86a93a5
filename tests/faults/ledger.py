"""What every fault must leave whole: pairs of records, written in one session, each with its rows in the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import attrs
import sqlalchemy as sa

from crm_core import CRM, Account, Actor, Contact, Session

SYSTEM = Actor.system("test", tenant="main")


def write_pair(s: Session, name: str) -> str:
    """Create an account with a contact, and change the account: three journal rows. Return the account's id."""
    account = s.create(Account(name=name))
    s.create(Contact(name=name, account=account.ref))
    s.update(Account, account.id, {"industry": "retail"})
    return str(account.id)


@attrs.frozen
class Found:
    """What stands in a database.

    Attributes:
        names: of the accounts.
        rows: accounts and contacts.
        changes: how many changes their versions tell of.
        entries: rows of the journal about them.
        events: how often each event id stands in the journal.
        pairs: whether every account has its contact, and every contact its account.
        sound: what SQLite's integrity check says; ``ok`` on PostgreSQL.
    """

    names: list[str]
    rows: int
    changes: int
    entries: int
    events: Counter[str]
    pairs: bool
    sound: str

    def check(self, acknowledged: Iterable[str]) -> None:
        """Fail where something acknowledged is lost, doubled or half there."""
        names = set(self.names)
        assert self.sound == "ok"
        assert len(names) == len(self.names), "a record is there twice"
        assert not set(acknowledged) - names, "an acknowledged record is lost"
        assert self.pairs, "a session is half there"
        assert self.entries == self.changes, "rows and journal differ"
        assert set(self.events.values()) <= {1}, "an event is there twice"


def found(crm: CRM) -> Found:
    """Read it, below sessions and lens."""
    accounts, contacts = crm.table(Account), crm.table(Contact)
    journal = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        first = {row.name: row for row in connection.execute(sa.select(accounts.c.id, accounts.c.name, accounts.c.version))}
        count = connection.execute(sa.select(sa.func.count()).select_from(accounts)).scalar_one()
        second = list(connection.execute(sa.select(contacts.c.name, contacts.c.account, contacts.c.version)))
        about = sa.select(journal.c.payload).where(journal.c.entity.in_(["account", "contact"]))
        payloads = list(connection.execute(about).scalars())
        sound: Any = "ok"
        if crm.bound.kind == "sqlite":
            sound = connection.exec_driver_sql("PRAGMA integrity_check").scalar_one()
    names = list(first) + ["twice"] * (count - len(first)) * 2
    return Found(
        names=names,
        rows=count + len(second),
        changes=sum(r.version for r in first.values()) + sum(r.version for r in second),
        entries=len(payloads),
        events=Counter(p["id"] for p in payloads),
        pairs=sorted((r.name, r.account.id) for r in second) == sorted((r.name, r.id) for r in first.values()),
        sound=str(sound),
    )
