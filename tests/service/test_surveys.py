"""Surveys: who is asked, tokens that answer once, and low scores that open exactly one ticket [C43]."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from crm_core import (
    Actor,
    Channel,
    Conflict,
    Contact,
    Denied,
    Invalid,
    NotFound,
    Plugin,
    PluginFailed,
    Refused,
    Role,
    Session,
    check_write,
    owner,
)
from crm_service import plugin
from crm_service.api import (
    RespondToSurvey,
    Service,
    Survey,
    SurveyAnswered,
    SurveyInvitation,
    SurveyKind,
    SurveyResponse,
    SurveyToken,
    Ticket,
    TicketType,
)
from tests.service.conftest import AGENT, MANAGER, MONDAY, Desk, MakeDesk
from tests.service.surveys import VISITOR, answer, invite, people, responses, survey, token
from tests.threads import at_once


def stored(desk: Desk) -> str:
    """Return everything that the database holds of invitations, keys and the journal."""
    tables = desk.crm.tables
    with desk.crm.bound.begin(write=False) as connection:
        found = [connection.execute(t.select()).all() for t in (tables.system.journal, tables.system.idempotency)]
        found.append(connection.execute(desk.crm.table(SurveyInvitation).select()).all())
    return repr(found)


# -- answering --------------------------------------------------------------------------------------------------------------------


def test_c43_an_answer_is_kept_with_who_gave_it_and_when(desk: Desk) -> None:
    given = token(desk)
    desk.at("tue 10:00")
    answer(desk, given, 9, "Quick and kind")
    (kept,) = responses(desk)
    assert (kept.score, kept.comment, kept.at, kept.ticket) == (9, "Quick and kind", desk.clock.now(), None)
    assert kept.contact is not None
    assert kept.account is not None
    assert desk.kinds("service.survey_answered") == ["service.survey_answered.v1"]


def test_c43_a_token_works_once(desk: Desk) -> None:
    given = token(desk)
    answer(desk, given, 9)
    with pytest.raises(NotFound) as e:
        answer(desk, given, 0)
    assert e.value.code == "service.survey_token"
    assert [r.score for r in responses(desk)] == [9]


def test_c43_twenty_people_with_one_token_give_one_answer_and_one_ticket(desk: Desk) -> None:
    given = token(desk, low_score=6)

    def work(score: int) -> str:
        try:
            desk.crm.transact(VISITOR, lambda s: s.use(Service).respond(given, score))
        except NotFound as e:
            return e.code
        return "answered"

    outcomes = at_once(work, [n % 7 for n in range(20)])
    assert sorted(outcomes) == ["answered"] + ["service.survey_token"] * 19
    with desk.crm.session(AGENT, write=False) as s:
        assert (s.query(SurveyResponse).count(), s.query(Ticket).count()) == (1, 1)


def test_c43_unknown_used_and_expired_tokens_cannot_be_told_apart(desk: Desk) -> None:
    asked, (one, two) = survey(desk, valid_days=7), people(desk, 2)
    used, old = (str(i.token) for i in invite(desk, asked, one, two))
    answer(desk, used, 9)
    desk.clock.advance(timedelta(days=7))
    told = set()
    for given in (used, old, "nonsense", "", "\ud800", "x" * 100_000, old.upper()):
        with pytest.raises(NotFound) as e:
            answer(desk, given, 99)
        told.add((type(e.value), e.value.code, e.value.status, repr(e.value.params), repr(e.value.details)))
    assert len(told) == 1


def test_c43_of_a_token_only_a_hash_is_kept_and_it_is_not_shown(desk: Desk) -> None:
    asked, contacts = survey(desk), people(desk, 1)
    with desk.crm.session(MANAGER, idempotency_key="ask-1") as s:
        (invited,) = s.use(Service).invite(asked, contacts)
        s.use(Service).respond(str(invited.token), 9)
    assert re.fullmatch(r"[\w-]{43}", str(invited.token))
    assert str(invited.token) not in stored(desk)
    assert str(invited.token) not in repr(invited)
    with desk.crm.session(AGENT, write=False) as s:
        assert "token_hash" not in desk.crm.to_json(s.get(SurveyInvitation, invited.invitation.id))


def test_invitations_made_under_an_idempotency_key_are_made_once_and_their_tokens_shown_once(desk: Desk) -> None:
    asked, contacts = survey(desk), people(desk, 2)
    runs = []
    for _ in range(2):
        with desk.crm.session(MANAGER, idempotency_key="ask-2") as s:
            runs.append(s.use(Service).invite(asked, contacts))
    assert [i.invitation.id for i in runs[0]] == [i.invitation.id for i in runs[1]]
    assert [i.token for i in runs[1]] == [None, None]
    assert all(isinstance(i.token, SurveyToken) for i in runs[0])


def test_a_score_off_the_scale_is_refused_and_the_token_still_works(desk: Desk) -> None:
    given = token(desk, kind=SurveyKind.CES)
    for odd in (0, 8, -1, 10**30):
        with pytest.raises((Refused, Invalid)):
            answer(desk, given, odd)
    for wrong in ("5", 5.5, None, True):
        with pytest.raises(Invalid):
            answer(desk, given, wrong)  # type: ignore[arg-type]  # what a form may send
    answer(desk, given, 7)
    assert [r.score for r in responses(desk)] == [7]


def test_the_action_takes_an_answer_from_whoever_may_respond(desk: Desk) -> None:
    given = token(desk)
    with desk.crm.session(AGENT) as s, pytest.raises(Denied):
        s.perform(RespondToSurvey(token=given, score=9))
    with desk.crm.session(VISITOR) as s:
        assert s.perform(RespondToSurvey(token=given, score=9, comment="Good")) is None
        assert s.query(SurveyResponse).count() == 0, "who answers sees no answers"
    assert [r.comment for r in responses(desk)] == ["Good"]


def test_a_token_is_of_its_tenant(desk: Desk) -> None:
    given = token(desk)
    with desk.crm.session(Actor("public", tenant="other", roles={"service.respondent"})) as s, pytest.raises(NotFound):
        s.use(Service).respond(given, 9)


# -- low scores -------------------------------------------------------------------------------------------------------------------


def test_c43_a_low_score_opens_a_ticket_for_whom_the_settings_name(make_desk: MakeDesk) -> None:
    desk = make_desk(plugins=[plugin.configured(low_score_owner="7", low_score_title="{survey}: {score}")])
    policy = desk.promise()
    asked = survey(desk, low_score=6)
    for invited, score in zip(invite(desk, asked, *people(desk, 3)), (7, 6, 0), strict=True):
        answer(desk, str(invited.token), score, "Nobody called back")
    low = [r for r in responses(desk) if r.ticket]
    assert sorted(r.score for r in low) == [0, 6]
    with desk.crm.session(AGENT, write=False) as s:
        tickets = s.query(Ticket).order_by(Ticket.subject).all()
    assert {r.ticket for r in low} == {t.ref for t in tickets}
    assert [t.subject for t in tickets] == ["After support: 0", "After support: 6"]
    one = tickets[0]
    assert (one.owner, one.type, one.channel, one.description) == ("7", TicketType.TASK, Channel.SURVEY, "Nobody called back")
    assert (one.sla, one.contact in {r.contact for r in low}, one.account) == (policy.ref, True, low[0].account)


def test_c43_an_answer_whose_ticket_cannot_be_opened_is_not_lost_but_not_taken(make_desk: MakeDesk) -> None:
    broken = [True]
    guard = Plugin("guard", version="1.0.0", requires={"service": ">=1"})

    @guard.hook(check_write, on=Ticket)
    def fail(ctx: Any, changes: Any) -> None:
        if broken:
            raise RuntimeError("the disk is full")

    desk = make_desk(plugins=[plugin, guard])
    given = token(desk, low_score=6)
    with pytest.raises(PluginFailed):
        answer(desk, given, 0)
    assert responses(desk) == []
    broken.clear()
    answer(desk, given, 0)
    assert [r.ticket is not None for r in responses(desk)] == [True]


def test_the_event_of_an_answer_names_its_ticket(make_desk: MakeDesk) -> None:
    heard: list[SurveyAnswered] = []
    listener = Plugin("listener", version="1.0.0", requires={"service": ">=1"})
    listener.grants("service.survey_response:read")

    @listener.on(SurveyAnswered)
    def hear(session: Session, event: SurveyAnswered) -> None:
        heard.append(event)

    desk = make_desk(plugins=[plugin, listener])
    answer(desk, token(desk, low_score=6), 3)
    desk.crm.run_pending()
    assert [(e.score, e.ticket) for e in heard] == [(3, responses(desk)[0].ticket)]


# -- asking -----------------------------------------------------------------------------------------------------------------------


def test_c43_nobody_is_asked_again_in_the_quiet_period_by_whichever_survey(desk: Desk) -> None:
    first, second = survey(desk), survey(desk, name="Second", quiet_days=10)
    jo, sam = people(desk, 2)
    assert len(invite(desk, first, jo, jo, jo)) == 1, "one person is asked once a batch"
    desk.clock.advance(timedelta(days=10, microseconds=-1))
    assert [i.contact for i in invite(desk, second, jo, sam)] == [sam]
    desk.clock.advance(timedelta(microseconds=1))
    assert [i.contact for i in invite(desk, second, jo, sam)] == [jo]


def test_c43_the_quiet_period_holds_in_large_batches_and_at_the_same_moment(desk: Desk) -> None:
    asked, contacts = survey(desk), people(desk, 1200)

    def work(_: int) -> int:
        return len(desk.crm.transact(MANAGER, lambda s: s.use(Service).invite(asked, iter(contacts)), retries=5))

    counts = at_once(work, range(4))
    assert sorted(counts) == [0, 0, 0, 1200]


def test_c43_a_sample_asks_some_of_the_invited(desk: Desk) -> None:
    contacts = people(desk, 400)
    assert 60 < len(invite(desk, survey(desk, sample_percent=25), *contacts)) < 140


def test_an_invitation_says_what_it_is_about(desk: Desk) -> None:
    with desk.crm.session(AGENT) as s:
        ticket = s.create(Ticket(subject="Printer"))
    (invited,) = invite(desk, survey(desk), *people(desk, 1), about=ticket)
    assert (invited.invitation.about_entity, invited.invitation.about_record) == ("service.ticket", ticket.id)
    assert invited.invitation.expires_at == MONDAY + timedelta(days=30)


def test_only_whom_and_what_the_actor_sees_is_asked_about(make_desk: MakeDesk) -> None:
    asker = Role("asker", extends=["service.manager"]).restrict(Contact, "read", where=owner).restrict(Ticket, "read", where=owner)
    desk = make_desk(roles=[asker])
    asked, (jo,) = survey(desk), people(desk, 1)
    with desk.crm.session(AGENT) as s:
        ticket = s.create(Ticket(subject="Printer"))
    with desk.crm.session(Actor("5", roles={"asker"})) as s:
        mine = s.create(Contact(name="Mine")).ref
        for contacts, about in (([mine, jo], None), ([mine], ticket)):
            with pytest.raises(NotFound):
                s.use(Service).invite(asked, contacts, about=about)
        assert len(s.use(Service).invite(asked, [mine])) == 1
    with desk.crm.session(AGENT) as s, pytest.raises(Denied):
        s.use(Service).invite(asked, [jo])


def test_a_closed_survey_invites_nobody(desk: Desk) -> None:
    asked = survey(desk, active=False)
    with pytest.raises(Refused) as e:
        invite(desk, asked, *people(desk, 1))
    assert e.value.code == "service.survey_closed"


def test_invitations_and_answers_are_not_written_by_hand(desk: Desk) -> None:
    asked = survey(desk)
    (invited,) = invite(desk, asked, *people(desk, 1))
    forged = SurveyInvitation(survey=asked.ref, token_hash="0" * 64, expires_at=MONDAY)
    reply = SurveyResponse(survey=asked.ref, invitation=invited.invitation.ref, score=10, at=MONDAY)
    for record in (forged, reply):
        with desk.crm.session(MANAGER) as s, pytest.raises((Denied, Invalid)):
            s.create(record)
    with desk.crm.session(MANAGER) as s, pytest.raises((Denied, Invalid)):
        s.update(SurveyInvitation, invited.invitation.id, {"answered_at": None})


# -- the question -----------------------------------------------------------------------------------------------------------------


def test_a_survey_has_the_scale_of_its_kind(desk: Desk) -> None:
    made = [survey(desk, name=kind.value, kind=kind) for kind in SurveyKind]
    assert [(s.lowest, s.highest) for s in made] == [(0, 10), (1, 5), (1, 7)]
    stars = survey(desk, name="stars", kind=SurveyKind.CSAT, lowest=0, highest=10)
    assert (stars.lowest, stars.highest) == (0, 10)


def test_a_survey_that_cannot_be_answered_is_refused(desk: Desk) -> None:
    odd: list[dict[str, Any]] = [
        {"kind": SurveyKind.NPS, "highest": 5},
        {"kind": SurveyKind.CES, "lowest": 0},
        {"kind": SurveyKind.CSAT, "lowest": 5, "highest": 5},
        {"kind": SurveyKind.NPS, "low_score": 10},
        {"kind": SurveyKind.CSAT, "low_score": 0},
    ]
    codes = []
    for given in odd:
        with pytest.raises(Refused) as e:
            survey(desk, **given)
        codes.append(e.value.details[0].code)
    assert codes == ["service.bad_scale"] * 3 + ["service.bad_score"] * 2


def test_the_scale_of_an_answered_survey_stays(desk: Desk) -> None:
    answer(desk, token(desk, kind=SurveyKind.CSAT), 5)
    with desk.crm.session(MANAGER) as s:
        asked = s.query(Survey).one()
        with pytest.raises(Refused) as e, s.savepoint():
            s.update(Survey, asked.id, {"highest": 10})
        assert e.value.details[0].code == "service.survey_in_use"
        assert s.update(Survey, asked.id, {"question": "Happy?"}).question == "Happy?"
        with pytest.raises(Conflict), s.savepoint():
            s.delete(asked)
