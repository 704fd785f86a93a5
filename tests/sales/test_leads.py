"""Leads: one intake, whichever way they come [C10], and whose they are [C12]."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crm_core import (
    CRM,
    Account,
    Actor,
    Contact,
    CRMError,
    Denied,
    Email,
    Interaction,
    Invalid,
    Phone,
    Refused,
    Session,
)
from crm_core.testing.state import state_hash
from crm_sales.api import Claim, IntakeResult, Lead, LeadIntake, LeadStatus, Release, Sales, TakeIn
from tests.sales.desk import BOSS, MANAGER, at_once, journal, rep

ANNA = LeadIntake(name="Anna", company="Foo", email="Anna@Foo.io", source="web", utm={"campaign": "spring"}, message="call me")


def take_in(crm: CRM, given: LeadIntake = ANNA, *, key: str | None = None, actor: Actor = BOSS) -> IntakeResult:
    with crm.session(actor) as s:
        return s.use(Sales).intake(given, key=key)


def test_an_intake_validates_assigns_and_keeps_the_touch_in_one_transaction(crm: CRM) -> None:
    """[C10]"""
    result = take_in(crm)
    assert result.created
    assert result.lead is not None
    assert (result.lead.owner, result.lead.emails[0].address, result.lead.source) == ("A", "anna@foo.io", "web")
    with crm.session(BOSS) as s:
        (touch,) = s.query(Interaction).where(Interaction.links.has(result.lead.id)).all()
        assert (touch.body, touch.owner) == ("call me", "A")


def test_leads_go_round_the_pool_without_the_inactive_and_the_absent(crm: CRM) -> None:
    """[C12, G22] A, D, A, D, each in a transaction of its own."""
    leads = [take_in(crm, LeadIntake(name=f"L{n}", email=f"l{n}@x.io")).lead for n in range(4)]
    assert [lead.owner for lead in leads if lead] == ["A", "D", "A", "D"]


def test_turns_are_fair_when_many_come_at_once(crm: CRM) -> None:
    """[C12, G22] Ten intakes at a time: five for A, five for D."""
    names = iter(range(10))
    results = at_once(crm, lambda s: s.use(Sales).intake(LeadIntake(name="L", email=f"l{next(names)}@x.io")), times=10)
    assert sorted(r.lead.owner or "" for r in results if r.lead) == ["A"] * 5 + ["D"] * 5


def test_a_batch_takes_turns_too(crm: CRM) -> None:
    """[C12, G22] An import is the same intake."""
    with crm.session(BOSS) as s:
        leads = s.create_many(Lead(name=f"L{n}", emails=[Email(f"l{n}@x.io")]) for n in range(5)).ok
    assert [lead.owner for lead in leads] == ["A", "D", "A", "D", "A"]


def test_whoever_makes_a_lead_by_hand_keeps_it(crm: CRM) -> None:
    with crm.session(rep("D")) as s:
        assert s.create(Lead(name="Joe")).owner == "D"


def test_the_same_person_is_one_live_lead_with_a_touch_each_time(crm: CRM) -> None:
    """[C10] By e-mail in any case, or by phone."""
    first = take_in(crm, LeadIntake(name="Anna", email="anna@foo.io", phone="+49 30 1234"))
    by_mail = take_in(crm, LeadIntake(name="A.", email="ANNA@FOO.IO", message="again"))
    by_phone = take_in(crm, LeadIntake(name="A.", phone="+49 30 1234"))
    assert first.lead is not None
    assert [r.created for r in (first, by_mail, by_phone)] == [True, False, False]
    assert {r.lead.id for r in (first, by_mail, by_phone) if r.lead} == {first.lead.id}
    with crm.session(BOSS) as s:
        assert s.query(Interaction).where(Interaction.links.has(first.lead.id)).count() == 3


def test_a_key_is_done_once(crm: CRM) -> None:
    """[C10] The same key makes one lead and one touch, also when the first touch found a lead that was there."""
    results = [take_in(crm, key="form-17") for _ in range(3)]
    assert [r.created for r in results] == [True, False, False]
    assert len({r.lead.id for r in results if r.lead}) == 1
    with crm.session(BOSS) as s:
        assert (s.query(Lead).count(), s.query(Interaction).count()) == (1, 1)


@pytest.mark.parametrize("key", [None, "form-17"], ids=["without a key", "with one key"])
def test_the_same_person_at_once_is_one_lead(crm: CRM, key: str | None) -> None:
    """[C10] Eight intakes at a time."""
    results = at_once(crm, lambda s: s.use(Sales).intake(ANNA, key=key), times=8)
    assert sum(r.created for r in results) == 1
    assert len({r.lead.id for r in results if r.lead}) == 1
    with crm.session(BOSS) as s:
        assert s.query(Lead).count() == 1
        assert s.query(Interaction).count() == (1 if key else 8)


Door = Callable[[Session, Lead], object]
DOORS: dict[str, Door] = {
    "create": lambda s, lead: s.create(lead),
    "create_many": lambda s, lead: s.create_many([lead]),
    "upsert": lambda s, lead: s.upsert(lead, on="external_ref"),
}


@pytest.mark.parametrize("door", DOORS)
def test_no_way_of_writing_makes_a_second_live_lead_of_a_person(crm: CRM, door: str) -> None:
    """[C10] One intake: what the service checks, every path checks."""
    lead = take_in(crm).lead
    assert lead is not None
    with crm.session(BOSS) as s, pytest.raises(Refused) as refused:
        DOORS[door](s, Lead(name="A", emails=[Email("anna@foo.io")], external_ref="x:1"))
    (detail,) = refused.value.details
    assert (detail.code, detail.params["lead"]) == ("sales.duplicate_lead", lead.id)


def test_an_update_cannot_make_a_lead_a_double_either(crm: CRM) -> None:
    take_in(crm)
    with crm.session(BOSS) as s:
        other = s.create(Lead(name="B", emails=[Email("b@foo.io")]))
        with pytest.raises(Refused, match=r"sales\.duplicate_lead"):
            s.update(Lead, other.id, {"emails": [Email("anna@foo.io")]})


def test_doubles_within_a_batch_are_found_and_the_rest_is_kept(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        result = s.create_many([Lead(name=n, emails=[Email(f"{n}@x.io")]) for n in "aba"], on_error="collect")
    assert [lead.name for lead in result.ok] == ["a", "b"]
    assert [row for row, _ in result.failed] == [2]


def test_what_a_caller_may_not_see_is_not_told(crm: CRM) -> None:
    """[C10] D does not learn of A's lead or contact, not even an id."""
    take_in(crm)
    with crm.session(BOSS) as s:
        s.create(Contact(name="Anna", emails=[Email("anna@foo.io")], owner="A"))
    again = take_in(crm, actor=rep("D"))
    assert (again.lead, again.contact, again.created) == (None, None, False)
    with crm.session(rep("D")) as s, pytest.raises(Refused) as refused:
        s.create(Lead(name="Anna", emails=[Email("anna@foo.io")]))
    assert "lead" not in refused.value.details[0].params
    with crm.session(MANAGER) as s:
        seen = s.use(Sales).intake(ANNA)
        assert seen.lead is not None
        assert seen.contact is not None


