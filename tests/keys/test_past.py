"""``s.as_of`` of entities with sealed fields: opened for who may read them, gone with an erased subject, never open in the database."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import event, select

from crm_core import Account, Actor, FixedClock, NotReadable, Runtime
from crm_core.privacy import erase
from tests.keys.clinic import CLERK, CLINIC, DOCTOR, FULL, SEALED, Credit, Patient, Visit

HOUR = timedelta(hours=1)


@pytest.fixture
def crm(make_crm: Any, keys: Any) -> Any:
    clock = FixedClock(Runtime.seeded(5).clock.now())
    return make_crm(plugins=[CLINIC], roles=[DOCTOR, CLERK], keys=keys, runtime=Runtime.seeded(5, clock=clock))


def later(crm: Any) -> Any:
    """Let an hour go by, and return the instant in its middle."""
    crm.runtime.clock.advance(HOUR)
    return crm.runtime.clock.now() - HOUR / 2


def test_sealed_values_are_read_and_found_as_they_were(crm: Any, admin: Actor) -> None:
    with crm.session(admin) as s:
        ada = s.create(Patient(**FULL))
        bob = s.create(Patient(name="Bob", iban="B-1", card="C-2"))
        gone = s.create(Patient(name="Gone", story="once"))
        visit = s.create(Visit(patient=ada.ref, words="A cough."))
        account = s.create(Account(name="Acme"))
        account[Credit].score = "AAA"
        s.save(account)
    before = later(crm)
    changes: Any = {
        "iban": None, "card": "C-9", "born": date(1900, 1, 1), "seen": None, "debt": None, "visits": 1, "blood": "a", "smokes": True,
        "story": "new", "notes": {"b": 2},
    }  # fmt: skip
    with crm.session(admin) as s:
        s.update(Patient, ada.id, changes)
        s.update(Patient, bob.id, {"card": "C-1"})
        s.update(Visit, visit.id, {"words": "Nothing."})
        s.update(Account, account.id, {"name": "Acme 2"})
        s.delete(gone)
        s.create(Patient(name="New", card="C-2"))
    later(crm)
    crm.keys.rotate(grace=0)
    with crm.session(admin, write=False) as s:
        then = s.as_of(before)
        assert {n: getattr(then.get(Patient, ada.id), n) for n in SEALED} == {n: FULL[n] for n in SEALED}
        assert [p.name for p in then.query(Patient).order_by(Patient.name).all()] == ["Ada", "Bob", "Gone"]
        assert then.query(Patient).where(Patient.card == "C-1").one().id == ada.id
        assert then.query(Patient).where(Patient.iban.in_(["B-1", FULL["iban"]])).count() == 2
        assert then.query(Patient).where(Patient.card == "C-9").first() is None
        assert s.query(Patient).where(Patient.card == "C-1").one().id == bob.id
        assert then.query(Patient).where(Patient.story.is_(None)).one().id == bob.id
        joined = select(Patient.iban, Visit.words).join(Visit, Visit.patient == Patient.id)
        assert then.execute(joined).one() == (FULL["iban"], "A cough.")
        assert then.get(Account, account.id)[Credit].score == "AAA"


def test_who_may_not_read_a_sealed_field_does_not_read_its_past_and_masks_stay(crm: Any, admin: Actor) -> None:
    with crm.session(admin) as s:
        ada = s.create(Patient(**FULL))
    before = later(crm)
    with crm.session(admin) as s:
        s.update(Patient, ada.id, {"iban": "other", "card": "C-9"})
    with crm.session(Actor("7", roles={"clerk"})) as s:
        seen = s.as_of(before).get(Patient, ada.id)
        assert seen.iban == "***"
        with pytest.raises(NotReadable):
            _ = seen.card
        with pytest.raises(NotReadable):
            s.as_of(before).query(Patient).where(Patient.card == "C-1").all()


def test_of_an_erased_person_the_past_has_no_sealed_value(crm: Any, admin: Actor) -> None:
    with crm.session(admin) as s:
        ada = s.create(Patient(**{**FULL, "card": None}))
        s.create(Visit(patient=ada.ref, words="A cough."))
    before = later(crm)
    with crm.session(admin) as s:
        s.update(Patient, ada.id, {"iban": "other", "story": "new"})
        erase(s, ada, reason="asked")
    with crm.session(admin) as s:
        then = s.as_of(before)
        found = then.query(Patient).all()
        assert [getattr(p, n) for p in found for n in SEALED if getattr(p, n) is not None] == []
        assert "cough" not in repr([v.words for v in then.query(Visit).all()])


def test_no_sealed_value_goes_to_the_database_open(crm: Any, admin: Actor) -> None:
    """[S14]"""
    with crm.session(admin) as s:
        ada = s.create(Patient(name="x", iban="CANARYiban", story="CANARYstory", notes={"k": "CANARYjson"}))
    before = later(crm)
    with crm.session(admin) as s:
        s.update(Patient, ada.id, {"iban": "other", "story": "new", "notes": None})
    sent: list[str] = []
    listened = crm.bound.engine
    event.listen(listened, "before_cursor_execute", lambda *given: sent.append(repr(given[2:4])))
    with crm.session(admin) as s:
        then = s.as_of(before)
        assert then.query(Patient).where(Patient.iban == "CANARYiban").one().story == "CANARYstory"
        assert then.execute(select(Patient.notes)).scalar_one() == {"k": "CANARYjson"}
    assert len(sent) > 2
    assert [each for each in sent if "CANARY" in each] == []
