"""``crm keys encrypt``: a field is declared sealed after rows had it open [S10] [S14]."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import inspect, select

from crm_core import CRM, Actor, Conflict, Contact, Entity, Field, FileKeys, Invalid, Plugin, Ref, Unavailable, Unreadable, field
from crm_core.cli.app import app
from crm_core.privacy import erase, scrub
from crm_core.storage.keys import encryption
from tests.keys.test_canaries import forms

WORDS = ("CANARYiban", "CANARYstory", "CANARYjson", "1815-12-10", "271828.18")
FULL: dict[str, Any] = {
    "iban": "CANARYiban",
    "story": "CANARYstory äöü: 1A",
    "born": date(1815, 12, 10),
    "seen": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    "debt": Decimal("271828.18"),
    "visits": 42,
    "smokes": False,
    "notes": {"k": ["CANARYjson", 1]},
}


def clinic(sealed: bool) -> Any:
    """Make the plugin as it was before and is after its fields were sealed."""

    class Patient(Entity):
        name: Field[str] = field(default="x")
        iban: Field[str | None] = field(default=None, length=34, unique=True, sealed=sealed, searchable=sealed)
        story: Field[str | None] = field(default=None, text=True, sealed=sealed, pii=True)
        born: Field[date | None] = field(default=None, sealed=sealed, searchable=sealed)
        seen: Field[datetime | None] = field(default=None, sealed=sealed)
        debt: Field[Decimal | None] = field(default=None, sealed=sealed)
        visits: Field[int | None] = field(default=None, sealed=sealed)
        smokes: Field[bool | None] = field(default=None, sealed=sealed)
        notes: Field[dict[str, Any] | None] = field(default=None, sealed=sealed)

    plugin = Plugin("clinic", version="2.0" if sealed else "1.0")
    plugin.entities(Patient)
    return plugin, Patient


@pytest.fixture
def sealed(make_crm: Callable[..., Any], keys: FileKeys, admin: Actor) -> Any:
    """A CRM whose rows were written before their fields were sealed, in two tenants, and its entity."""
    before, patient = clinic(False)
    old = make_crm(plugins=[before])
    for tenant in ("main", "other"):
        with old.session(Actor.system("tests", tenant=tenant)) as s:
            s.create(patient(**FULL))
            s.create_many(patient(name=f"p{n}", iban=f"I-{n}", story="1A Street") for n in range(7))
            s.create(patient(name="empty"))
    url = old.url
    old.close()
    after, patient = clinic(True)
    crm = CRM(url, plugins=[after], keys=keys)
    crm.migrate()
    yield crm, patient
    crm.close()


def rows(crm: CRM, patient: Any) -> str:
    with crm.bound.begin(write=False) as connection:
        return repr(connection.execute(select(*(c.cast(c.type) for c in crm.table(patient).c))).all())


def test_rows_are_sealed_read_found_and_unique(sealed: Any, admin: Actor) -> None:
    crm, patient = sealed
    with crm.session(admin) as s, pytest.raises((Unreadable, Unavailable)):
        s.query(patient).all()
    assert sorted((done.tenant, done.rows, done.left) for done in crm.keys.encrypt()) == [("main", 8, 0), ("other", 8, 0)]
    assert [word for word in WORDS if word in rows(crm, patient)] == []
    with crm.session(admin) as s:
        ada = s.query(patient).where(patient.iban == "CANARYiban").one()
        assert {name: getattr(ada, name) for name in FULL} == FULL
        assert s.query(patient).where(patient.born == date(1815, 12, 10)).count() == 1
        assert {p.story for p in s.query(patient).where(patient.iban.in_(["I-1", "I-2"])).all()} == {"1A Street"}
        s.update(patient, ada.id, {"story": "new"})
        with pytest.raises(Conflict):
            s.create(patient(iban="CANARYiban"))
    assert crm.keys.encrypt() == []
    assert all(done.done for done in crm.keys.rotate(grace=0))
    with crm.session(admin) as s:
        assert s.get(patient, ada.id).story == "new"


def test_one_that_was_stopped_goes_on_and_tenants_are_apart(sealed: Any, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    crm, patient = sealed
    monkeypatch.setattr(encryption, "BATCH", 3)
    real, calls = encryption.Encryption._batch, []

    def dying(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(encryption.Encryption, "_batch", dying)
        crm.keys.encrypt("main")
    assert [(done.tenant, done.rows) for done in crm.keys.encrypt("main")] == [("main", 5)]
    assert [(done.tenant, done.rows) for done in crm.keys.encrypt()] == [("other", 8)]
    with crm.session(admin) as s:
        assert len(s.query(patient).all()) == 9


def test_what_only_looks_sealed_is_left(sealed: Any, admin: Actor) -> None:
    crm, patient = sealed
    crm.keys.encrypt()
    table = crm.table(patient)
    with crm.bound.begin() as connection:
        connection.execute(table.update().where(table.c.name == "p3").values(story=f"1A{'0' * 16}{'A' * 60}"))
    assert [(done.rows, done.left) for done in crm.keys.encrypt("main")] == [(0, 1)]


def test_the_file_and_its_wal_have_no_plain_value(sealed: Any, admin: Actor) -> None:
    """The journal has them: it says what was written then, and never changes."""
    crm, patient = sealed
    crm.keys.encrypt()
    scrub(crm)
    with crm.bound.begin() as connection:
        assert not [i for i in inspect(connection).get_indexes(crm.table(patient).name) if "iban" in i["column_names"]]
        connection.execute(crm.tables.system.journal.delete())
    scrub(crm)
    if crm.bound.kind == "sqlite":
        data = b"".join(path.read_bytes() for path in Path(crm.bound.url.database).parent.glob("*") if path.is_file())
        assert [word for word in WORDS for needle in forms(word) if needle in data] == []


def test_what_the_journal_says_in_plain_is_counted_and_stays(sealed: Any, admin: Actor) -> None:
    crm, patient = sealed
    before = {"main": 8, "other": 8}  # the empty one says nothing
    assert crm.keys.journalled_open() == before
    crm.keys.encrypt()
    with crm.session(admin) as s:
        s.create(patient(**{**FULL, "iban": "I-9"}))
        ada = s.query(patient).where(patient.iban == "I-3").one()
        s.update(patient, ada.id, {"story": "new"})
    crm.run_pending()
    assert (crm.keys.journalled_open(), crm.keys.journalled_open("other")) == (before, {"other": 8})
    assert crm.audit.verify().ok


def test_an_erasure_takes_what_was_personal_out_of_the_journal(make_crm: Callable[..., Any], keys: FileKeys) -> None:
    def made(sealed: bool) -> Any:
        class Guest(Entity):
            contact: Field[Ref[Contact]]
            said: Field[str | None] = field(default=None, pii=True, sealed=sealed)
            room: Field[str | None] = field(default=None, sealed=sealed)

        plugin = Plugin("hotel", version="1.0")
        plugin.entities(Guest)
        return plugin, Guest

    before, guest = made(False)
    old = make_crm(plugins=[before])
    with old.session(Actor.system("tests", tenant="main")) as s:
        ada = s.create(Contact(name="Ada"))
        s.create(guest(contact=ada.ref, said="CANARY"))
        s.create(guest(contact=ada.ref, room="7"))
    after, guest = made(True)
    crm = CRM(old.url, plugins=[after], keys=keys)
    crm.migrate()
    crm.keys.encrypt()
    assert crm.keys.journalled_open() == {"main": 2}
    with crm.session(Actor.system("tests", tenant="main")) as s:
        erase(s, ada, reason="asked")
    assert crm.keys.journalled_open() == {"main": 1}  # the room was personal to nobody then
    crm.close()


def test_without_keys_it_says_so(make_crm: Callable[..., Any]) -> None:
    with pytest.raises(Exception, match="keys") as e:
        make_crm().keys.encrypt()
    assert not isinstance(e.value, Invalid)


SEALED = ["main: 8 rows sealed.", "other: 8 rows sealed."]
JOURNALLED = [f"{tenant}: 8 rows of the journal still say in plain what these fields held before" for tenant in ("main", "other")]


def test_the_command_seals_what_is_open_and_says_so_once(sealed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    crm, _ = sealed
    host = ModuleType("clinic_host")
    host.crm = crm  # type: ignore[attr-defined]  # as a host's module has it
    monkeypatch.setitem(sys.modules, "clinic_host", host)
    first, again = (CliRunner().invoke(app, ["keys", "encrypt", "--app", "clinic_host:crm"]) for _ in range(2))
    assert (first.exit_code, [line for line in first.output.splitlines() if "sealed" in line]) == (0, SEALED), first.output
    assert (again.exit_code, "sealed" in again.output) == (0, False), again.output
    assert [line.split(";")[0] for line in again.output.splitlines()] == ["Nothing stands open.", *JOURNALLED]
