"""[C73] What is journalled: old values as they were stored, reads of sensitive fields, roles, settings, shares, elevations, plugins."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from sqlalchemy import create_engine, func, select

import crm_core
from crm_core import CRM, Account, Actor, Entity, Field, NotFound, Plugin, Ref, Role, Session, alias, field
from crm_core.audit import KINDS, Audit, FileSigner
from crm_core.audit.kinds import ERASED, PERSON_ERASED, RETAINED
from crm_core.events.journal import Entry, read
from crm_core.rules import F, everything
from tests.conftest import MakeCRM

ADMIN = Actor.system("setup", tenant="main")


@attrs.define
class Settings:
    limit: int = 3


class Patient(Entity):
    name: Field[str]
    diagnosis: Field[str | None] = field(default=None, sensitive=True, pii=True)
    account: Field[Ref[Account] | None] = field(default=None)


plugin = Plugin("clinic", version="1.0", settings=Settings)
plugin.entities(Patient)
plugin.grants("account:read")


@plugin.service
class Clinic:
    """Looks at more than its user may."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def count(self) -> int:
        """Count the accounts."""
        with self._session.elevated("a census") as s:
            return s.query(Account).count()


ROLES = [
    Role("sees").allow(Account, "read"),
    Role("doctor").allow(Patient, "read", "update", where=everything),
    Role("clerk").allow(Patient, "read", where=everything, fields={"diagnosis": "none"}),
    Role("porter").allow(Patient, "read", where=F("name") == "Ada", fields={"diagnosis": "masked"}),
]
DOCTOR = Actor("7", roles={"doctor"})


@pytest.fixture
def clinic(make_crm: MakeCRM) -> Any:
    return make_crm(plugins=[plugin], roles=ROLES)


def journal(crm: CRM, kind: str) -> list[Entry]:
    crm.audit.seal()
    with crm.bound.begin(write=False) as connection:
        return [e for e in read(connection, crm.tables, limit=10_000) if e.kind == kind]


def patients(crm: CRM, *names: str) -> list[Patient]:
    with crm.session(ADMIN) as s:
        return s.create_many(Patient(name=n, diagnosis=f"{n}'s") for n in names).ok


READS: dict[str, Callable[[Session, Patient], Any]] = {
    "get": lambda s, p: s.get(Patient, p.id),
    "get_many": lambda s, p: s.get_many(Patient, [p.id]),
    "page": lambda s, p: s.query(Patient).where(Patient.name == "Ada").page(),
    "stream": lambda s, p: list(s.query(Patient).where(Patient.name == "Ada").stream()),
    "as_of": lambda s, p: s.as_of(p.created_at).get(Patient, p.id),
}
STATEMENTS: dict[str, tuple[Callable[[Session], Any], int]] = {
    "column": (lambda s: s.execute(select(Patient.diagnosis)).all(), 2),
    "entity": (lambda s: s.execute(select(Patient)).all(), 2),
    "alias": (lambda s: s.execute(select(alias(Patient, "p").diagnosis)).all(), 2),
    "subquery": (lambda s: s.execute(select(func.count()).select_from(select(Patient).subquery())).all(), 1),
    "aggregate": (lambda s: s.execute(select(func.max(Patient.diagnosis))).all(), 1),
    "count": (lambda s: s.query(Patient).where(Patient.diagnosis == "x").count(), 1),
    "filter that finds nothing": (lambda s: s.query(Patient).where(Patient.diagnosis == "x").all(), 0),
    "order of another list": (
        lambda s: s.query(Account).where(Account.id.in_(select(Patient.account).where(Patient.diagnosis > "x"))).all(),
        0,
    ),
}


@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize("how", READS)
def test_who_is_given_a_record_with_a_sensitive_field_is_journalled(clinic: CRM, how: str, write: bool) -> None:
    ada, _ = patients(clinic, "Ada", "Bob")
    with clinic.session(DOCTOR, write=write, reason="visit", request="r-1") as s:
        READS[how](s, ada)
    (entry,) = journal(clinic, "core.read.v1")
    assert (entry.actor, entry.reason, entry.request, entry.entity) == ("7", "visit", "r-1", "clinic.patient")
    assert (entry.payload["fields"], entry.payload["records"], entry.payload["count"]) == (["diagnosis"], [ada.id], 1)


@pytest.mark.parametrize("how", STATEMENTS)
def test_a_statement_that_uses_a_sensitive_field_is_journalled(clinic: CRM, how: str) -> None:
    patients(clinic, "Ada", "Bob")
    work, rows = STATEMENTS[how]
    with clinic.session(Actor("7", roles={"doctor", "sees"}), write=False) as s:
        work(s)
    (entry,) = journal(clinic, "core.read.v1")
    assert (entry.payload["fields"], entry.payload["records"], entry.payload["count"]) == (["diagnosis"], [], rows)


