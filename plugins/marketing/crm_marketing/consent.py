"""Consent: who agreed to be written to, what they read when they did, and the proof of it; asked at the moment of sending [G17]."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, cast

import attrs
from sqlalchemy import or_

from crm_core import (
    Change,
    Channel,
    Contact,
    Entity,
    Event,
    Field,
    Query,
    Ref,
    Refused,
    Session,
    WriteCtx,
    after_write,
    before_write,
    check_write,
    field,
)

from .contention import retried
from .members import batches
from .people import CONTACT, LEAD, Given, as_link, check_people, columns, everybody
from .plugin import plugin

_WHOSE = frozenset({"contact", "lead"})


class Consent(Entity):
    """That a person, a contact or a lead of sales by its id, agreed to one purpose on one channel.

    What was given never changes; it can only be withdrawn. A converted lead's consents become its contact's.
    ``text`` is what they were shown, ``evidence`` the proof (form, address, time as the form knew it), ``source`` where it was given.
    ``living`` is the key that no two consents in force share.

    Attributes:
        contact: who agreed.
        lead: the id of the lead who agreed.
        purpose: what they agreed to, such as news.
        given_at: when they agreed.
        withdrawn_at: when they took it back; empty while it holds.
    """

    __erased__: ClassVar[str] = "delete"

    contact: Field[Ref[Contact] | None] = field(default=None, on_delete="cascade", index=True)
    lead: Field[str | None] = field(default=None, length=36, index=True)
    purpose: Field[str] = field(length=100)
    channel: Field[Channel] = field(default=Channel.EMAIL)
    text: Field[str] = field(text=True)
    evidence: Field[dict[str, Any]] = field(pii=True)
    source: Field[str] = field(length=255)
    given_at: Field[datetime]
    withdrawn_at: Field[datetime | None] = field(default=None)
    living: Field[str | None] = field(default=None, length=180, unique=True, read_only=True)


class ConsentGiven(Event[Consent], name="marketing.consent_given", version=1):
    """A person agreed."""

    contact: Ref[Contact] | None
    purpose: str
    channel: str
    lead: str | None = None


class ConsentWithdrawn(Event[Consent], name="marketing.consent_withdrawn", version=1):
    """A person took a consent back."""

    contact: Ref[Contact] | None
    purpose: str
    channel: str
    lead: str | None = None


plugin.entities(Consent)
plugin.events(ConsentGiven, ConsentWithdrawn)


@attrs.frozen
class SendAnswer:
    """Whether a person may be written to now.

    Attributes:
        contact: the contact's id.
        reason: a message id: ``marketing.send.allowed``, ``marketing.send.no_consent``, ``marketing.send.withdrawn``,
            ``marketing.send.blocked`` for one whose data is restricted or who has an address that is suppressed, or
            ``marketing.send.unknown`` for one that the actor does not see.
    """

    contact: str
    allowed: bool
    reason: str


@plugin.hook(before_write, on=Consent)
def keep_consent(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Keep the key that no two consents in force share; one that comes to a person who gave the same already goes without."""
    consents = [cast(Consent, c.record) for c in changes if ctx.op in ("create", "update")]
    for consent in consents:
        consent.living = None if consent.withdrawn_at else f"{_person(consent)}:{consent.channel.value}:{consent.purpose}"
    moved = {c.record.id for c in changes if c.old is not None and c.fields & _WHOSE}
    if moved:
        keys = [c.living for c in consents if c.id in moved and c.living]
        taken = {c.living for c in ctx.session.query(Consent).where(Consent.living.in_(keys)).all() if c.id not in moved}
        for consent in consents:
            if consent.id in moved and consent.living:
                consent.living = None if consent.living in taken else consent.living
                taken.add(consent.living)
    return changes


def _person(consent: Consent) -> str:
    return consent.contact.id if consent.contact else consent.lead or ""


