"""The journal of a CRM with keys [C72]: what is personal or sealed in it is encrypted under its subject's key, and shreds with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from crm_core import CRM, Actor, Contact, Created, Plugin, Refused, Unreadable, Updated
from crm_core.events.journal import history
from crm_core.io import Importer, Mapping, Source, undo
from tests.keys.clinic import CLINIC, FULL, IBAN, Patient, Visit

ALL: dict[str, Any] = {"name": "A", "iban": IBAN}


def entries(crm: Any, entity: str, id_: str) -> list[Any]:
    with crm.bound.begin(write=False) as connection:
        return history(connection, crm.tables, "main", entity, id_)


def raw(crm: Any) -> list[Any]:
    journal = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        return list(connection.execute(select(journal.c.payload, journal.c.personal, journal.c.key_id).order_by(journal.c.id)))


def shred(crm: Any, *subjects: str) -> None:
    with crm.bound.begin() as connection:
        crm.tables.sealer.keyring.shred(connection, "main", subjects)


def test_personal_and_sealed_values_are_encrypted_in_the_journal_and_read_back(crm: Any, admin: Actor) -> None:
    with crm.session(admin) as s:
        made = s.create(Patient(**FULL | {"name": "Ada Byron"}))
        s.update(Patient, made.id, {"iban": "XX-CHANGED-2", "name": "Bea Moss"})
        s.delete(made)
    assert all("sealed" in row.personal and row.key_id for row in raw(crm))
    # Each but the long one has a character that base64 has not, so that chance does not write it.
    for secret in (IBAN, "XX-CHANGED-2", "Bea Moss", "Ada Byron", "1815-12-10", "12.5"):
        assert secret not in repr(raw(crm))
    created, updated, deleted = entries(crm, "clinic.patient", made.id)
    assert created.payload["new"]["iban"] == IBAN
    assert updated.changes == {"iban": [IBAN, "XX-CHANGED-2"], "name": ["Ada Byron", "Bea Moss"]}
    assert deleted.payload["old"]["born"] == "1815-12-10"
    assert {row.key_id for row in raw(crm)} == {raw(crm)[0].key_id}


def test_subscribers_and_the_view_of_a_record_see_the_values(make_crm: Any, keys: Any) -> None:
    seen: list[Any] = []
    watch = Plugin("watch", version="1.0", requires={"clinic": ">=1"})
    watch.grants("clinic.patient:read")

    @watch.on(Created[Patient])
    def created(ctx: Any, event: Created[Patient]) -> None:
        seen.append(dict(event.new))

    @watch.on(Updated[Patient])
    def updated(ctx: Any, event: Updated[Patient]) -> None:
        seen.append({n: (c.old, c.new) for n, c in event.changes.items()})

    crm = make_crm(plugins=[CLINIC, watch], keys=keys)
    with crm.session(Actor.system("tests", tenant="main")) as s:
        made = s.create(Patient(**FULL))
        s.update(Patient, made.id, {"debt": "1.25"})
    crm.run_pending()
    assert seen == [FULL, {"debt": (FULL["debt"], s.crm.from_json(Patient, {"name": "x", "debt": "1.25"}).debt)}]
    with crm.session(Actor.system("tests", tenant="main"), write=False) as s:
        assert s.view360(made.ref, at=crm.runtime.clock.now()).record.iban == IBAN


def test_a_destroyed_key_leaves_a_marker_in_history_and_nothing_in_the_row(crm: Any, admin: Actor) -> None:
    with crm.session(admin) as s:
        made, kept = s.create_many([Patient(**FULL), Patient(name="B", iban="2")]).ok
        s.update(Patient, made.id, {"iban": "XX-CHANGED-2"})
        words = s.create(Visit(patient=made.ref, words="secret words"))
    shred(crm, f"clinic.patient/{made.id}")
    created, updated = entries(crm, "clinic.patient", made.id)
    assert created.payload["new"]["iban"] == created.payload["new"]["name"] == "[erased]"
    assert updated.changes == {"iban": ["[erased]", "[erased]"]}
    assert crm.events.decode(updated).changes["iban"].new == "[erased]"
    assert crm.events.decode(created).new["born"] == "[erased]"
    with crm.session(admin) as s:
        assert (s.get(Patient, made.id).iban, s.get(Patient, made.id).born) == (None, None)
        assert s.execute(select(Visit.words)).scalar_one() is None
        assert s.get(Patient, kept.id).iban == "2"
        with pytest.raises(Refused) as e:
            s.update(Patient, made.id, {"iban": "again"})
        assert e.value.code == "key_destroyed"
        with pytest.raises(Refused):
            s.create(Visit(patient=made.ref, words="more"))
        s.update(Patient, made.id, {"name": "gone away"})
        s.delete(s.get(Visit, words.id))
    assert entries(crm, "clinic.patient", made.id)[-1].changes == {"name": ["[erased]", "[erased]"]}
    assert "gone away" not in repr(raw(crm))


def test_a_subject_that_never_had_a_key_gets_none_after_it_was_erased(crm: Any, admin: Actor) -> None:
    with crm.session(admin) as s:
        made = s.create(Patient(name="A"))
    shred(crm, f"clinic.patient/{made.id}", "clinic.patient/none")
    with crm.session(admin) as s, pytest.raises(Refused):
        s.update(Patient, made.id, {"iban": "1"})


def test_a_record_that_is_about_somebody_else_now_is_sealed_anew(crm: Any, admin: Actor) -> None:
    with crm.session(admin) as s:
        a, b = s.create_many([Patient(name="A"), Patient(name="B")]).ok
        visit = s.create(Visit(patient=a.ref, words="cough"))
        s.update(Visit, visit.id, {"patient": b.id})
    shred(crm, f"clinic.patient/{a.id}")
    with crm.session(admin) as s:
        assert s.get(Visit, visit.id).words == "cough"
    shred(crm, f"clinic.patient/{b.id}")
    with crm.session(admin) as s:
        assert s.get(Visit, visit.id).words is None


def test_what_was_written_before_a_crm_had_keys_is_still_read(make_crm: Any, keys: Any, admin: Actor) -> None:
    plain = make_crm()
    with plain.session(admin) as s:
        made = s.create(Contact(name="Ada"))
    sealing = CRM(plain.url, keys=keys)
    with sealing.session(admin) as s:
        s.update(Contact, made.id, {"name": "Bea"})
    created, updated = entries(sealing, "contact", made.id)
    assert (created.payload["new"]["name"], updated.changes) == ("Ada", {"name": ["Ada", "Bea"]})
    sealing.close()
    with pytest.raises(Unreadable) as e:
        entries(plain, "contact", made.id)
    assert e.value.code == "key_missing"


def test_a_changed_journal_row_is_an_error(crm: Any, admin: Actor) -> None:
    """[A34]"""
    with crm.session(admin) as s:
        made, other = s.create_many([Patient(**ALL), Patient(name="B", iban="2")]).ok
    journal = crm.tables.system.journal
    _, second = raw(crm)
    with crm.bound.begin() as connection:
        connection.execute(journal.update().where(journal.c.record == made.id).values(personal=second.personal, key_id=second.key_id))
    with pytest.raises(Unreadable):
        entries(crm, "clinic.patient", made.id)
    assert entries(crm, "clinic.patient", other.id)[0].payload["new"]["iban"] == "2"


def test_an_import_that_is_taken_back_does_not_write_the_marker_of_what_was_erased(crm: Any, admin: Actor, tmp_path: Path) -> None:
    with crm.session(admin) as s:
        made, kept = s.create_many([Patient(name="A", card="1"), Patient(name="B", card="2")]).ok
    (tmp_path / "in.csv").write_text("name,card\nA2,1\nB2,2\n")
    mapping = Mapping(entity="clinic.patient", fields={n: Source(n) for n in ("name", "card")}, match="card")
    run = Importer(crm, admin, mapping).run(tmp_path / "in.csv").run
    shred(crm, f"clinic.patient/{made.id}")
    undo(crm, admin, run)
    with crm.session(admin) as s:
        assert (s.get(Patient, made.id).name, s.get(Patient, kept.id).name) == ("A2", "B")
