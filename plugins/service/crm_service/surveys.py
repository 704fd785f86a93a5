"""Surveys: what we ask, what was answered, and what follows from a low score [C43]. How people are asked is in ``invitations``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import ClassVar

import attrs
from sqlalchemy import func, select

from crm_core import (
    Account,
    Change,
    Channel,
    Contact,
    Entity,
    Event,
    Field,
    Invalid,
    Ref,
    Session,
    WriteCtx,
    after_write,
    before_write,
    check_write,
    field,
)

from .plugin import plugin
from .scoring import Method, Score, SurveyKind, score
from .settings import Settings
from .states import TicketType
from .tickets import Ticket

_SCALES: Mapping[SurveyKind, tuple[int, int]] = {SurveyKind.NPS: (0, 10), SurveyKind.CSAT: (1, 5), SurveyKind.CES: (1, 7)}
_FIXED = frozenset({"kind", "lowest", "highest"})
_MOST = 100
_LAST_YEAR, _CENTURY = 9990, timedelta(days=36_525)


class Survey(Entity):
    """A question that customers answer with a score.

    Attributes:
        lowest, highest: the scale, both inclusive; 0 to 10 for NPS, 1 to 7 for CES, 1 to 5 for a CSAT that says nothing else.
        low_score: a score that is not above it opens a ticket; None for none.
        quiet_days: who was asked anything so few days (of 24 hours) ago is left in peace.
        valid_days: how long an invitation can be answered.
        sample_percent: how many of the invited are really asked, chosen by chance.
        name: what we call it.
        kind: which measure: NPS, CSAT or CES.
        question: what is asked.
        active: whether it is sent.
    """

    name: Field[str] = field(length=100, unique=True, classified="internal")
    kind: Field[SurveyKind]
    question: Field[str] = field(text=True)
    lowest: Field[int | None] = field(default=None, min=0, max=_MOST)
    highest: Field[int | None] = field(default=None, min=1, max=_MOST)
    low_score: Field[int | None] = field(default=None, min=0, max=_MOST)
    quiet_days: Field[int] = field(default=30, min=0, max=3660)
    valid_days: Field[int] = field(default=30, min=1, max=3660)
    sample_percent: Field[int] = field(default=100, min=1, max=100)
    active: Field[bool] = field(default=True)


class SurveyInvitation(Entity):
    """A person who was asked, once. Of the token that answers it, only the SHA-256 is kept.

    Attributes:
        survey: what is asked.
        contact: who was asked.
        about_entity: the entity of the record it is about.
        about_record: the id of that record.
        token_hash: the SHA-256 of the token that answers it.
        expires_at: until when it can be answered.
        answered_at: when it was answered.
    """

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("contact", "created_at"),)

    survey: Field[Ref[Survey]] = field(index=True, read_only=True)
    contact: Field[Ref[Contact] | None] = field(default=None, on_delete="set_null", read_only=True)
    account: Field[Ref[Account] | None] = field(default=None, on_delete="set_null", read_only=True)
    about_entity: Field[str | None] = field(default=None, length=127, read_only=True)
    about_record: Field[str | None] = field(default=None, length=36, read_only=True)
    token_hash: Field[str] = field(length=64, unique=True, read_only=True)
    expires_at: Field[datetime] = field(read_only=True)
    answered_at: Field[datetime | None] = field(default=None, read_only=True)


class SurveyResponse(Entity):
    """An answer; it stays as it was given. ``ticket`` is the one that a low score opened.

    Attributes:
        survey: what was asked.
        invitation: the invitation it answers.
        contact: who answered.
        score: the answer, within the survey's bounds.
        comment: what they said to it.
    """

    __append_only__: ClassVar[bool] = True
    __amendable__: ClassVar[frozenset[str]] = frozenset({"ticket"})
    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("survey", "at"), ("contact", "at"), ("account", "at"))

    __subject__: ClassVar[str] = "contact"

    survey: Field[Ref[Survey]] = field(read_only=True)
    invitation: Field[Ref[SurveyInvitation]] = field(unique=True, read_only=True)
    contact: Field[Ref[Contact] | None] = field(default=None, on_delete="set_null", read_only=True)
    account: Field[Ref[Account] | None] = field(default=None, on_delete="set_null", read_only=True)
    score: Field[int] = field(read_only=True)
    comment: Field[str] = field(default="", text=True, pii=True, read_only=True)
    at: Field[datetime] = field(read_only=True)
    ticket: Field[Ref[Ticket] | None] = field(default=None, on_delete="set_null", read_only=True)


class SurveyAnswered(Event[SurveyResponse], name="service.survey_answered", version=1):
    """Somebody answered a survey; ``ticket`` is there where the score was low."""

    survey: Ref[Survey]
    contact: Ref[Contact] | None
    account: Ref[Account] | None
    score: int
    ticket: Ref[Ticket] | None


plugin.entities(Survey, SurveyInvitation, SurveyResponse)
plugin.events(SurveyAnswered)


# -- the question -----------------------------------------------------------------------------------------------------------------


def _survey(record: Entity | None) -> Survey:
    assert isinstance(record, Survey)
    return record


@plugin.hook(before_write, on=Survey)
def set_scale(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Give a survey the scale of its kind where it names none."""
    for survey in (_survey(c.record) for c in changes):
        lowest, highest = _SCALES[survey.kind]
        survey.lowest = lowest if survey.lowest is None else survey.lowest
        survey.highest = highest if survey.highest is None else survey.highest
    return changes