def test_a_closed_lead_does_not_stand_in_the_way(crm: CRM) -> None:
    lead = take_in(crm).lead
    assert lead is not None
    with crm.session(BOSS) as s:
        s.update(Lead, lead.id, {"status": LeadStatus.DISQUALIFIED})
    assert take_in(crm).created


def test_the_first_touch_stays(crm: CRM) -> None:
    """[C10]"""
    lead = take_in(crm).lead
    assert lead is not None
    assert (lead.source, lead.utm) == ("web", {"campaign": "spring"})
    with crm.session(MANAGER) as s:
        for name, value in (("source", "fair"), ("utm", {})):
            with pytest.raises(Refused, match=r"sales\.first_touch"):
                s.update(Lead, lead.id, {name: value})


@pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'")
def test_an_intake_with_a_bad_address_changes_nothing(crm: CRM) -> None:
    before = state_hash(crm)
    with pytest.raises(Invalid):
        take_in(crm, LeadIntake(name="X", email="not an address"))
    assert state_hash(crm) == before


def test_who_may_not_create_leads_takes_nobody_in(crm: CRM) -> None:
    with pytest.raises(Denied):
        take_in(crm, actor=Actor("nobody"))


def test_of_many_who_claim_a_lead_one_gets_it(crm: CRM) -> None:
    """[C12]"""
    with crm.session(BOSS) as s:
        lead = s.create(Lead(name="Pool", emails=[Email("p@x.io")], owner="A"))
        s.update(Lead, lead.id, {"owner": None})

    def claim(s: Session) -> str | None:
        try:
            return s.use(Sales).claim(lead.ref).owner
        except CRMError as e:
            return e.code

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(6) as threads:
        got = list(threads.map(lambda n: crm.transact(rep(f"r{n}"), claim, retries=10), range(6)))
    winners = [g for g in got if g and g.startswith("r")]
    assert len(winners) == 1
    assert set(got) - set(winners) <= {"sales.lead_taken", "not_found"}


