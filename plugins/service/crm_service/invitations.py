"""Asking people, and taking their answers in: a token that works once, and nobody who is asked too often [C43]."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, ClassVar

import attrs

from crm_core import Contact, Denied, Entity, Link, NotFound, Ref, Refused, Session

from .surveys import Survey, SurveyInvitation, SurveyResponse
from .tickets import now

BATCH = 500
_TOKEN_BYTES = 32
_LONGEST_TOKEN = 200


class SurveyToken:
    """What answers an invitation, once: put ``str(token)`` into the link that the person gets.

    It is shown when it is made and never again: neither the database nor a repeated call under an idempotency key has it.
    """

    __slots__ = ("_text",)
    __crm_shown_once__: ClassVar[bool] = True

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "SurveyToken(...)"


@attrs.frozen
class Invited:
    """Somebody who is to be asked. ``token`` is None only where a call is repeated under an idempotency key."""

    invitation: SurveyInvitation
    contact: Ref[Contact]
    token: SurveyToken | None


def invite(session: Session, survey: Ref[Survey], contacts: Iterable[Ref[Contact]], about: Ref[Any] | Entity | None) -> list[Invited]:
    """Invite those of *contacts* who are in the sample and were not asked anything in the survey's quiet period, each once.

    Raises:
        NotFound: the survey, a contact, or what it is about is not there for this actor.
        Denied: the actor may not invite.
        Refused: ``service.survey_closed``: the survey is not active.
    """
    if not session.can("create", SurveyInvitation):
        raise Denied(action="create", entity="service.survey_invitation")
    asking = session.get(Survey, survey)
    if not asking.active:
        raise Refused("service.survey_closed", survey=asking.name)
    subject = None if about is None else Link.to(about)
    if about is not None:
        session.get(about.entity if isinstance(about, Ref) else type(about), about.id)
    invited: list[Invited] = []
    stream = iter(dict.fromkeys(c.id for c in contacts))
    with session.savepoint():
        while ids := list(islice(stream, BATCH)):
            invited += _invite(session, asking, _seen(session, ids), subject)
    return invited


def _seen(session: Session, ids: Sequence[str]) -> list[Contact]:
    found = session.get_many(Contact, ids)
    if len(found) < len(ids):
        raise NotFound(entity="contact")
    return found


def _invite(session: Session, survey: Survey, contacts: list[Contact], subject: Link | None) -> list[Invited]:
    with session.elevated("survey invitations") as elevated:
        quiet = _take_turns(elevated, survey, contacts)
        chosen = [c for c in contacts if c.id not in quiet and _in_sample(session, survey)]
        tokens = [_new_token(session) for _ in chosen]
        expires = now(session) + timedelta(days=survey.valid_days)
        made = elevated.create_many(
            [
                SurveyInvitation(
                    survey=survey.ref,
                    contact=contact.ref,
                    account=contact.account,
                    about_entity=subject.entity if subject else None,
                    about_record=subject.record if subject else None,
                    token_hash=_hash(str(token)),
                    expires_at=expires,
                )
                for contact, token in zip(chosen, tokens, strict=True)
            ]
        ).ok
    return [Invited(i, contact.ref, token) for i, contact, token in zip(made, chosen, tokens, strict=True)]


def _take_turns(session: Session, survey: Survey, contacts: Sequence[Contact]) -> set[str]:
    """Return who is left in peace. Who invites waits for whoever else does, or two would ask the same person at the same moment."""
    turnstile = session.query(Survey).order_by(Survey.id).first()
    if turnstile is not None:
        session.lock(Survey, turnstile.id)
    since = now(session) - timedelta(days=survey.quiet_days)
    recent = session.query(SurveyInvitation).where(
        SurveyInvitation.contact.in_([c.id for c in contacts]), SurveyInvitation.created_at > since
    )
    return {i.contact.id for i in recent.all() if i.contact is not None}


def _in_sample(session: Session, survey: Survey) -> bool:
    return survey.sample_percent == 100 or session.crm.runtime.random.randrange(100) < survey.sample_percent


def _new_token(session: Session) -> SurveyToken:
    return SurveyToken(urlsafe_b64encode(session.crm.runtime.random.randbytes(_TOKEN_BYTES)).rstrip(b"=").decode())


def _hash(token: str) -> str:
    """Return what is kept of a token. It has 256 random bits, so a plain hash cannot be turned round by guessing."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def respond(session: Session, token: str | SurveyToken, score: int, comment: str) -> None:
    """Take an answer in. The token is the right to give it: the session's actor needs no other.

    Raises:
        NotFound: ``service.survey_token``: the token is unknown, was used, or is too old; which of these is not told.
        Refused: ``service.bad_score``: the score is not on the scale. The token still works.
    """
    with session.savepoint(), session.elevated("answer to a survey") as elevated:
        invitation = _open(elevated, str(token))
        at = now(session)
        elevated.update(SurveyInvitation, invitation.id, {"answered_at": at})
        response = SurveyResponse(
            survey=invitation.survey,
            invitation=invitation.ref,
            contact=invitation.contact,
            account=invitation.account,
            score=score,
            comment=comment,
            at=at,
        )
        elevated.create(response)


def _open(session: Session, token: str) -> SurveyInvitation:
    if len(token) > _LONGEST_TOKEN:
        raise NotFound("service.survey_token")
    found = session.query(SurveyInvitation).where(SurveyInvitation.token_hash == _hash(token)).first()
    if found is None:
        raise NotFound("service.survey_token")
    invitation = session.lock(SurveyInvitation, found.id)
    if invitation.answered_at is not None or invitation.expires_at <= now(session):
        raise NotFound("service.survey_token")
    return invitation