@plugin.hook(check_write, on=Consent)
def check_consents(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse consents of nobody or without their proof, changes of what was given, and a withdrawal that is taken back or too early."""
    if ctx.op == "create":
        check_people(ctx, changes)
    for change in changes if ctx.op in ("create", "update") else ():
        consent, old = cast(Consent, change.record), cast("Consent | None", change.old)
        blank = [n for n in ("purpose", "text", "source") if not getattr(consent, n).strip()]
        blank += [] if consent.evidence else ["evidence"]
        if old is None and blank:
            ctx.refuse(change, "marketing.consent_unproven", field=blank[0], missing=blank)
        if old is not None and not _allowed(ctx, change.fields, old):
            ctx.refuse(change, "marketing.consent_fixed")
        if consent.withdrawn_at is not None and consent.withdrawn_at < consent.given_at:
            ctx.refuse(change, "marketing.withdrawn_before", field="withdrawn_at")


def _allowed(ctx: WriteCtx, fields: Collection[str], old: Consent) -> bool:
    """A consent in force may be withdrawn, and the module takes any along to what its person became."""
    if ctx.session.actor.plugin and not set(fields) - _WHOSE - {"living"}:
        return True
    return not set(fields) - {"withdrawn_at", "living"} and old.withdrawn_at is None


@plugin.hook(after_write, on=Consent)
def tell_consents(ctx: WriteCtx, changes: list[Change]) -> None:
    """Tell of what was given and withdrawn."""
    for change in changes:
        consent = cast(Consent, change.record)
        facts: dict[str, Any] = {
            "contact": consent.contact,
            "lead": consent.lead,
            "purpose": consent.purpose,
            "channel": consent.channel.value,
        }
        if ctx.op == "create" and consent.withdrawn_at is None:
            ctx.session.emit(ConsentGiven(record=consent.ref, **facts))
        elif ctx.op == "update" and "withdrawn_at" in change.fields:
            ctx.session.emit(ConsentWithdrawn(record=consent.ref, **facts))


def give(
    session: Session, person: Given, purpose: str, *, text: str, evidence: Mapping[str, Any], source: str, channel: Channel
) -> Consent:
    """Record a consent; one in force stays as it is and is returned.

    Raises:
        Invalid: ``marketing.not_a_person``.
        Refused: ``marketing.consent_unproven``, ``marketing.contended``.
    """
    living = (Consent.purpose == purpose, Consent.channel == channel, Consent.withdrawn_at.is_(None))
    now = session.crm.runtime.clock.now()
    facts: dict[str, Any] = {"text": text, "evidence": dict(evidence), "source": source, "given_at": now}

    def find_or_create() -> Consent:
        known = _of(session, [person]).where(*living).first()
        return known or session.create(Consent(**columns(person), purpose=purpose, channel=channel, **facts))

    return retried(session, find_or_create)


def _of(session: Session, people: Iterable[Given]) -> Query[Consent]:
    """Find what these people agreed to."""
    ids = {entity: [link.record for link in map(as_link, people) if link.entity == entity] for entity in (CONTACT, LEAD)}
    return session.query(Consent).where(or_(Consent.contact.in_(ids[CONTACT]), Consent.lead.in_(ids[LEAD])))


def withdraw(session: Session, person: Given, purpose: str | None, channel: Channel | None) -> int:
    """Withdraw what a person agreed to, under whatever they are known as, for one purpose or channel or for all; nobody else is touched.

    Returns:
        how many consents ended.

    Raises:
        Refused: ``marketing.nothing_to_withdraw``: there was none, also none withdrawn before.
    """
    theirs = [Consent.purpose == purpose] if purpose is not None else []
    theirs += [Consent.channel == channel] if channel is not None else []
    found = _of(session, everybody(session, [person])).where(*theirs)
    if found.count(limit=1) == 0:
        raise Refused("marketing.nothing_to_withdraw")
    return session.update_where(found.where(Consent.withdrawn_at.is_(None)), {"withdrawn_at": session.crm.runtime.clock.now()})


def may_send(session: Session, contacts: Iterable[str | Ref[Contact] | Contact], purpose: str, channel: Channel) -> Iterator[SendAnswer]:
    """Say for each contact whether they may be written to at this moment, in the order given."""
    for batch in batches(contacts):
        ids = [c if isinstance(c, str) else c.id for c in batch]
        seen = {c.id for c in session.get_many(Contact, ids)}
        asked = (Consent.contact.in_(sorted(seen)), Consent.purpose == purpose, Consent.channel == channel)
        consents = session.query(Consent).where(*asked).all() if seen else []
        now = session.crm.runtime.clock.now()
        given = {_person(c) for c in consents if c.given_at <= now and (c.withdrawn_at is None or c.withdrawn_at > now)}
        ended = {_person(c) for c in consents if c.withdrawn_at is not None and c.withdrawn_at <= now}
        blocked = session.blocked(Contact, sorted(seen))
        yield from (_answer(i, i in seen, i in blocked, i in given, i in ended) for i in ids)


def _answer(contact: str, seen: bool, blocked: bool, given: bool, ended: bool) -> SendAnswer:
    reason = "unknown" if not seen else "blocked" if blocked else "allowed" if given else "withdrawn" if ended else "no_consent"
    return SendAnswer(contact, reason == "allowed", f"marketing.send.{reason}")
