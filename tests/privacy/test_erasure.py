"""Export, plan and erasure of one person [C72]."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from crm_core import (
    Account,
    AccountKind,
    Actor,
    Affiliation,
    Conflict,
    Contact,
    Denied,
    Email,
    Entity,
    Field,
    Interaction,
    Invalid,
    Link,
    ListField,
    NotFound,
    Plugin,
    Refused,
    Role,
    field,
)
from crm_core.privacy import certificates, erase, export, hold, plan, release
from crm_sales.api import Lead, LeadIntake, Opportunity, Sales
from crm_service.api import ServiceRequest, Ticket, TicketComment


@pytest.fixture
def ada(crm: Any, officer: Actor) -> Any:
    with crm.session(officer) as s:
        acme = s.create(Account(name="Acme", emails=[Email("ada@example.com")]))
        ada = s.create(Contact(name="Ada Byron", emails=[Email("ada@example.com")], account=acme.ref))
        bob = s.create(Contact(name="Bob Boole", emails=[Email("bob@example.com")], account=acme.ref))
        s.create(Affiliation(contact=ada.ref, account=acme.ref, role="founder"))
        mine = s.create(Ticket(subject="Adas press", description="Ada cannot print", contact=ada.ref, account=acme.ref))
        s.create(Ticket(subject="Bobs press", description="Bob cannot print", contact=bob.ref, account=acme.ref))
        s.create(TicketComment(ticket=mine.ref, body="Ada says hello"))
        s.create(Interaction(at=crm.runtime.clock.now(), body="Ada called", links=[Link.to(ada)]))
        gone = s.create(Interaction(at=crm.runtime.clock.now(), body="Ada hung up", links=[Link.to(ada)]))
        s.delete(gone)
    return ada


def test_a_plan_says_what_is_done_and_an_erasure_does_it(crm: Any, ada: Any, officer: Actor) -> None:
    with crm.session(officer) as s:
        found = plan(s, "Ada@Example.com")
        assert found.subjects == (f"contact:{ada.id}",)  # not the company with the same address
        assert {(step.entity, step.action): step.count for step in found.steps} == {
            ("affiliation", "delete"): 1,
            ("contact", "delete"): 1,
            ("interaction", "empty"): 2,
            ("service.ticket", "empty"): 1,
            ("service.ticket_change", "keep"): 2,
            ("service.ticket_comment", "empty"): 1,
        }
        assert s.get(Contact, ada.id).name == "Ada Byron"
    with crm.session(officer) as s:
        done = erase(s, ada.ref, reason="asked")
        assert done.hash == done.digest
        assert certificates(s) == [done]
    with crm.session(officer) as s:
        assert s.find(Contact, ada.id) is None
        assert sorted(t.subject for t in s.query(Ticket).all()) == ["Bobs press", "erased"]
        assert s.query(TicketComment).one().body == "erased"
        assert s.query(Affiliation).count() == 0
        with pytest.raises(NotFound):
            erase(s, "ada@example.com", reason="again")


def test_the_journal_loses_the_values_and_still_verifies(crm: Any, ada: Any, officer: Actor) -> None:
    """[S10] [C73]"""
    crm.run_pending()
    assert crm.audit.verify().ok
    with crm.session(officer) as s:
        erase(s, ada.ref, reason="asked")
    crm.run_pending()
    assert crm.audit.verify().ok
    assert not crm.audit.verify().unsealed
    journal = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        rows = repr(connection.execute(select(journal.c.payload, journal.c.personal)).all())
    assert "Ada" not in rows
    assert "Bob cannot print" in rows


def test_an_export_has_all_that_is_known_and_is_journalled(crm: Any, ada: Any, officer: Actor) -> None:
    with crm.session(officer) as s:
        told = export(s, f"contact:{ada.id}")
    said = repr(told)
    for words in ("Ada Byron", "ada@example.com", "Ada cannot print", "Ada says hello", "Ada called", "Ada hung up", "founder"):
        assert words in said
    assert "Bob" not in said
    assert {e["kind"] for e in told["journal"]} >= {"contact.created.v1", "interaction.deleted.v1"}
    journal = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        noted = connection.execute(select(journal.c.payload).where(journal.c.kind == "core.exported.v1")).scalars().one()
    assert noted["entities"]["service.ticket"] == 1


def test_a_legal_hold_keeps_a_person_until_it_is_released(crm: Any, ada: Any, officer: Actor) -> None:
    with crm.session(officer) as s:
        assert hold(s, ada.ref, "case 4711") == 1
        with pytest.raises(Refused) as e:
            erase(s, ada.ref, reason="asked")
        assert (e.value.code, e.value.params["reason"]) == ("erasure_held", "case 4711")
        assert s.get(Contact, ada.id).name == "Ada Byron"
        assert release(s, ada.ref) == 1
        erase(s, ada.ref, reason="asked")


def test_only_who_has_the_permission_may(make_crm: Any) -> None:
    crm = make_crm(roles=[Role("clerk").allow(Contact, "read", "create", "update", "delete"), Role("officer").permit("core.privacy")])
    with crm.session(Actor("1", roles={"clerk"})) as s:
        ada = s.create(Contact(name="Ada"))
        for work in (lambda: plan(s, ada), lambda: export(s, ada), lambda: erase(s, ada, reason=""), lambda: hold(s, ada, "")):
            with pytest.raises(Denied):
                work()
    with crm.session(Actor("2", roles={"officer"})) as s:
        for wrong in ("Ada", "nobody:1", 7):
            with pytest.raises(Invalid):
                plan(s, wrong)  # type: ignore[arg-type]  # a caller's mistake
        assert erase(s, f"contact:{ada.id}", reason="asked").by == "2"


def test_a_person_who_buys_for_themselves_is_an_account(crm: Any, officer: Actor) -> None:
    with crm.session(officer) as s:
        eve = s.create(Account(name="Eve", kind=AccountKind.PERSON, emails=[Email("eve@example.com")]))
        s.create(Ticket(subject="Eves shoes", account=eve.ref))
    with crm.session(officer) as s:
        done = erase(s, "eve@example.com", reason="asked")
        assert done.counts["account"] == {"empty": 1}  # the ticket protects it
        assert s.query(Ticket).one().subject == "erased"
        assert s.get(Account, eve.id).name == "erased"


def test_a_lead_its_contact_and_its_account_are_one_person(crm: Any, officer: Actor) -> None:
    """[C13]"""
    with crm.session(officer) as s:
        s.use(Sales).intake(LeadIntake(name="Eve Canary", email="eve@example.com", message="Eve asks"))
        lead = s.query(Lead).one()
        became = s.use(Sales).convert(lead)
        s.create(ServiceRequest(subject="Welcome Eve Canary", account=became.account))
    crm.run_pending()
    with crm.session(officer) as s:
        assert s.get(Opportunity, became.opportunity).name == "Eve Canary"
        assert set(plan(s, lead).subjects) == {
            f"account:{became.account.id}",
            f"contact:{became.contact.id}",
            f"sales.lead:{lead.id}",
        }
        for each in (became.account, became.contact):
            assert plan(s, each).subjects == plan(s, lead).subjects
        erase(s, lead, reason="asked")
    with crm.bound.begin(write=False) as connection:
        left = [name for name, t in crm.tables.metadata.tables.items() if "Eve" in repr(connection.execute(t.select()).all())]
    assert left == []


def test_who_repeats_a_call_about_an_erased_person_is_refused(crm: Any, officer: Actor) -> None:
    with crm.session(officer, idempotency_key="once") as s:
        ada = s.create(Contact(name="Ada"))
    with crm.session(officer, idempotency_key="other") as s:
        bob = s.create(Contact(name="Bob"))
    with crm.session(officer) as s:
        erase(s, ada, reason="asked")
    with pytest.raises(Conflict) as e, crm.session(officer, idempotency_key="once") as s:
        s.create(Contact(name="Ada"))
    assert e.value.code == "idempotency_mismatch"
    with crm.session(officer, idempotency_key="other") as s:
        assert s.create(Contact(name="Bob")).id == bob.id


def test_a_plugins_record_that_has_an_address_may_be_no_person(make_crm: Any, officer: Actor) -> None:
    class Deed(Entity):
        emails: ListField[Email] = field(factory=list, pii=True)
        terms: Field[str] = field(default="")

    class Student(Entity):
        __erased__ = "delete"
        emails: ListField[Email] = field(factory=list, pii=True)

    school = Plugin("school", version="1.0")
    school.entities(Deed, Student)
    crm = make_crm(plugins=[school])
    with crm.session(officer) as s:
        deed = s.create(Deed(emails=[Email("ada@example.com")], terms="ten years"))
        s.create(Student(emails=[Email("ada@example.com")]))
        steps = {step.entity: (step.action, step.why) for step in plan(s, "ada@example.com").steps}
        assert steps == {"school.deed": ("empty", "needed"), "school.student": ("delete", "person")}
        erase(s, "ada@example.com", reason="asked")
    with crm.session(officer) as s:
        kept = s.get(Deed, deed.id)
        assert (kept.terms, kept.emails) == ("ten years", [])
        assert s.query(Student).count() == 0
        assert {step.action for step in plan(s, kept).steps} == {"delete"}  # who names it says that it is the person