def test_a_released_lead_lies_in_the_pool_and_the_reason_in_the_journal(crm: CRM) -> None:
    """[C12] Every change of owner is kept with its reason."""
    lead = take_in(crm).lead
    assert lead is not None
    with crm.session(rep("A")) as s:
        released = s.use(Sales).release(lead.ref, reason="no budget")
        assert released.owner is None
    with crm.session(rep("D")) as s:
        assert s.use(Sales).claim(lead.ref).owner == "D"
    assert journal(crm, "sales.lead_assigned.v1") == 3


def test_nobody_releases_a_lead_they_may_not_change(crm: CRM) -> None:
    lead = take_in(crm).lead
    assert lead is not None
    with crm.session(rep("D")) as s, pytest.raises(CRMError) as hidden:
        s.use(Sales).release(lead.ref, reason="mine!")
    assert hidden.value.code == "not_found"


def test_without_a_directory_the_whole_pool_takes_turns(make_crm: Callable[..., CRM]) -> None:
    from tests.sales.desk import PLAIN

    crm = make_crm(plugins=[PLAIN])
    leads = [take_in(crm, LeadIntake(name=f"L{n}", email=f"l{n}@x.io")).lead for n in range(5)]
    assert [lead.owner for lead in leads if lead] == ["A", "B", "C", "D", "A"]


def test_an_account_of_the_same_name_does_not_matter_to_a_lead(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        s.create(Account(name="Foo"))
    assert take_in(crm).created


def test_phones_alone_find_a_person(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        s.create(Lead(name="P", phones=[Phone("+49 30 1234")]))
    assert not take_in(crm, LeadIntake(name="Q", phone="+49 30 1234")).created


def test_the_actions_do_the_same(crm: CRM) -> None:
    """[C10, C12]"""
    with crm.session(rep("A")) as s:
        taken = s.perform(TakeIn(name="Anna", email="anna@foo.io", utm={"campaign": "spring"}, key="1"))
        assert not s.perform(TakeIn(name="Anna", email="anna@foo.io", key="1")).created
        assert (taken.created, taken.lead.owner, taken.lead.utm) == (True, "A", {"campaign": "spring"})
        s.perform(Release(taken.lead.ref, "no time"))
        assert s.perform(Claim(taken.lead.ref)).owner == "A"
    with crm.session(Actor("X")) as s, pytest.raises(Denied):
        s.perform(TakeIn(name="Anna"))
