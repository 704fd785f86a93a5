"""Asking and answering, for the tests of surveys."""

from __future__ import annotations

from typing import Any

from crm_core import Account, Actor, Contact, Ref
from crm_service.api import Invited, Service, Survey, SurveyKind, SurveyResponse
from tests.service.conftest import AGENT, MANAGER, Desk

SYSTEM = Actor.system("test", tenant="main")
VISITOR = Actor("public", roles={"service.respondent"})


def survey(desk: Desk, **given: Any) -> Survey:
    with desk.crm.session(MANAGER) as s:
        return s.create(Survey(**{"name": "After support", "kind": SurveyKind.NPS, "question": "Would you recommend us?", **given}))


def people(desk: Desk, n: int) -> list[Ref[Contact]]:
    with desk.crm.session(SYSTEM) as s:
        account = s.query(Account).first() or s.create(Account(name="Acme"))
        return [c.ref for c in s.create_many([Contact(name=f"Jo {i}", account=account.ref) for i in range(n)]).ok]


def invite(desk: Desk, asked: Survey, *contacts: Ref[Contact], **given: Any) -> list[Invited]:
    with desk.crm.session(MANAGER) as s:
        return s.use(Service).invite(asked, contacts, **given)


def token(desk: Desk, **given: Any) -> str:
    (invited,) = invite(desk, survey(desk, **given), *people(desk, 1))
    return str(invited.token)


def answer(desk: Desk, token: str, score: int, comment: str = "") -> None:
    with desk.crm.session(VISITOR) as s:
        s.use(Service).respond(token, score, comment)


def responses(desk: Desk) -> list[SurveyResponse]:
    with desk.crm.session(AGENT, write=False) as s:
        return s.query(SurveyResponse).order_by(SurveyResponse.at, SurveyResponse.id).all()