def test_reads_of_one_session_are_one_entry_and_those_of_a_failed_one_are_kept(clinic: CRM) -> None:
    ada, bob = patients(clinic, "Ada", "Bob")
    for write in (True, False):
        with pytest.raises(NotFound), clinic.session(DOCTOR, write=write) as s:  # reads, then fails
            s.get(Patient, ada.id)
            s.get(Patient, bob.id)
            s.get(Patient, ada.id)
            s.get(Patient, "0192a000-0000-7000-8000-000000000000")
    entries = journal(clinic, "core.read.v1")
    assert [(sorted(e.payload["records"]), e.payload["count"]) for e in entries] == [(sorted([ada.id, bob.id]), 3)] * 2


def test_in_a_hosts_transaction_the_entry_is_written_there(clinic: CRM) -> None:
    (ada,) = patients(clinic, "Ada")
    engine = create_engine(clinic.url)
    for write in (True, False):
        with engine.connect() as connection:
            with clinic.session(DOCTOR, on=connection, write=write) as s:
                s.get(Patient, ada.id)
            connection.commit()
    engine.dispose()
    assert len(journal(clinic, "core.read.v1")) == 2


def test_who_is_shown_nothing_sensitive_leaves_no_entry(clinic: CRM) -> None:
    (ada,) = patients(clinic, "Ada")
    for actor in (Actor("8", roles={"clerk"}), Actor("9", roles={"porter"}), ADMIN):
        with clinic.session(actor) as s:
            s.get(Patient, ada.id)
            s.query(Patient).page()
            s.execute(select(Patient.name)).all()
            s.query(Patient).count()
    with clinic.session(DOCTOR) as s:
        s.execute(select(Patient.name)).all()
        s.query(Patient).where(Patient.name == "Ada").count()
    assert journal(clinic, "core.read.v1") == []


def test_the_old_value_is_the_stored_one_whatever_the_caller_holds(clinic: CRM) -> None:
    (ada,) = patients(clinic, "Ada")
    with clinic.session(ADMIN) as s:
        stale = s.get(Patient, ada.id)
        stale.diagnosis = "in memory"
        table = clinic.table(Patient)
        s._unit.connection.execute(table.update().values(diagnosis="behind the back"))
        s.update(Patient, ada.id, {"diagnosis": "new"})
    (entry,) = journal(clinic, "clinic.patient.updated.v1")
    assert entry.changes == {"diagnosis": ["behind the back", "new"]}


def test_roles_and_settings_are_journalled_with_what_they_were(clinic: CRM) -> None:
    with clinic.session(ADMIN, reason="audit") as s:
        s.define_role(Role("helper").allow(Account, "read"))
        s.define_role(Role("helper").allow(Account, "read", "update"))
        s.remove_role("helper")
        s.change_settings(Settings, {"limit": 5})
        s.change_settings(Settings, {"limit": 7})
    first, second = journal(clinic, "core.role_defined.v1")
    assert "before" not in first.payload
    assert second.payload["before"] == first.payload["role"]
    (removed,) = journal(clinic, "core.role_removed.v1")
    assert (removed.payload["before"], removed.reason) == (second.payload["role"], "audit")
    changes = [(e.payload["changes"], e.payload["before"]) for e in journal(clinic, "core.settings_changed.v1")]
    assert changes == [({"limit": 5}, {"limit": 3}), ({"limit": 7}, {"limit": 5})]


def test_an_elevation_says_through_which_plugin_for_whom_and_why(clinic: CRM) -> None:
    with clinic.session(DOCTOR) as s:
        s.use(Clinic).count()
    (entry,) = journal(clinic, "core.elevated.v1")
    assert (entry.actor, entry.on_behalf_of, entry.plugin, entry.reason) == ("plugin:clinic", "7", "clinic", "a census")


def test_other_plugins_than_at_the_last_start_are_journalled_in_every_tenant(make_crm: MakeCRM, tmp_path: Path) -> None:
    audit = Audit(signer=FileSigner.create(tmp_path / "audit.key"))
    first = make_crm(plugins=[plugin], roles=ROLES, audit=audit)
    for tenant in ("main", "other"):
        with first.session(Actor.system("setup", tenant=tenant)) as s:
            s.create(Account(name="Acme"))
    assert journal(first, "core.plugins_changed.v1") == []
    same = CRM(first.url, plugins=[plugin], audit=audit)
    assert journal(same, "core.plugins_changed.v1") == []
    without = CRM(first.url, audit=audit)
    entries = journal(without, "core.plugins_changed.v1")
    assert [(e.tenant, e.actor, "clinic" in e.payload["plugins"], e.payload["before"]["clinic"]) for e in entries] == [
        ("main", "system:core", False, "1.0"),
        ("other", "system:core", False, "1.0"),
    ]
    assert len(journal(without, "core.plugins_changed.v1")) == 2
    assert without.audit.verify().ok
    same.close()
    without.close()


def test_every_kind_that_the_core_writes_is_in_the_contract() -> None:
    source = [p.read_text(encoding="utf-8") for p in Path(crm_core.__file__).parent.rglob("*.py") if p.name != "kinds.py"]
    written = set(re.findall(r'"(core\.\w+\.v\d+)"', "\n".join(source)))
    assert written == set(KINDS) - {ERASED, PERSON_ERASED, RETAINED}
