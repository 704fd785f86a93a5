"""A declared event carries of its record's fields what the subscriber's plugin may read, and no more."""

from __future__ import annotations

from typing import Any

from crm_core import Account, Actor, Event, NotReadable, Plugin, Session

SYSTEM = Actor.system("test", tenant="main")
heard: dict[str, str] = {}


class Renamed(Event[Account], name="office.renamed", version=1):
    name: str
    note: str


office = Plugin("office", version="1.0")
office.events(Renamed)
nosy = Plugin("nosy", version="1.0", requires={"office": ">=1"})
granted = Plugin("granted", version="1.0", requires={"office": ">=1"})
granted.grants("account:read")


@office.service
class Office:
    """Renames."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def rename(self, account: Account) -> None:
        """Say that an account is called otherwise."""
        self._session.emit(Renamed(record=account.ref, name="Acme", note="public"))


def _said(event: Renamed, field: str) -> str:
    try:
        return str(getattr(event, field))
    except NotReadable:
        return "not readable"


@nosy.on(Renamed)
def listen(s: Session, event: Renamed) -> None:
    heard["nosy"] = _said(event, "name")
    heard["note"] = _said(event, "note")


@granted.on(Renamed)
def follow(s: Session, event: Renamed) -> None:
    heard["granted"] = _said(event, "name")


def test_without_a_grant_a_declared_event_does_not_carry_its_records_fields(make_crm: Any) -> None:
    """What is the event's own, and no field of the record, is what its plugin publishes to all."""
    crm = make_crm(plugins=[office, nosy, granted])
    heard.clear()
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme"))
        s.use(Office).rename(account)
    crm.run_pending()
    assert heard == {"nosy": "not readable", "note": "public", "granted": "Acme"}
