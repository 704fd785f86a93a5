"""What plugins put into their own events: personal fields are kept apart in the journal, sealed with keys, and go with the person [C72]."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from sqlalchemy import select

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_core import Account, AccountKind, Actor, Contact, Event, FileKeys, LoadError, Money, NotReadable, Plugin, Session
from crm_core.events.event import event_name, unmarked
from crm_core.privacy import erase
from crm_sales.api import Opportunity, Sales


class Called(Event[Contact], name="phone.called", version=1, personal=("number", "said", "extra")):
    seconds: int
    number: str
    said: list[str]
    extra: str = ""


phone = Plugin("phone", version="1.0")
phone.events(Called)
phone.grants("contact:read")
heard: list[Any] = []


@phone.service
class Phone:
    def __init__(self, session: Session) -> None:
        self._session = session

    def call(self, contact: Contact) -> None:
        """Tell of a call."""
        self._session.emit(Called(record=contact.ref, seconds=7, number="CANARYnumber", said=["CANARYword"]))


@phone.on(Called)
def hear(session: Session, event: Called) -> None:
    """Hear of it."""
    heard.append(event)


@pytest.mark.parametrize("sealed", [True, False], ids=["keys", "no keys"])
def test_a_personal_field_of_an_event_is_kept_apart_and_goes_with_the_person(
    make_crm: Callable[..., Any], tmp_path: Any, officer: Actor, sealed: bool
) -> None:
    heard.clear()
    crm = make_crm(plugins=[phone], **({"keys": FileKeys.create(tmp_path / "crm.keys")} if sealed else {}))
    journal = crm.tables.system.journal
    mine = select(journal.c.payload, journal.c.personal).where(journal.c.kind == "phone.called.v1")
    with crm.session(officer) as s:
        ada = s.create(Contact(name="Ada"))
        s.use(Phone).call(ada)
    with crm.bound.begin(write=False) as connection:
        payload, personal = connection.execute(mine).one()
    assert payload["data"] == {"seconds": 7}
    assert ("CANARYnumber" in repr(personal)) is not sealed
    crm.run_pending()
    assert (heard[0].number, heard[0].said, heard[0].seconds) == ("CANARYnumber", ["CANARYword"], 7)
    with crm.session(officer) as s:
        s.use(Phone).call(ada)  # it waits for its subscriber
        erase(s, ada, reason="asked")
    crm.run_pending()
    assert heard[1].seconds == 7
    for name in ("number", "said"):
        with pytest.raises(NotReadable):
            getattr(heard[1], name)
    with crm.bound.begin(write=False) as connection:
        assert "CANARY" not in repr(connection.execute(mine).all())
    assert crm.audit.verify().ok


MODULES = [each.plugin for each in (crm_analytics, crm_erp_bridge, crm_marketing, crm_sales, crm_service)]
_KEY = "a key or a name of a list, which says nothing of anybody"
_ID = "the id of a record, as references are: what it says of a person goes with the record"
_USER = "the id of a user"
NOT_PERSONAL = {
    "marketing.consent_given": {"purpose": _KEY, "channel": _KEY, "lead": _ID},
    "marketing.consent_withdrawn": {"purpose": _KEY, "channel": _KEY, "lead": _ID},
    "marketing.segment_entered": {"entity": _KEY, "member": _ID},
    "marketing.segment_left": {"entity": _KEY, "member": _ID},
    "sales.lead_assigned": {
        "old": _USER,
        "new": _USER,
        "reason": "the session's own, which each row of the journal has as well: evidence of why, which an erasure leaves",
    },
    "sales.opportunity_moved": {"old": _KEY, "new": _KEY},
    "sales.opportunity_reopened": {"old": _KEY, "new": _KEY},
    "service.complaint_ended": {"sales_owner": _USER},
    "service.complaint_received": {"sales_owner": _USER, "severity": _KEY},
    "service.sla_breached": {"metric": _KEY},
    "service.sla_warned": {"metric": _KEY},
}
"""Each field of our own events that can hold words, or what is nested, and is not marked personal; and why."""


def test_no_event_of_ours_carries_words_that_are_neither_marked_personal_nor_about_nobody_for_a_reason() -> None:
    plain = re.compile(r"^(Ref\[\w+\]|Money|datetime|date|Decimal|int|bool)( \| None)?$")
    found: dict[str, set[str]] = {}
    for event in (e for plugin in MODULES for e in plugin.definitions.events):
        own = {a.name: str(a.type) for a in attrs.fields(event) if a.name not in {"id", "record", "at", "actor"}}
        words = {name for name, hint in own.items() if not plain.match(hint)} - event.__event_personal__
        found |= {event_name(event): words} if words else {}
        assert unmarked(event) == []
    assert found == {name: set(fields) for name, fields in NOT_PERSONAL.items()}


def test_an_event_with_a_personal_field_of_its_record_unmarked_is_named() -> None:
    """The conformance kit says it of each vendor's plugin (CK14)."""

    class Renamed(Event[Contact], name="phone.renamed", version=1, personal=("emails",)):
        name: str
        emails: list[str]
        owner: str

    assert unmarked(Renamed) == ["name"]


def test_why_a_deal_of_a_person_ended_goes_with_the_person(make_crm: Callable[..., Any], officer: Actor) -> None:
    crm = make_crm(plugins=[crm_sales.plugin])
    with crm.session(officer) as s:
        bob = s.create(Account(name="Bob", kind=AccountKind.PERSON))
        deal = s.create(Opportunity(name="a bicycle", account=bob.ref, amount=Money("900", "EUR")))
        s.use(Sales).lose(deal, reason="CANARYill")
    crm.run_pending()
    with crm.session(officer) as s:
        erase(s, bob, reason="asked")
    crm.audit.seal()
    with crm.bound.begin(write=False) as connection:
        assert "CANARY" not in repr([connection.execute(t.select()).all() for t in crm.tables.metadata.tables.values()])
    assert crm.audit.verify().ok


def test_what_an_event_does_not_have_cannot_be_personal() -> None:
    with pytest.raises(LoadError) as e:

        class Wrong(Event[Contact], name="phone.wrong", version=1, personal=("nothing",)):
            seconds: int

    assert e.value.code == "event_personal"
