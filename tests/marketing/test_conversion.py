"""A converted lead: its campaigns and consents are its contact's, in the conversion's own transaction [C13]."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, Channel, Contact, Entity, FixedClock, Plugin, Ref, Refused, Session, WriteCtx, after_write
from crm_marketing import plugin
from crm_marketing.api import CampaignMember, CampaignStatus, Consent, Marketing, MemberStatus
from crm_sales import plugin as sales
from crm_sales.api import Lead, LeadIntake, Opportunity, Sales
from tests.marketing.conftest import SYSTEM, MakeCRM, campaign, eur, kinds, people

PROOF: dict[str, Any] = {"text": "Yes, write to me.", "evidence": {"form": "signup"}, "source": "website"}
SELLER = Actor("7", roles={"sales.manager"})
BOTH = Actor("1", roles={"sales.manager", "marketing.manager"})


def lead_of(s: Session, name: str = "Anna") -> Lead:
    """Take somebody in."""
    lead = s.use(Sales).intake(LeadIntake(name=name, email=f"{name}@foo.io", company="Foo")).lead
    assert lead is not None
    return lead


def panel(s: Session, record: Entity) -> Any:
    """Return what marketing shows beside a customer."""
    return next(p.data for p in s.view360(record).panels if p.plugin == "marketing")


def convert(s: Session, lead: Lead, **given: Any) -> Ref[Contact]:
    return s.use(Sales).convert(lead, amount=eur(10), **given).contact


def test_c13_membership_and_consents_go_along_though_the_seller_may_see_neither(both: CRM, clock: FixedClock) -> None:
    with both.session(SYSTEM) as s:
        lead, spring = lead_of(s), campaign(s, status=CampaignStatus.ACTIVE)
        s.use(Marketing).enrol(spring, [lead])
        s.use(Marketing).advance(spring, [lead], MemberStatus.SENT)
        given = s.use(Marketing).give_consent(lead, "news", **PROOF)
        s.use(Marketing).give_consent(lead, "surveys", channel=Channel.CALL, **PROOF)
        member = s.query(CampaignMember).one()
    clock.advance(timedelta(days=1))
    with both.session(SELLER) as s:
        assert not s.can("read", Consent)
        contact = convert(s, lead)
    with both.session(BOTH) as s:
        kept = s.query(CampaignMember).one()
        assert (kept.id, kept.contact, kept.lead, kept.status, kept.status_at) == (
            member.id,
            contact,
            None,
            MemberStatus.SENT,
            member.status_at,
        )
        consent = s.get(Consent, given.id)
        assert (consent.contact, consent.lead, consent.text, consent.evidence, consent.given_at) == (
            contact,
            None,
            given.text,
            given.evidence,
            given.given_at,
        )
        assert [a.allowed for a in s.use(Marketing).may_send([contact], "news")] == [True]
        assert s.use(Marketing).advance(spring, [contact], MemberStatus.RESPONDED) == 1
        assert s.use(Marketing).figures(spring).total == 1
        anna = s.get(Contact, contact)
        assert anna.account is not None
        beside = panel(s, anna)
        assert [c["purpose"] for c in beside["consents"]] == ["news", "surveys"]
        assert panel(s, s.get(Account, anna.account)) == {
            "campaigns": [{"name": "Spring", "people": 1}],
            "consents": [{"purpose": "news", "channel": "email", "people": 1}, {"purpose": "surveys", "channel": "call", "people": 1}],
        }


def test_c13_a_planned_lead_that_became_a_contact_is_sent_to(both: CRM) -> None:
    with both.session(BOTH) as s:
        lead, spring = lead_of(s), campaign(s, status=CampaignStatus.ACTIVE)
        s.use(Marketing).enrol(spring, [lead])
        s.use(Marketing).give_consent(lead, "news", **PROOF)
        contact = convert(s, lead)
        assert [c.id for c in s.use(Marketing).send(spring, "news").sent] == [contact.id]


@pytest.mark.parametrize(
    ("as_lead", "as_contact", "after"),
    [
        (MemberStatus.RESPONDED, MemberStatus.PLANNED, MemberStatus.RESPONDED),
        (MemberStatus.PLANNED, MemberStatus.OPENED, MemberStatus.OPENED),
    ],
)
def test_c13_who_was_in_the_campaign_twice_is_in_it_once_at_the_further_step(
    both: CRM, as_lead: MemberStatus, as_contact: MemberStatus, after: MemberStatus
) -> None:
    with both.session(BOTH) as s:
        lead, (anna,), spring = lead_of(s), people(s, "Anna"), campaign(s)
        s.use(Marketing).enrol(spring, [lead, anna])
        s.use(Marketing).advance(spring, [lead], as_lead)
        s.use(Marketing).advance(spring, [anna], as_contact)
        assert convert(s, lead, contact=anna.ref) == anna.ref
        assert [(m.contact, m.status) for m in s.use(Marketing).members(spring).all()] == [(anna.ref, after)]


def test_c13_two_leads_of_one_person_leave_one_membership_and_consents_that_end_together(both: CRM) -> None:
    with both.session(BOTH) as s:
        (anna,), spring = people(s, "Anna"), campaign(s)
        for lead in (lead_of(s, "Anna"), lead_of(s, "Ann")):
            s.use(Marketing).enrol(spring, [lead])
            s.use(Marketing).give_consent(lead, "news", **PROOF)
            convert(s, lead, contact=anna.ref)
        assert s.use(Marketing).members(spring).count() == 1
        assert s.query(Consent).where(Consent.contact == anna.ref, Consent.withdrawn_at.is_(None)).count() == 2, "no proof is lost"
        assert s.use(Marketing).give_consent(anna, "news", **PROOF).contact == anna.ref
        assert s.query(Consent).count() == 2
        assert s.use(Marketing).withdraw(anna, "news") == 2
        assert [a.reason for a in s.use(Marketing).may_send([anna], "news")] == ["marketing.send.withdrawn"]


@pytest.mark.parametrize("withdrawn_as", ["lead", "contact"])
def test_c13_a_withdrawal_ends_what_the_person_agreed_to_before_it_under_the_other_name(
    both: CRM, clock: FixedClock, withdrawn_as: str
) -> None:
    with both.session(BOTH) as s:
        lead, (anna,) = lead_of(s), people(s, "Anna")
        marketing = s.use(Marketing)
        for person in (lead, anna):
            marketing.give_consent(person, "news", **PROOF)
            clock.advance(timedelta(hours=1))
        marketing.give_consent(lead, "surveys", **PROOF)
        marketing.withdraw(lead if withdrawn_as == "lead" else anna, "news")
        clock.advance(timedelta(hours=1))
        convert(s, lead, contact=anna.ref)
        assert [a.reason for a in marketing.may_send([anna], "news")] == ["marketing.send.withdrawn"]
        assert [a.allowed for a in marketing.may_send([anna], "surveys")] == [True]
        marketing.give_consent(anna, "news", **PROOF)
        assert [a.allowed for a in marketing.may_send([anna], "news")] == [True], "agreed to anew, after the withdrawal"


def test_c13_an_old_link_of_the_lead_still_withdraws(both: CRM) -> None:
    with both.session(BOTH) as s:
        lead = lead_of(s)
        s.use(Marketing).give_consent(lead, "news", **PROOF)
        contact = convert(s, lead)
        assert s.use(Marketing).withdraw(lead) == 1
        assert [a.allowed for a in s.use(Marketing).may_send([contact], "news")] == [False]


def test_c13_a_conversion_that_fails_moves_nothing(make_crm: MakeCRM) -> None:
    late = Plugin("late", version="1.0.0", requires={"sales": ">=1", "marketing": ">=1"})

    @late.hook(after_write, on=Lead, after="marketing.first_touch")
    def fail(ctx: WriteCtx, changes: list[Any]) -> None:
        if any("converted_contact" in c.fields for c in changes):
            raise RuntimeError("the power is gone")

    crm = make_crm(plugins=[plugin, sales, late])
    with crm.session(BOTH) as s:
        lead, spring = lead_of(s), campaign(s)
        s.use(Marketing).enrol(spring, [lead])
        s.use(Marketing).give_consent(lead, "news", **PROOF)
    with crm.session(BOTH) as s, pytest.raises(Exception, match="late"):
        convert(s, lead)
    with crm.session(SYSTEM, write=False) as s:
        assert [m.lead for m in s.query(CampaignMember).all()] == [lead.id]
        assert [c.lead for c in s.query(Consent).all()] == [lead.id]
        assert s.query(Opportunity).count() == 0


def test_c13_nobody_moves_a_consent_or_a_member_by_hand(both: CRM) -> None:
    with both.session(BOTH) as s:
        lead, (anna,), spring = lead_of(s), people(s, "Anna"), campaign(s)
        s.use(Marketing).enrol(spring, [lead])
        given = s.use(Marketing).give_consent(lead, "news", **PROOF)
        for record in (given, s.query(CampaignMember).one()):
            with pytest.raises(Refused), s.savepoint():
                s.update(type(record), record.id, {"contact": anna.ref, "lead": None})
        with pytest.raises(Refused) as nobody, s.savepoint():
            s.create(Consent(purpose="news", given_at=given.given_at, **PROOF))
        assert [d.code for d in nobody.value.details] == ["marketing.one_person"]
    assert kinds(both).count("marketing.consent_given.v1") == 1
