"""Consent: proven, asked at the moment of sending, and ended for one person alone [G17]."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from crm_core import CRM, Actor, Channel, Contact, CRMError, Denied, FixedClock, Refused, Role, Session, owner
from crm_marketing import plugin
from crm_marketing.api import (
    AskConsent,
    CampaignStatus,
    Consent,
    ConsentGiven,
    ConsentWithdrawn,
    GiveConsent,
    Marketing,
    MemberStatus,
    SendCampaign,
    WithdrawConsent,
)
from tests.marketing.conftest import MANAGER, MEMBER, MONDAY, MakeCRM, campaign, kinds, people
from tests.threads import at_once

PROOF: dict[str, Any] = {"text": "Yes, write to me.", "evidence": {"form": "signup"}, "source": "website"}


def codes(error: CRMError) -> set[str]:
    return {detail.code for detail in error.details} or {error.code}


def reasons(s: Session, known: list[Contact], purpose: str = "news", **given: Any) -> list[str]:
    answers = list(s.use(Marketing).may_send([c.id for c in known], purpose, **given))
    assert [a.contact for a in answers] == [c.id for c in known]
    assert all(a.allowed == (a.reason == "marketing.send.allowed") for a in answers)
    return [a.reason.rpartition(".")[2] for a in answers]


def test_who_may_be_written_to_is_answered_for_each_with_the_reason(crm: CRM, clock: FixedClock) -> None:
    with crm.session(MEMBER) as s:
        anna, ben, cleo, dora = people(s, "Anna", "Ben", "Cleo", "Dora")
        for person in (anna, ben):
            s.use(Marketing).give_consent(person, "news", **PROOF)
        s.use(Marketing).give_consent(cleo, "surveys", **PROOF)
        clock.advance(timedelta(hours=1))
        s.use(Marketing).withdraw(ben, "news")
        assert reasons(s, [anna, ben, cleo, dora]) == ["allowed", "withdrawn", "no_consent", "no_consent"]
        assert reasons(s, [anna, cleo], "surveys") == ["no_consent", "allowed"]
        assert reasons(s, [anna], channel=Channel.CALL) == ["no_consent"]


def test_g17_one_who_withdraws_stops_alone_and_the_campaign_goes_on(crm: CRM, clock: FixedClock) -> None:
    with crm.session(MANAGER) as s:
        marketing, spring = s.use(Marketing), campaign(s, status=CampaignStatus.ACTIVE)
        known = people(s, "Anna", "Ben", "Cleo")
        for person in known:
            marketing.give_consent(person, "news", **PROOF)
        marketing.enrol(spring, known)
        first = marketing.send(spring, "news", size=1)
        assert [r.id for r in first.sent] == [known[0].id]
        clock.advance(timedelta(minutes=1))
        assert s.perform(WithdrawConsent(contact=known[1].ref)) == 1
        rest = s.perform(SendCampaign(campaign=spring.ref, purpose="news", after=first.after))
        assert ([r.id for r in rest.sent], rest.after) == ([known[2].id], None)
        assert [(a.contact, a.reason) for a in rest.refused] == [(known[1].id, "marketing.send.withdrawn")]
        assert spring.status is s.get(type(spring), spring.id).status is CampaignStatus.ACTIVE
        assert marketing.figures(spring).members[MemberStatus.SENT] == 2
        assert marketing.send(spring, "news").sent == (), "nobody is sent to twice"


def test_of_three_who_send_at_once_nobody_is_sent_to_twice(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        spring, known = campaign(s, status=CampaignStatus.ACTIVE), people(s, *(f"p{n}" for n in range(60)))
        s.create_many([Consent(contact=c.ref, purpose="news", given_at=MONDAY, **PROOF) for c in known])
        s.use(Marketing).enrol(spring, known)
    sent: list[str] = []

    def work(_: int) -> None:
        for _ in range(3):
            done = crm.transact(MANAGER, lambda s: s.use(Marketing).send(spring.ref, "news", size=10), retries=5)
            sent.extend(r.id for r in done.sent)

    at_once(work, range(3))
    assert sorted(sent) == sorted(c.id for c in known)


def test_a_large_list_is_answered_in_batches_in_its_order(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        known = people(s, *(f"p{n}" for n in range(1201)))
        s.create_many([Consent(contact=c.ref, purpose="news", given_at=MONDAY, **PROOF) for c in known[::2]])
        assert reasons(s, known) == ["allowed", "no_consent"] * 600 + ["allowed"]


def test_only_an_active_campaign_sends(crm: CRM) -> None:
    with crm.session(MANAGER) as s, pytest.raises(Refused) as e:
        s.use(Marketing).send(campaign(s), "news")
    assert codes(e.value) == {"marketing.not_active"}
    with crm.session(MEMBER) as s, pytest.raises(Denied):
        s.perform(SendCampaign(campaign=campaign_ref(crm), purpose="news"))


def campaign_ref(crm: CRM) -> Any:
    with crm.session(MANAGER) as s:
        return campaign(s, "active", status=CampaignStatus.ACTIVE).ref


@pytest.mark.parametrize("missing", ["purpose", "text", "evidence", "source"])
def test_a_consent_needs_its_proof(crm: CRM, missing: str) -> None:
    with crm.session(MEMBER) as s:
        (anna,) = people(s, "Anna")
        given = {"purpose": "news", **PROOF, missing: {} if missing == "evidence" else " "}
        with pytest.raises(Refused) as e, s.savepoint():
            s.use(Marketing).give_consent(anna, given.pop("purpose"), **given)
        assert codes(e.value) == {"marketing.consent_unproven"}


def test_what_was_agreed_to_never_changes(crm: CRM, clock: FixedClock) -> None:
    with crm.session(MEMBER) as s:
        (anna,) = people(s, "Anna")
        given = s.use(Marketing).give_consent(anna, "news", **PROOF)
        assert given.living
        for changes in ({"text": "other"}, {"purpose": "x"}, {"evidence": {"a": 1}}, {"given_at": MONDAY - timedelta(days=1)}):
            with pytest.raises(Refused) as e, s.savepoint():
                s.update(Consent, given.id, changes)
            assert codes(e.value) == {"marketing.consent_fixed"}
        with pytest.raises(Refused) as e, s.savepoint():
            s.update(Consent, given.id, {"withdrawn_at": MONDAY - timedelta(days=1)})
        assert codes(e.value) == {"marketing.withdrawn_before"}
        clock.advance(timedelta(days=1))
        s.use(Marketing).withdraw(anna)
        for instant in (None, clock.now() + timedelta(days=9)):
            with pytest.raises(Refused) as e, s.savepoint():
                s.update(Consent, given.id, {"withdrawn_at": instant})
            assert codes(e.value) == {"marketing.consent_fixed"}
        with pytest.raises(Denied), s.savepoint():
            s.delete(given)


def test_a_consent_can_be_given_again_and_withdrawn_again_and_all_of_it_is_kept(crm: CRM, clock: FixedClock) -> None:
    with crm.session(MEMBER) as s:
        (anna,) = people(s, "Anna")
        marketing = s.use(Marketing)
        first = s.perform(GiveConsent(contact=anna.ref, purpose="news", **PROOF))
        assert marketing.give_consent(anna, "news", **PROOF).id == first.id
        for _ in range(2):
            clock.advance(timedelta(days=1))
            assert marketing.withdraw(anna) == 1
            assert marketing.withdraw(anna) == 0
            assert not s.perform(AskConsent(contact=anna.ref, purpose="news")).allowed
            marketing.give_consent(anna, "news", **PROOF)
            assert s.perform(AskConsent(contact=anna.ref, purpose="news")).allowed
        assert s.query(Consent).count() == 3
    told = kinds(crm)
    assert told == ["marketing.consent_given.v1", *["marketing.consent_withdrawn.v1", "marketing.consent_given.v1"] * 2]
    assert {ConsentGiven.__event_name__, ConsentWithdrawn.__event_name__} == {k.removesuffix(".v1") for k in told}


def test_nothing_can_be_withdrawn_that_was_never_given(crm: CRM) -> None:
    with crm.session(MEMBER) as s:
        (anna,) = people(s, "Anna")
        with pytest.raises(Refused) as e:
            s.use(Marketing).withdraw(anna, "news")
    assert codes(e.value) == {"marketing.nothing_to_withdraw"}


def test_a_consent_that_begins_later_does_not_count_yet(crm: CRM, clock: FixedClock) -> None:
    with crm.session(MEMBER) as s:
        (anna,) = people(s, "Anna")
        s.create(Consent(contact=anna.ref, purpose="news", given_at=MONDAY + timedelta(hours=1), **PROOF))
        assert reasons(s, [anna]) == ["no_consent"]
        clock.advance(timedelta(hours=1))
        assert reasons(s, [anna]) == ["allowed"]


def test_of_four_forms_at_once_one_consent_is_in_force(crm: CRM) -> None:
    with crm.session(MEMBER) as s:
        (anna,) = people(s, "Anna")
    at_once(lambda _: crm.transact(MEMBER, lambda s: s.use(Marketing).give_consent(anna.ref, "news", **PROOF).id, retries=5), range(4))
    with crm.session(MEMBER) as s:
        assert s.query(Consent).count() == 1


def test_whom_the_actor_does_not_see_is_unknown(make_crm: MakeCRM) -> None:
    own = Role("own").allow(Contact, "read", "create", where=owner).allow(Consent, "read", "create")
    crm = make_crm(plugins=[plugin], roles=[own])
    with crm.session(MEMBER) as s:
        (anna,) = people(s, "Anna")
        s.use(Marketing).give_consent(anna, "news", **PROOF)
    with crm.session(Actor("7", roles={"own"})) as s:
        assert reasons(s, [anna]) == ["unknown"]