@plugin.hook(check_write, on=Survey)
def check_survey(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse a scale that its kind does not have, and another one once people have answered."""
    for change in changes:
        survey = _survey(change.record)
        low, high = scale(survey)
        expected = _SCALES[survey.kind]
        if not low < high or (survey.kind is not SurveyKind.CSAT and (low, high) != expected):
            ctx.refuse(survey, "service.bad_scale", field="highest", kind=survey.kind.value, lowest=expected[0], highest=expected[1])
        elif survey.low_score is not None and not low <= survey.low_score < high:
            ctx.refuse(survey, "service.bad_score", field="low_score", lowest=low, highest=high - 1)
        elif ctx.op == "update" and change.fields & _FIXED and _is_answered(ctx, survey):
            ctx.refuse(survey, "service.survey_in_use", field=min(change.fields & _FIXED))


def _is_answered(ctx: WriteCtx, survey: Survey) -> bool:
    with ctx.elevated("answers to a survey") as session:
        return session.query(SurveyResponse).where(SurveyResponse.survey == survey.ref).count(limit=1) > 0


def scale(survey: Survey) -> tuple[int, int]:
    """Return the lowest and the highest score."""
    assert survey.lowest is not None
    assert survey.highest is not None
    return survey.lowest, survey.highest


# -- the answer -------------------------------------------------------------------------------------------------------------------


def _responses(changes: Iterable[Change]) -> list[SurveyResponse]:
    return [c.record for c in changes if isinstance(c.record, SurveyResponse)]


@plugin.hook(check_write, on=SurveyResponse)
def check_response(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse scores that are not on the survey's scale."""
    if ctx.op != "create":
        return
    responses = _responses(changes)
    surveys = {s.id: s for s in ctx.session.get_many(Survey, {r.survey.id for r in responses})}
    for response in responses:
        low, high = scale(surveys[response.survey.id])
        if not low <= response.score <= high:
            ctx.refuse(response, "service.bad_score", field="score", lowest=low, highest=high)


@plugin.hook(after_write, on=SurveyResponse)
def follow_up(ctx: WriteCtx, changes: list[Change]) -> None:
    """Open a ticket for each low score, in the transaction of the answer, and tell of every answer."""
    if ctx.op != "create":
        return
    responses = _responses(changes)
    with ctx.elevated("follow-up of a survey") as session:
        surveys = {s.id: s for s in session.get_many(Survey, {r.survey.id for r in responses})}
        low = [r for r in responses if _is_low(surveys[r.survey.id], r)]
        opened = session.create_many([_ticket(session, surveys[r.survey.id], r) for r in low]).ok
        tickets = {r.id: ticket.ref for r, ticket in zip(low, opened, strict=True)}
        for id, ticket in tickets.items():
            session.update(SurveyResponse, id, {"ticket": ticket})
    ctx.session.emit(
        *(
            SurveyAnswered(record=r.ref, survey=r.survey, contact=r.contact, account=r.account, score=r.score, ticket=tickets.get(r.id))
            for r in responses
        )
    )


def _is_low(survey: Survey, response: SurveyResponse) -> bool:
    return survey.low_score is not None and response.score <= survey.low_score


def _ticket(session: Session, survey: Survey, response: SurveyResponse) -> Ticket:
    settings = session.settings(Settings)
    title = settings.low_score_title.replace("{score}", str(response.score)).replace("{survey}", survey.name)
    return Ticket(
        subject=title[:255],
        description=response.comment,
        account=response.account,
        contact=response.contact,
        owner=settings.low_score_owner or None,
        type=TicketType.TASK,
        channel=Channel.SURVEY,
    )


# -- the figures ------------------------------------------------------------------------------------------------------------------


@attrs.frozen
class SurveyResult:
    """What a survey's answers of one month add up to.

    Attributes:
        month: of the answers, as ``2026-03`` (UTC).
        invited: how many were asked in that month.
    """

    month: str
    invited: int
    score: Score


def survey_report(session: Session, survey: Ref[Survey], since: date, until: date, *, method: Method) -> list[SurveyResult]:
    """Score a survey month by month, with the answers given from *since* to *until*, both inclusive, in UTC.

    Raises:
        Invalid: ``service.bad_method``: it is not one for this kind of survey.
        NotFound: the survey is not there for this actor.
    """
    asked = session.get(Survey, survey)
    highest = scale(asked)[1]
    rows = []
    for first, end in _months(since, until):
        tally = _tally(session, survey, first, end)
        invitations = session.query(SurveyInvitation).where(SurveyInvitation.survey == survey)
        invited = invitations.where(SurveyInvitation.created_at >= first, SurveyInvitation.created_at < end).count()
        rows.append(SurveyResult(f"{first:%Y-%m}", invited, score(asked.kind, method, tally, highest=highest)))
    return rows


def check_span(since: date, until: date) -> None:
    """Check that a report is of at most a century.

    Raises:
        Invalid: ``service.bad_span``.
    """
    if until.year > _LAST_YEAR or until - since > _CENTURY:
        raise Invalid("service.bad_span", since=since.isoformat(), until=until.isoformat())


def _tally(session: Session, survey: Ref[Survey], first: datetime, end: datetime) -> dict[int, int]:
    given = (SurveyResponse.survey == survey, SurveyResponse.at >= first, SurveyResponse.at < end)
    statement = select(SurveyResponse.score, func.count()).where(*given).group_by(SurveyResponse.score)
    return {row[0]: row[1] for row in session.execute(statement)}


def _months(since: date, until: date) -> Iterable[tuple[datetime, datetime]]:
    """Yield the months between two days, the first and the last cut to them."""
    check_span(since, until)
    first, last = since, until + timedelta(days=1)
    while first < last:
        following = min((first.replace(day=1) + timedelta(days=32)).replace(day=1), last)
        yield datetime.combine(first, time(), UTC), datetime.combine(following, time(), UTC)
        first = following
