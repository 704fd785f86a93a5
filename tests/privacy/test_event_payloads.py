"""What plugins put into their own events: personal fields are kept apart in the journal, sealed with keys, and go with the person [C72]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from crm_core import Actor, Contact, Event, FileKeys, LoadError, NotReadable, Plugin, Session
from crm_core.privacy import erase


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


def test_what_an_event_does_not_have_cannot_be_personal() -> None:
    with pytest.raises(LoadError) as e:

        class Wrong(Event[Contact], name="phone.wrong", version=1, personal=("nothing",)):
            seconds: int

    assert e.value.code == "event_personal"
