"""A lead becomes a customer: atomic, once, with all that happened [C13]."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from crm_core import (
    CRM,
    Account,
    AccountKind,
    Actor,
    Contact,
    CRMError,
    Denied,
    Email,
    Extension,
    Field,
    Interaction,
    Link,
    Money,
    Note,
    Plugin,
    Ref,
    Refused,
    Role,
    Session,
    Tag,
    Tagging,
    field,
    owner,
)
from crm_sales.api import ConversionCtx, ConversionDraft, Convert, Lead, LeadStatus, Opportunity, Sales, map_conversion
from tests.sales.desk import BOSS, PLAIN, START, at_once, journal, rep


def lead(s: Session, **values: Any) -> Lead:
    given = {"name": "Anna", "company": "Foo", "emails": [Email("anna@foo.io")], "owner": "A", "source": "web"} | values
    return s.create(Lead(**given))


def counts(s: Session) -> tuple[int, int, int]:
    return s.query(Account).count(), s.query(Contact).count(), s.query(Opportunity).count()


def test_a_lead_becomes_account_contact_and_deal(crm: CRM) -> None:
    """[C13]"""
    with crm.session(rep("A")) as s:
        made = s.use(Sales).convert(lead(s, amount=Money("500", "EUR")))
        account, contact, deal = s.get(Account, made.account), s.get(Contact, made.contact), s.get(Opportunity, made.opportunity)
        was = s.query(Lead).one()
    became = (was.converted_account, was.converted_contact, was.converted_opportunity, was.converted_at)
    assert became == (account.ref, contact.ref, deal.ref, START)
    assert was.identity is None, "the address is free for another lead"
    assert (account.name, account.kind, account.owner) == ("Foo", AccountKind.COMPANY, "A")
    assert (contact.name, contact.account, contact.emails[0].address) == ("Anna", account.ref, "anna@foo.io")
    assert (deal.account, deal.contact, deal.amount, deal.source, deal.owner) == (account.ref, contact.ref, Money("500", "EUR"), "web", "A")


def test_a_lead_without_a_company_is_a_customer_in_person(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        made = s.use(Sales).convert(lead(s, company=None))
        assert s.get(Account, made.account).kind is AccountKind.PERSON
        assert s.get(Contact, made.contact).customer


def test_a_second_conversion_returns_the_same_ids(crm: CRM) -> None:
    """[G13] frappe/crm ``convert_to_deal`` has no guard."""
    with crm.session(rep("A")) as s:
        given = lead(s)
        first = s.use(Sales).convert(given)
    with crm.session(rep("A")) as s:
        assert s.use(Sales).convert(given.ref) == first
        assert counts(s) == (1, 1, 1)
    assert journal(crm, "sales.lead_converted.v1") == 1


def test_twenty_conversions_at_once_make_one_deal(crm: CRM) -> None:
    """[G13]"""
    with crm.session(BOSS) as s:
        given = lead(s)
    made = at_once(crm, lambda s: s.use(Sales).convert(given.ref), times=20)
    assert len(set(made)) == 1
    with crm.session(BOSS) as s:
        assert counts(s) == (1, 1, 1)
    assert journal(crm, "sales.lead_converted.v1") == 1


def test_what_is_there_is_linked_and_not_made_again(crm: CRM) -> None:
    """[C13]"""
    with crm.session(rep("A")) as s:
        account = s.create(Account(name="Foo"))
        contact = s.create(Contact(name="Anna F.", emails=[Email("ANNA@foo.io")], account=account.ref))
        made = s.use(Sales).convert(lead(s))
        assert (made.account, made.contact) == (account.ref, contact.ref)
        assert counts(s) == (1, 1, 1)


def test_a_customer_the_actor_does_not_see_is_not_used(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        hidden = s.create(Account(name="Foo", owner="D"))
        given = lead(s)
    with crm.session(rep("A")) as s:
        assert s.use(Sales).convert(given.ref).account != hidden.ref


def test_a_chosen_account_and_contact_are_taken(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        account, contact = s.create(Account(name="Bar")), s.create(Contact(name="Bea"))
        made = s.use(Sales).convert(lead(s), account=account.ref, contact=contact.ref, deal="Big", amount=Money(1, "EUR"))
        assert (made.account, made.contact) == (account.ref, contact.ref)
        assert s.get(Opportunity, made.opportunity).name == "Big"


def test_the_whole_history_comes_along_whoever_wrote_it(crm: CRM) -> None:
    """[C13] As many interactions, notes and tags on the deal after as on the lead before, and the lead keeps its own."""
    with crm.session(BOSS) as s:
        given = lead(s)
        to = [Link.to(given)]
        s.create_many(Interaction(at=START + timedelta(n), subject=str(n), links=to, owner="D") for n in range(7))
        s.create_many(Note(body=str(n), links=to, owner="D") for n in range(3))
        tags = s.create_many(Tag(name=str(n)) for n in range(2)).ok
        s.create_many(Tagging(tag=t.ref, entity="sales.lead", record=given.id) for t in tags)
    with crm.session(rep("A")) as s:
        made = s.use(Sales).convert(given.ref)
    with crm.session(BOSS) as s:
        for ref in (Ref(Lead, given.id), made.opportunity, made.account, made.contact):
            assert s.query(Interaction).where(Interaction.links.has(ref.id)).count() == 7
            assert s.query(Note).where(Note.links.has(ref.id)).count() == 3
        for ref in (Ref(Lead, given.id), made.opportunity):
            assert s.query(Tagging).where(Tagging.record == ref.id).count() == 2


def test_a_converted_lead_is_locked(crm: CRM) -> None:
    """[C13]"""
    with crm.session(rep("A")) as s:
        given = lead(s)
        made = s.use(Sales).convert(given)
        now = s.get(Lead, given.id)
        assert (now.status, now.converted_opportunity) == (LeadStatus.CONVERTED, made.opportunity)
        with pytest.raises(Refused, match=r"sales\.lead_converted"):
            s.update(Lead, given.id, {"name": "Other"})


def test_a_failed_conversion_leaves_nothing(crm: CRM) -> None:
    """[C13] All or nothing: whoever may not make deals makes no account either."""
    with crm.session(BOSS) as s:
        given = lead(s)
    with crm.session(Actor("A", roles={"half"})) as s, pytest.raises(CRMError):
        s.use(Sales).convert(given.ref)
    with crm.session(BOSS) as s:
        assert counts(s) == (0, 0, 0)
        assert s.get(Lead, given.id).status is LeadStatus.NEW


def test_the_rights_of_the_actor_count(make_crm: Any) -> None:
    """[C13] Reading a lead is not converting it; and what the actor may not create is not created."""
    reader = Role("reader").allow(Lead, "read")
    half = Role("half").allow(Lead, "read", "update", where=owner).allow(Account, "read", "create")
    crm = make_crm(plugins=[PLAIN], roles=[reader, half])
    with crm.session(BOSS) as s:
        given = lead(s)
    for role in ("reader", "half"):
        with crm.session(Actor("A", roles={role})) as s, pytest.raises(Denied):
            s.use(Sales).convert(given.ref)
    with crm.session(BOSS) as s:
        assert counts(s) == (0, 0, 0)


def test_a_disqualified_lead_is_not_converted(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        given = lead(s, status=LeadStatus.DISQUALIFIED)
        with pytest.raises(Refused, match=r"sales\.lead_disqualified"):
            s.use(Sales).convert(given)


def test_the_action_does_the_same(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        given = lead(s)
        made = s.perform(Convert(lead=given.ref, deal="By action"))
        assert s.get(Opportunity, made.opportunity).name == "By action"


grading = Plugin("acme.grading", version="1.0.0", requires={"sales": ">=1"})


@grading.extend(Lead)
class LeadGrade(Extension):
    grade: Field[str] = field(default="")


@grading.extend(Opportunity)
class DealGrade(Extension):
    grade: Field[str] = field(default="")


@grading.hook(map_conversion)
def carry(ctx: ConversionCtx, drafts: list[ConversionDraft]) -> list[ConversionDraft]:
    for draft in drafts:
        draft.opportunity[DealGrade].grade = draft.lead[LeadGrade].grade
    return drafts


def test_fields_of_other_plugins_are_carried_over_by_their_hook(make_crm: Any) -> None:
    """[C13]"""
    crm = make_crm(plugins=[PLAIN, grading])
    with crm.session(BOSS) as s:
        given = Lead(name="Anna", emails=[Email("a@x.io")])
        given[LeadGrade].grade = "hot"
        made = s.use(Sales).convert(s.create(given))
        assert s.get(Opportunity, made.opportunity)[DealGrade].grade == "hot"
