"""Segments of what people did in the last days: a window that moves with the clock [C27]."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from crm_core import CRM, Channel, Contact, FixedClock, Invalid, Refused, Session
from crm_core.rules import F, everything, to_json
from crm_marketing.api import Behaviour, CampaignStatus, Marketing, MemberStatus, Refreshed, Segment, Touch
from crm_sales.api import LeadIntake, Sales
from tests.marketing.conftest import MANAGER, SYSTEM, campaign, people

ALL = to_json(everything)
OPENED = Behaviour("campaign", 30, where=F("status").in_(["opened", "responded"]))


def segment(s: Session, *behaviour: Behaviour, **given: Any) -> Segment:
    return s.create(Segment(**{"name": "Active", "rule": ALL, "behaviour": [b.to_json() for b in behaviour], **given}))


def names(s: Session, which: Segment) -> list[str]:
    return sorted(record.name for record in s.use(Marketing).inside(which).all())


def test_c27_who_opened_a_mail_in_the_last_30_days_enters_and_leaves_as_time_goes_by(crm: CRM, clock: FixedClock) -> None:
    with crm.session(MANAGER) as s:
        marketing, spring = s.use(Marketing), campaign(s, status=CampaignStatus.ACTIVE)
        anna, ben, _ = people(s, "Anna", "Ben", "Cleo")
        marketing.enrol(spring, [anna, ben])
        marketing.advance(spring, [anna, ben], MemberStatus.SENT)
        active = segment(s, OPENED)
        assert marketing.refresh(active) == Refreshed(0, 0), "to be written to is not to read"
        marketing.advance(spring, [anna], MemberStatus.OPENED)
        assert marketing.refresh(active) == Refreshed(1, 0)
        clock.advance(timedelta(days=20))
        marketing.advance(spring, [ben], MemberStatus.OPENED)
        assert marketing.refresh(active) == Refreshed(1, 0)
        assert names(s, active) == ["Anna", "Ben"]
        clock.advance(timedelta(days=10))
        assert marketing.refresh(active) == Refreshed(0, 1), "30 days of 24 hours, to the second"
        assert names(s, active) == ["Ben"]


def test_c27_behaviour_counts_and_is_the_same_as_counting_by_hand(crm: CRM, clock: FixedClock) -> None:
    chance = crm.runtime.random
    with crm.session(SYSTEM) as s:
        known = people(s, *(f"p{n:02}" for n in range(30)))
        start = clock.now()
        visits = []
        for person in known:
            at = start
            for _ in range(chance.randrange(6)):
                at += timedelta(days=chance.randrange(15), seconds=chance.randrange(3600))
                visits.append(Touch(contact=person.ref, at=at, channel=chance.choice([Channel.WEB, Channel.EMAIL])))
        s.create_many(visits)
        clock.advance(timedelta(days=40))
        now = clock.now()
        for days, least in ((10, 1), (30, 2), (60, 3)):
            counted = Counter(
                v.contact.id for v in visits if v.contact and v.channel is Channel.WEB and now - timedelta(days=days) < v.at <= now
            )
            wanted = {person for person, n in counted.items() if n >= least}
            rule = F("channel") == Channel.WEB
            for never in (False, True):
                behaviour = Behaviour("touch", days, where=rule, least=least, never=never)
                expected = len(known) - len(wanted) if never else len(wanted)
                assert s.use(Marketing).preview("contact", ALL, [behaviour.to_json()]) == expected
            assert 0 < len(wanted) < len(known)


def test_c27_rule_and_each_behaviour_must_hold(crm: CRM) -> None:
    with crm.session(MANAGER) as s:
        marketing = s.use(Marketing)
        anna, ben, cleo = people(s, "Anna", "Ben", "Cleo")
        s.update(Contact, cleo.id, {"title": "CEO"})
        for person in (ben, cleo):
            marketing.touch(person, {}, channel=Channel.WEB)
        marketing.touch(anna, {}, channel=Channel.CALL)
        web, call = (Behaviour("touch", 7, where=F("channel") == c) for c in (Channel.WEB, Channel.CALL))
        assert marketing.preview("contact", ALL, [web.to_json()]) == 2
        assert marketing.preview("contact", ALL, [web.to_json(), call.to_json()]) == 0
        assert marketing.preview("contact", to_json(F("title") == "CEO"), [web.to_json()]) == 1


def test_c27_leads_have_behaviour_too_and_accounts_have_none(both: CRM, clock: FixedClock) -> None:
    with both.session(SYSTEM) as s:
        for name in ("Anna", "Ben"):
            s.use(Sales).intake(LeadIntake(name=name, email=f"{name}@foo.io"))
            clock.advance(timedelta(days=5))
        recent = segment(s, Behaviour("touch", 7), entity="sales.lead")
        assert s.use(Marketing).refresh(recent) == Refreshed(1, 0)
        assert names(s, recent) == ["Ben"]
        with pytest.raises(Refused) as e, s.savepoint():
            segment(s, Behaviour("touch", 7), entity="account", name="No people")
        assert [d.code for d in e.value.details] == ["marketing.bad_rule"]


@pytest.mark.parametrize(
    "data",
    [
        "touch",
        {},
        {"of": "touch"},
        {"of": "mail", "days": 1},
        {"of": "touch", "days": 0},
        {"of": "touch", "days": True},
        {"of": "touch", "days": 10**9},
        {"of": "touch", "days": 3, "least": 0},
        {"of": "touch", "days": 3, "never": 1},
        {"of": "touch", "days": 3, "sql": "1=1"},
        {"of": ["touch"], "days": 3},
        {"of": "touch", "days": 3, "where": {"op": "eval"}},
        {"of": "touch", "days": 3, "where": to_json(F("colour") == "red")},
    ],
)
def test_c27_behaviour_that_cannot_be_asked_is_refused_and_nothing_is_kept(crm: CRM, data: Any) -> None:
    with crm.session(MANAGER) as s:
        with pytest.raises(Refused) as e, s.savepoint():
            s.create(Segment(name="x", rule=ALL, behaviour=[data]))
        assert [d.code for d in e.value.details] == ["marketing.bad_rule"]
        with pytest.raises(Invalid):
            s.use(Marketing).preview("contact", ALL, [data])
        assert s.query(Segment).count() == 0


def test_c27_behaviour_says_of_what_it_is_made(crm: CRM) -> None:
    with crm.session(MANAGER) as s, pytest.raises(Invalid) as asked:
        s.use(Marketing).preview("contact", ALL, [{"days": 3}])
    assert asked.value.code == "marketing.bad_behaviour"


def test_behaviour_is_the_same_after_json() -> None:
    for behaviour in (OPENED, Behaviour("touch", 7, least=3, never=True)):
        assert Behaviour.from_json(behaviour.to_json()) == behaviour
