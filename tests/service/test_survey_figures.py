"""What surveys tell: the report by month, in its reader's sight, and the last answers beside a customer [C43]."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from crm_core import Account, Actor, Contact, Invalid, NotFound, Role
from crm_service.api import Method, Service, Survey, SurveyResponse
from tests.service.conftest import AGENT, MONDAY, Desk, MakeDesk
from tests.service.surveys import SYSTEM, VISITOR, answer, invite, people, responses, survey, token

MARCH = (date(2026, 3, 1), date(2026, 3, 31))


def test_c43_g5_the_report_scores_a_survey_by_month_with_n_and_margin(desk: Desk) -> None:
    asked = survey(desk)
    for invited, score in zip(invite(desk, asked, *people(desk, 11)), [10, 10, 9, 9, 9, 8, 7, 4, 2, 1], strict=False):
        answer(desk, str(invited.token), score)
    with desk.crm.session(AGENT, write=False) as s:
        march, april = s.use(Service).survey_report(asked, date(2026, 3, 1), date(2026, 4, 30), method=Method.NPS)
        with pytest.raises(Invalid):
            s.use(Service).survey_report(asked, *MARCH, method=Method.TOP2)
        for days in ((date.min, date(2026, 3, 1)), (date(9990, 1, 1), date.max)):
            with pytest.raises(Invalid) as e:
                s.use(Service).survey_report(asked, *days, method=Method.NPS)
            assert e.value.code == "service.bad_span"
    assert (march.month, march.invited, march.score.value, march.score.n) == ("2026-03", 11, Decimal("20.00"), 10)
    assert march.score.margin == Decimal("54.03"), "196 * sqrt((0.5 + 0.3 - 0.2 ** 2) / 10): ten answers say little"
    assert (april.month, april.score.value, april.score.n) == ("2026-04", None, 0)


def test_c43_the_report_counts_what_its_reader_may_see(make_desk: MakeDesk) -> None:
    from crm_core.rules import F

    few = Role("few").allow(Survey, "read").allow(SurveyResponse, "read", where=F("score") >= 9)
    desk = make_desk(roles=[few])
    asked = survey(desk)
    for invited, score in zip(invite(desk, asked, *people(desk, 3)), (10, 9, 0), strict=True):
        answer(desk, str(invited.token), score)
    with desk.crm.session(Actor("5", roles={"few"}), write=False) as s:
        (march,) = s.use(Service).survey_report(asked, *MARCH, method=Method.NPS)
    assert (march.score.n, march.score.value, march.invited) == (2, Decimal("100.00"), 0)
    with desk.crm.session(VISITOR, write=False) as s, pytest.raises(NotFound):
        s.use(Service).survey_report(asked, *MARCH, method=Method.NPS)


def test_c43_the_last_answers_stand_beside_the_person_and_the_account(make_desk: MakeDesk) -> None:
    desk = make_desk(roles=[Role("mute").allow(Contact, "read").allow(SurveyResponse, "read", fields={"comment": "none"})])
    given = token(desk)
    answer(desk, given, 9, "Good")
    with desk.crm.session(AGENT, write=False) as s:
        for record in (s.query(Contact).one(), s.query(Account).one()):
            panel = next(p for p in desk.crm.registry.panels(type(record)) if p.label == "service.panel.surveys")
            shown = panel.fn(s, record)
            assert shown == {"answers": [{"survey": "After support", "score": 9, "comment": "Good", "at": MONDAY.isoformat()}]}
    with desk.crm.session(Actor("5", roles={"mute"}), write=False) as s:
        (panel,) = (p for p in desk.crm.registry.panels(Contact) if p.label == "service.panel.surveys")
        assert [a["comment"] for a in panel.fn(s, s.query(Contact).one())["answers"]] == [None]


def test_a_person_who_is_deleted_leaves_the_answer_without_a_name(desk: Desk) -> None:
    answer(desk, token(desk), 9)
    with desk.crm.session(SYSTEM) as s:
        s.delete(s.query(Contact).one())
    (kept,) = responses(desk)
    assert (kept.contact, kept.score) == (None, 9)
