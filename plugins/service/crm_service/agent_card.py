"""The agent card: who is calling, in one call, as far as the agent may see it [C45]. Other plugins add what they know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypeVar

import attrs

from crm_core import Account, Channel, CollectHook, Contact, Ctx, Extension, Field, Money, NotReadable, Ref, Session, field

from .plugin import plugin
from .requests import Promise
from .scoring import SurveyKind
from .states import DONE, TicketStatus
from .surveys import Survey, SurveyResponse, scale
from .tickets import Ticket

T = TypeVar("T")
MOST = 20


@plugin.extend(Account)
class ServiceTier(Extension):
    """How a customer is served: in ``tier``; the words are yours (``gold``)."""

    tier: Field[str | None] = field(default=None, length=60)


@plugin.extend(Contact)
class PreferredChannel(Extension):
    """By which ``channel`` a person likes to be answered."""

    channel: Field[Channel | None] = field(default=None)


@attrs.frozen
class CardSubject:
    """Whose card is being made: an account, a person, or a person and the account they belong to."""

    account: Ref[Account] | None
    contact: Ref[Contact] | None


@attrs.frozen
class CardDeal:
    """A deal that is open. What the agent may not read of it is None."""

    name: str
    stage: str | None
    amount: Money | None
    owner: str | None
    expected_close: date | None


@attrs.frozen
class CardPart:
    """What one plugin knows for the card. Read it with ``ctx.session``, and it holds no more than the agent may see.

    Attributes:
        products: names of what the customer has.
        more: anything else, by a name that starts with the plugin's.
    """

    tier: str | None = None
    language: str | None = None
    channel: Channel | None = None
    products: Sequence[str] = ()
    deals: Sequence[CardDeal] = ()
    more: Mapping[str, Any] = attrs.Factory(dict)


@attrs.define(eq=False)
class CardCtx(Ctx):
    """A card that is being made."""


@attrs.frozen
class LastScore:
    """What a customer answered last: ``score`` on a scale up to ``highest``."""

    survey: str
    score: int
    highest: int
    at: datetime


@attrs.frozen
class AgentCard:
    """What an agent should know of a customer; of each list the 20 most pressing.

    What the agent may not see is not there: None, or left out of its list.

    Attributes:
        tickets: those that are not solved, the newest first.
        promises: what was promised and is not kept yet, the most pressing first.
        csat: the last answer to a survey of the kind CSAT.
        products, deals, more: what other modules know; empty without them.
    """

    account: Account | None
    contact: Contact | None
    tier: str | None
    language: str | None
    channel: Channel | None
    tickets: list[Ticket]
    promises: list[Promise]
    csat: LastScore | None
    products: list[str]
    deals: list[CardDeal]
    more: dict[str, Any]


card_parts: CollectHook[CardCtx, CardSubject, CardPart] = CollectHook("service.card_parts", per="item")
"""Add to the agent card. What the module itself knows comes before what a part says; lists are joined."""

plugin.hooks(card_parts)


def agent_card(session: Session, of: Ref[Account] | Ref[Contact]) -> AgentCard:
    """Return the card of an account or a person.

    Raises:
        NotFound: the record is not there for this actor.
    """
    contact = session.get(Contact, of.id) if of.entity is Contact else None
    account = session.find(Account, readable(lambda: contact.account)) if contact else session.get(Account, of.id)
    subject = CardSubject(account.ref if account else None, contact.ref if contact else None)
    parts = card_parts(CardCtx(session=session), subject)
    own = CardPart(
        tier=readable(lambda: account[ServiceTier].tier) if account else None,
        language=readable(lambda: contact.language) if contact else None,
        channel=readable(lambda: contact[PreferredChannel].channel) if contact else None,
    )
    known = [own, *parts]
    return AgentCard(
        account=account,
        contact=contact,
        tier=next((p.tier for p in known if p.tier), None),
        language=next((p.language for p in known if p.language), None),
        channel=next((p.channel for p in known if p.channel), None),
        tickets=readable(lambda: _tickets(session, subject)) or [],
        promises=readable(lambda: _promises(session, subject)) or [],
        csat=readable(lambda: _csat(session, subject)),
        products=list(dict.fromkeys(name for p in known for name in p.products)),
        deals=[deal for p in known for deal in p.deals],
        more={name: value for p in known for name, value in p.more.items()},
    )


def readable(read: Callable[[], T]) -> T | None:
    """Return what *read* reads, or None where it needs a field that the actor may not see."""
    try:
        return read()
    except NotReadable:
        return None


def of_subject(entity: Any, subject: CardSubject) -> Any:
    """Return the criterion for an entity's records of the card's account, else of its person."""
    return entity.account == subject.account if subject.account else entity.contact == subject.contact


def _tickets(session: Session, subject: CardSubject) -> list[Ticket]:
    living = Ticket.status.in_([s for s in TicketStatus if s not in DONE])
    return session.query(Ticket).where(of_subject(Ticket, subject), living).order_by(Ticket.created_at.desc()).page(MOST).items


def _promises(session: Session, subject: CardSubject) -> list[Promise]:
    if subject.account is None:
        return []
    found = session.query(Promise).where(Promise.account == subject.account, Promise.fulfilled.is_(False))
    return found.order_by(Promise.due, Promise.id).page(MOST).items


def _csat(session: Session, subject: CardSubject) -> LastScore | None:
    asked = {s.id: s for s in session.query(Survey).where(Survey.kind == SurveyKind.CSAT).all()}
    mine = SurveyResponse.contact == subject.contact if subject.contact else SurveyResponse.account == subject.account
    found = session.query(SurveyResponse).where(mine, SurveyResponse.survey.in_(list(asked))).order_by(SurveyResponse.at.desc())
    last = found.first() if asked else None
    if last is None:
        return None
    survey = asked[last.survey.id]
    return LastScore(survey.name, last.score, scale(survey)[1], last.at)
