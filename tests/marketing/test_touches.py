"""Touches: frozen from the first one on, also through the intake of sales; and what won deals brought [C34, C25]."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from crm_core import (
    CRM,
    Actor,
    Channel,
    CRMError,
    Denied,
    FixedClock,
    Invalid,
    Link,
    Money,
    NotFound,
    Plugin,
    Refused,
    Role,
    Runtime,
)
from crm_marketing import plugin
from crm_marketing.api import AttributionModel as Model
from crm_marketing.api import Campaign, CampaignCost, Marketing, MemberStatus, Touch, Won, same_people, won_revenue
from crm_sales import plugin as sales
from crm_sales.api import IntakeCtx, Lead, LeadIntake, Opportunity, Sales, TakenIn, after_intake
from tests.marketing.conftest import MANAGER, MEMBER, MONDAY, SYSTEM, MakeCRM, campaign, eur, people
from tests.threads import at_once

LINK = {"utm_campaign": "spring", "utm_source": "google", "utm_medium": "cpc", "utm_term": "crm", "utm_content": "b", "gclid": "Cj0K"}
SELLER = Actor("1", roles={"marketing.manager", "sales.manager"})
ANNA = LeadIntake(name="Anna", email="anna@foo.io", source="web", utm=LINK)
DAY = date(2026, 3, 2)


def codes(error: CRMError) -> set[str]:
    return {detail.code for detail in error.details} or {error.code}


def test_c34_a_touch_keeps_where_somebody_came_from(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        spring, (anna,) = campaign(s, code="spring"), people(s, "Anna")
        touch = s.use(Marketing).touch(anna, LINK, channel=Channel.WEB)
        assert (touch.source, touch.medium, touch.term, touch.content, touch.click_id) == ("google", "cpc", "crm", "b", "Cj0K")
        assert (touch.campaign, touch.at, touch.first_of) == (spring.ref, MONDAY, anna.id)
        other = s.use(Marketing).touch(anna, {"source": "fair", "UTM_MEDIUM": "", "fbclid": "f"}, campaign=spring, channel=Channel.VISIT)
        assert (other.source, other.medium, other.click_id, other.first_of) == ("fair", None, "f", None)
        assert [t.id for t in s.use(Marketing).touches(anna)] == [touch.id, other.id]


def test_c34_the_first_touch_is_frozen(crm: CRM, clock: FixedClock) -> None:
    with crm.session(MANAGER) as s:
        (anna,) = people(s, "Anna")
        first = s.use(Marketing).touch(anna, LINK)
        with pytest.raises(CRMError), s.savepoint():
            s.update(Touch, first.id, {"source": "other"})
        with pytest.raises(CRMError), s.savepoint():
            s.delete(first)
        with pytest.raises(Refused) as e, s.savepoint():
            s.use(Marketing).touch(anna, {}, at=MONDAY - timedelta(seconds=1))
        assert codes(e.value) == {"marketing.before_first_touch"}
        assert (s.get(Touch, first.id).source, s.query(Touch).count()) == ("google", 1)


def test_c34_of_a_batch_the_earliest_touch_is_the_first(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        anna, ben = people(s, "Anna", "Ben")
        when = [(anna, 5), (anna, 2), (ben, 1), (anna, 9)]
        made = s.create_many([Touch(contact=who.ref, at=MONDAY + timedelta(days=n)) for who, n in when]).ok
        assert [t.first_of for t in made] == [None, anna.id, ben.id, None]


def test_c34_of_four_first_touches_at_once_one_is_the_first(crm: CRM) -> None:
    with crm.session(MEMBER) as s:
        (anna,) = people(s, "Anna")
    at_once(lambda _: crm.transact(MEMBER, lambda s: s.use(Marketing).touch(anna.ref, LINK).id, retries=5), range(4))
    with crm.session(MEMBER) as s:
        assert sorted(t.first_of is not None for t in s.use(Marketing).touches(anna)) == [False, False, False, True]


def test_c34_touches_are_of_people_the_actor_sees(make_crm: MakeCRM) -> None:
    crm = make_crm(plugins=[plugin], roles=[Role("blind").allow(Touch, "read").allow(Campaign, "read")])
    with crm.session(MANAGER) as s:
        spring, (anna,) = campaign(s), people(s, "Anna")
        s.use(Marketing).touch(anna, {}, campaign=spring)
        assert s.use(Marketing).figures(spring).leads == 1
        for link in (Link("account", anna.id), spring.ref):
            with pytest.raises(Invalid):
                s.use(Marketing).touch(link, {})
        with pytest.raises(Refused):
            s.use(Marketing).touch(Link("sales.lead", anna.id), {})
    with crm.session(Actor("7", roles={"blind"})) as s:
        assert s.use(Marketing).touches(anna) == []
        assert s.use(Marketing).figures(spring).leads == 0
        with pytest.raises(Denied):
            s.use(Marketing).touch(anna, {})


# Beside sales


def test_c34_each_intake_keeps_its_touch_in_its_own_transaction(both: CRM, clock: FixedClock) -> None:
    with both.session(SELLER) as s:
        spring = campaign(s, code="spring")
        lead = s.use(Sales).intake(ANNA, key="1").lead
        assert lead is not None
        s.use(Sales).intake(ANNA, key="1")
        clock.advance(timedelta(days=3))
        s.use(Sales).intake(LeadIntake(name="Anna", email="anna@foo.io", source="fair", channel=Channel.VISIT))
        first, second = s.use(Marketing).touches(lead)
        assert (first.campaign, first.source, first.click_id, first.first_of) == (spring.ref, "google", "Cj0K", lead.id)
        assert (first.at, first.created_by, first.channel) == (lead.created_at, "plugin:marketing.first_touch", Channel.WEB)
        assert (second.source, second.campaign, second.channel, second.first_of) == ("fair", None, Channel.VISIT, None)
        tried: list[dict[str, Any]] = [{"source": "fair"}, {"utm": {}}]
        for changes in tried:
            with pytest.raises(Refused) as e, s.savepoint():
                s.update(Lead, lead.id, changes)
            assert codes(e.value) == {"sales.first_touch"}
    with pytest.raises(KeyboardInterrupt), both.session(SELLER) as s:
        s.use(Sales).intake(LeadIntake(name="Ben", email="ben@foo.io"))
        raise KeyboardInterrupt
    with both.session(SYSTEM) as s:
        assert (s.query(Lead).count(), s.query(Touch).count()) == (1, 2)


def test_c34_somebody_who_takes_leads_in_need_know_nothing_of_marketing(both: CRM) -> None:
    with both.session(Actor("3", roles={"sales.rep"})) as s:
        lead = s.use(Sales).intake(ANNA).lead
        assert not s.can("read", Touch)
    with both.session(SELLER) as s:
        assert lead is not None
        assert len(s.use(Marketing).touches(lead)) == 1


def test_sales_tells_after_an_intake_who_was_taken_in(make_crm: MakeCRM) -> None:
    told: list[tuple[str, bool, str | None]] = []
    grader = Plugin("grader", version="1.0.0", requires={"sales": ">=1"})

    @grader.hook(after_intake)
    def grade(ctx: IntakeCtx, taken: list[TakenIn]) -> None:
        told.extend((t.lead.name, t.created, t.given.source) for t in taken)

    crm = make_crm(plugins=[sales, grader])
    with crm.session(Actor("3", roles={"sales.rep"})) as s:
        for key in ("1", "1", "2"):
            s.use(Sales).intake(ANNA, key=key)
    assert told == [("Anna", True, "web"), ("Anna", False, "web")]


def test_c25_leads_are_members_of_campaigns_for_those_who_see_them(both: CRM) -> None:
    with both.session(SELLER) as s:
        lead = s.use(Sales).intake(ANNA).lead
        assert lead is not None
        spring = campaign(s)
        assert s.use(Marketing).enrol(spring, [lead, Link.to(lead)]) == 1
        assert s.use(Marketing).advance(spring, [lead], MemberStatus.RESPONDED) == 1
        assert s.use(Marketing).figures(spring).members[MemberStatus.RESPONDED] == 1
        for nobody in (spring.id, "nonsense", "x" * 36):
            with pytest.raises(CRMError), s.savepoint():
                s.use(Marketing).enrol(spring, [Link("sales.lead", nobody)])
    with both.session(MANAGER) as s:
        assert s.use(Marketing).figures(spring).total == 0
        with pytest.raises(Refused) as e:
            s.use(Marketing).touch(lead, {})
        assert codes(e.value) == {"marketing.unknown_lead"}


def sell(both: CRM, clock: FixedClock) -> tuple[Campaign, Campaign, Opportunity]:
    """Touch Anna on day 0 (spring), 5 and 12 (fair), 30 (no campaign), win 12,000 on day 38 after a last touch (spring)."""
    with both.session(SELLER) as s:
        spring, fair = campaign(s, code="spring"), campaign(s, "Fair", code="fair")
        s.create(CampaignCost(campaign=spring.ref, day=DAY, amount=eur(1500)))
        lead = s.use(Sales).intake(ANNA).lead
        assert lead is not None
        day = 0
        for later, code in ((5, "fair"), (12, "fair"), (30, "")):
            clock.advance(timedelta(days=later - day))
            day = later
            s.use(Sales).intake(LeadIntake(name="Anna", email="anna@foo.io", utm={"campaign": code} if code else {}))
        made = s.use(Sales).convert(lead, amount=eur(12000))
        clock.advance(timedelta(days=8))
        s.use(Marketing).touch(made.contact, LINK)
        won = s.use(Sales).win(made.opportunity, reason="price")
        clock.advance(timedelta(days=1))
        s.use(Marketing).touch(made.contact, LINK)  # after it was won: no part in it
    return spring, fair, won


@pytest.mark.parametrize(
    ("model", "credits", "spring", "fair"),
    [
        (Model.FIRST, ["12000.00", "0.00", "0.00", "0.00", "0.00"], "12000.00", "0.00"),
        (Model.LAST, ["0.00", "0.00", "0.00", "0.00", "12000.00"], "12000.00", "0.00"),
        (Model.LINEAR, ["2400.00"] * 5, "4800.00", "4800.00"),
        (Model.U_SHAPED, ["4800.00", "800.00", "800.00", "800.00", "4800.00"], "9600.00", "1600.00"),
        # The first touch made the lead, and the one of day 30 the deal: 60 and 30, 10 for the others.
        (Model.W_SHAPED, ["7200.00", "400.00", "400.00", "3600.00", "400.00"], "7600.00", "800.00"),
        (Model.TIME_DECAY, ["175.19", "287.44", "574.88", "3417.04", "7545.45"], "7720.64", "862.32"),
    ],
    ids=lambda given: given.value if isinstance(given, Model) else "",
)
def test_c34_c25_a_won_deal_is_shared_to_the_cent_and_each_campaign_gets_its_part(
    both: CRM, clock: FixedClock, model: Model, credits: list[str], spring: str, fair: str
) -> None:
    first, second, deal = sell(both, clock)
    with both.session(SELLER, write=False) as s:
        shared = s.use(Marketing).attribute(deal, model)
        assert [str(c.amount.amount) for c in shared.credits] == credits
        assert Money.sum([c.amount for c in shared.credits], "EUR") == deal.amount
        assert [c.campaign for c in shared.credits] == [first.ref, second.ref, second.ref, None, first.ref]
        roi, other = s.use(Marketing).roi(first, model), s.use(Marketing).roi(second, model)
        assert (str(roi.revenue.amount), roi.cost, roi.model) == (spring, eur(1500), model)
        assert roi.ratio == ((Decimal(spring) - 1500) / 1500).quantize(Decimal("0.0001"))
        assert (str(other.revenue.amount), other.ratio) == (fair, None), "nothing was spent on it"
        assert (roi.deals, other.deals) == (1, int(other.revenue.amount > 0))


def test_c34_what_a_contact_was_touched_by_as_a_lead_counts_for_their_later_deals_too(both: CRM, clock: FixedClock) -> None:
    spring, _, deal = sell(both, clock)
    assert deal.contact is not None
    with both.session(SELLER) as s:
        assert len(s.use(Marketing).touches(deal.contact)) == 6
        again = s.create(Opportunity(name="more", contact=deal.contact, amount=eur(100)))
        s.use(Sales).win(again, reason="price")
        assert s.use(Marketing).attribute(again, Model.FIRST).credits[0].campaign == spring.ref
        assert (s.use(Marketing).roi(spring, Model.FIRST).revenue, s.use(Marketing).roi(spring, Model.FIRST).deals) == (eur(12100), 2)
    with both.session(MANAGER) as s:
        assert len(s.use(Marketing).touches(deal.contact)) == 2, "who does not see the lead does not see what touched it"
    assert same_people.name == "marketing.same_people"


def test_c25_a_parent_campaign_earns_what_those_below_it_earn(both: CRM, clock: FixedClock) -> None:
    first, second, _ = sell(both, clock)
    with both.session(SELLER) as s:
        year = campaign(s, "2026")
        for each in (first, second):
            s.update(Campaign, each.id, {"parent": year.id})
        roi = s.use(Marketing).roi(year, Model.LINEAR)
        assert (roi.revenue, roi.cost, roi.deals, str(roi.ratio)) == (eur(9600), eur(1500), 1, "5.4000")


def test_c34_the_half_life_is_a_setting(make_crm: MakeCRM, clock: FixedClock) -> None:
    both = make_crm(plugins=[plugin.configured(half_life_days=1), sales], runtime=Runtime.seeded(1, clock=clock))
    _, _, deal = sell(both, clock)
    with both.session(SELLER, write=False) as s:
        *_, day30, day38 = s.use(Marketing).attribute(deal, Model.TIME_DECAY).credits
        assert (day30.amount, day38.amount) == (eur("46.69"), eur("11953.31"))


def test_c34_deals_that_the_actor_does_not_see_bring_nothing(both: CRM, clock: FixedClock) -> None:
    spring, _, deal = sell(both, clock)
    with both.session(MANAGER) as s:
        assert s.use(Marketing).roi(spring, Model.FIRST).revenue == eur(0)
        with pytest.raises(NotFound):
            s.use(Marketing).attribute(deal, Model.FIRST)


def test_c34_a_deal_without_touches_or_not_won_or_in_other_money(both: CRM, clock: FixedClock) -> None:
    with both.session(SELLER) as s:
        spring, (anna, ben) = campaign(s), people(s, "Anna", "Ben")
        deals = [
            s.create(Opportunity(name=c.name, contact=c.ref, amount=m)) for c, m in ((anna, eur(5)), (ben, Money(5, "USD")), (ben, eur(7)))
        ]
        s.use(Marketing).touch(ben, {}, campaign=spring)
        for deal in deals[:2]:
            s.use(Sales).win(deal, reason="price")
        assert s.use(Marketing).attribute(deals[0], Model.LINEAR).credits == ()
        with pytest.raises(NotFound):
            s.use(Marketing).attribute(deals[2], Model.LINEAR)
        assert s.use(Marketing).roi(spring, Model.LINEAR).revenue == eur(0), "dollars are not euros, and open is not won"


def test_c34_where_deals_are_kept_elsewhere_a_hook_says_what_was_won(make_crm: MakeCRM, clock: FixedClock) -> None:
    till = Plugin("till", version="1.0.0", requires={"marketing": ">=1"})
    make: Callable[[Link], Won] = lambda person: Won(Link("till.receipt", "1"), eur(30), clock.now(), (person,))  # noqa: E731

    @till.hook(won_revenue)
    def receipts(ctx: object, records: object) -> list[Won]:
        assert isinstance(records, list | tuple)
        return [make(r) for r in records if r.entity == "contact"]

    crm = make_crm(plugins=[plugin, till], runtime=Runtime.seeded(1, clock=clock))
    with crm.session(MANAGER) as s:
        spring, (anna,) = campaign(s), people(s, "Anna")
        s.use(Marketing).touch(anna, {}, campaign=spring)
        roi = s.use(Marketing).roi(spring, Model.FIRST)
        assert (roi.revenue, roi.deals) == (eur(30), 1)


@pytest.mark.alone
def test_c68_each_module_works_without_the_other(make_crm: MakeCRM) -> None:
    for plugins, names in (([plugin], ["core", "marketing"]), ([sales], ["core", "sales"])):
        assert [p.name for p in make_crm(plugins=plugins).registry.plugins] == names
    both = make_crm(plugins=[plugin, sales])
    assert [p.name for p in both.registry.plugins] == ["core", "marketing", "sales", "marketing.first_touch"]
    both.migrations.check()
    with make_crm(plugins=[plugin]).session(MANAGER) as s, pytest.raises(NotFound):
        s.use(Marketing).attribute(Link("sales.opportunity", campaign(s).id), Model.FIRST)
