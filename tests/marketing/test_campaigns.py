"""Campaigns: a tree in one currency, members with their steps, and the numbers through the lens [C25]."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from crm_core import CRM, Actor, Channel, Conflict, Contact, CRMError, Denied, FixedClock, Invalid, Link, Money, Refused, Role, owner
from crm_marketing import plugin
from crm_marketing.api import (
    Campaign,
    CampaignCost,
    CampaignMember,
    CampaignStatus,
    EnrolSegment,
    Marketing,
    MemberStatus,
    Segment,
    SegmentKind,
)
from tests.marketing.conftest import MANAGER, MEMBER, MONDAY, SYSTEM, MakeCRM, campaign, eur, people
from tests.threads import at_once

DAY = date(2026, 3, 2)


def codes(error: CRMError) -> set[str]:
    return {detail.code for detail in error.details} or {error.code}


def test_c25_figures_take_in_the_campaigns_below(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        marketing = s.use(Marketing)
        year = campaign(s, "2026", budget=eur(1000), expected_revenue=eur(9000))
        spring = campaign(s, "Spring", parent=year.ref, budget=eur(500))
        mail = campaign(s, "Mail", parent=spring.ref)
        for each, amount in ((year, 100), (spring, 200), (mail, 60), (mail, -10)):
            s.create(CampaignCost(campaign=each.ref, day=DAY, amount=eur(amount)))
        known = people(s, *"abcdefg")
        assert [marketing.enrol(spring, known[:4]), marketing.enrol(mail, known[2:])] == [4, 5]
        marketing.advance(mail, known[2:5], MemberStatus.RESPONDED)
        marketing.advance(mail, known[2:3], MemberStatus.CONVERTED)
        marketing.touch(known[0], {}, campaign=mail)
        figures = marketing.figures(year)
        assert (figures.total, figures.members[MemberStatus.PLANNED], figures.members[MemberStatus.RESPONDED]) == (9, 6, 2)
        assert (figures.reached(MemberStatus.RESPONDED), figures.percent(MemberStatus.RESPONDED)) == (3, Decimal("33.33"))
        assert (figures.budget, figures.expected_revenue, figures.cost, figures.left) == (eur(1500), eur(9000), eur(350), eur(1150))
        assert (figures.cost_per_lead, figures.cost_per_response, figures.cost_per_order) == (eur(350), eur("116.67"), eur(350))
        assert (marketing.figures(mail).total, marketing.figures(mail).cost) == (5, eur(50))


def test_c25_the_channel_mix_sums_to_the_whole(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        marketing = s.use(Marketing)
        year, known = campaign(s, "2026", channel=Channel.WEB), people(s, *"abcdef")
        for name, channel, amount, members in (("a", Channel.EMAIL, 10, 1), ("b", Channel.CALL, 20, 2), ("c", Channel.EMAIL, 40, 3)):
            each = campaign(s, name, channel=channel, parent=year.ref)
            s.create(CampaignCost(campaign=each.ref, day=DAY, amount=eur(amount)))
            marketing.enrol(each, known[:members])
        mix = marketing.channel_mix(year)
        assert {c: (f.total, f.cost) for c, f in mix.items()} == {
            Channel.EMAIL: (4, eur(50)), Channel.CALL: (2, eur(20)), Channel.WEB: (0, eur(0)),
        }  # fmt: skip
        whole = marketing.figures(year)
        assert (sum(f.total for f in mix.values()), Money.sum([f.cost for f in mix.values()], "EUR")) == (whole.total, whole.cost)


def test_c25_a_campaign_without_people_has_no_cost_for_each(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        figures = s.use(Marketing).figures(campaign(s))
        assert (figures.cost, figures.total, figures.percent(MemberStatus.SENT)) == (eur(0), 0, None)
        assert (figures.cost_per_lead, figures.cost_per_response, figures.cost_per_order) == (None, None, None)


def test_c25_all_money_of_a_campaign_is_in_one_currency(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        first = campaign(s, "dollars", budget=Money(5, "USD"))
        below = campaign(s, "below", parent=first.ref)
        assert (first.currency, below.currency, campaign(s, "none").currency) == ("USD", "USD", "EUR")
        wrong = [
            Campaign(name="x", currency="USD", budget=eur(1)),
            Campaign(name="x", currency="USD", expected_revenue=eur(1)),
            Campaign(name="x", parent=first.ref, currency="EUR"),
            CampaignCost(campaign=first.ref, day=DAY, amount=eur(1)),
        ]
        for record in wrong:
            with pytest.raises(Refused) as e, s.savepoint():
                s.create(record)
            assert codes(e.value) == {"marketing.other_currency"}
        with pytest.raises(Refused) as e, s.savepoint():
            s.update(Campaign, first.id, {"currency": "EUR", "budget": None})
        assert codes(e.value) == {"marketing.currency_fixed"}


def test_c25_the_currency_of_campaigns_is_a_setting(make_crm: MakeCRM) -> None:
    crm = make_crm(plugins=[plugin.configured(currency="CNY")])
    with crm.session(MANAGER) as s:
        assert campaign(s).currency == "CNY"


def test_c25_a_campaign_does_not_end_before_it_begins_nor_stand_below_itself(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        with pytest.raises(Refused) as refused, s.savepoint():
            campaign(s, starts_on=DAY, ends_on=DAY - timedelta(days=1))
        assert codes(refused.value) == {"marketing.bad_period"}
        campaign(s, "one day", starts_on=DAY, ends_on=DAY)
        above = campaign(s, "above")
        below = campaign(s, "below", parent=above.ref)
        with pytest.raises(Invalid) as e, s.savepoint():
            s.update(Campaign, above.id, {"parent": below.id})
        assert codes(e.value) == {"cyclic_reference"}


def test_c25_everybody_is_in_a_campaign_once(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        spring, (anna, ben) = campaign(s), people(s, "Anna", "Ben")
        assert s.use(Marketing).enrol(spring, [anna, anna, Link.to(anna), anna.ref]) == 1
        assert s.use(Marketing).enrol(spring, [anna, ben]) == 1
        with pytest.raises(Conflict), s.savepoint():
            s.create(CampaignMember(campaign=spring.ref, contact=ben.ref))
        assert s.use(Marketing).enrol(campaign(s, "other"), [anna]) == 1


def test_c25_of_four_who_enrol_at_once_each_person_is_in_once(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        spring, known = campaign(s), people(s, *(f"p{n}" for n in range(40)))
    added = at_once(lambda _: crm.transact(MANAGER, lambda s: s.use(Marketing).enrol(spring.ref, known), retries=5), range(4))
    assert sum(added) == 40
    with crm.session(MANAGER) as s:
        assert s.use(Marketing).members(spring).count() == 40


def test_c25_a_step_never_leads_back_and_is_dated(crm: CRM, clock: FixedClock) -> None:
    with crm.session(MEMBER) as s:
        known = people(s, "Anna")
    with crm.session(MANAGER) as s:
        spring = campaign(s)
        s.use(Marketing).enrol(spring, known)
        clock.advance(timedelta(hours=1))
        assert s.use(Marketing).advance(spring, known, MemberStatus.RESPONDED) == 1
        clock.advance(timedelta(hours=1))
        assert s.use(Marketing).advance(spring, known, MemberStatus.OPENED) == 0
        (member,) = s.use(Marketing).members(spring).all()
        assert (member.status, member.status_at) == (MemberStatus.RESPONDED, MONDAY + timedelta(hours=1))


def test_c25_a_member_is_one_person_and_stays_that_person(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        spring, (anna, ben) = campaign(s), people(s, "Anna", "Ben")
        for member in (CampaignMember(campaign=spring.ref), CampaignMember(campaign=spring.ref, contact=anna.ref, lead=ben.id)):
            with pytest.raises(Refused) as e, s.savepoint():
                s.create(member)
            assert codes(e.value) == {"marketing.one_person"}
        with pytest.raises(Refused) as e, s.savepoint():
            s.create(CampaignMember(campaign=spring.ref, lead=ben.id))
        assert codes(e.value) == {"marketing.unknown_lead"}, "without sales there are no leads"
        with pytest.raises(Invalid) as invalid, s.savepoint():
            s.use(Marketing).enrol(spring, [Link("account", anna.id)])
        assert codes(invalid.value) == {"marketing.not_a_person"}
        member = s.create(CampaignMember(campaign=spring.ref, contact=anna.ref))
        with pytest.raises(Refused) as e, s.savepoint():
            s.update(CampaignMember, member.id, {"contact": ben.id})
        assert codes(e.value) == {"marketing.member_fixed"}


def test_c25_the_people_of_a_segment_become_members(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        spring, known = campaign(s), people(s, "Anna", "Ben")
        segment = s.create(Segment(name="friends", kind=SegmentKind.STATIC))
        s.use(Marketing).add(segment, known)
        assert s.perform(EnrolSegment(campaign=spring.ref, segment=segment.id)) == 2
        assert s.use(Marketing).enrol(spring, segment) == 0
    with crm.session(MEMBER) as s, pytest.raises(Denied):
        s.perform(EnrolSegment(campaign=spring.ref, segment=segment.id))


BLIND = Role("blind").allow(Campaign, "read").allow(CampaignMember, "read").allow(CampaignCost, "read")
OWN = Role("own", extends=["blind"]).allow(Contact, "read", where=owner)


def test_c25_who_may_not_see_contacts_sees_no_members(make_crm: MakeCRM) -> None:
    crm = make_crm(plugins=[plugin], roles=[BLIND, OWN])
    with crm.session(MANAGER) as s:
        spring = campaign(s)
        known = [*people(s, "Anna", "Ben", owner="7"), *people(s, "Cleo", owner="8")]
        s.use(Marketing).enrol(spring, known)
    for roles, expected in (({"blind"}, 0), ({"own"}, 2)):
        with crm.session(Actor("7", roles=roles)) as s:
            assert s.use(Marketing).members(spring).count() == expected
            assert s.use(Marketing).figures(spring).total == expected


def test_c25_a_member_of_marketing_does_not_make_campaigns(crm: CRM) -> None:
    with crm.session(MEMBER) as s, pytest.raises(Denied), s.savepoint():
        campaign(s)
    with crm.session(Actor("9")) as s, pytest.raises(CRMError):
        s.use(Marketing).figures(campaign_of(crm))


def campaign_of(crm: CRM) -> Campaign:
    with crm.session(SYSTEM) as s:
        return campaign(s, status=CampaignStatus.ACTIVE)
