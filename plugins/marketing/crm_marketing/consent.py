"""Consent: who agreed to be written to, what they read when they did, and the proof of it; asked at the moment of sending [G17]."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, cast

import attrs

from crm_core import (
    Change,
    Channel,
    Contact,
    Entity,
    Event,
    Field,
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
from .plugin import plugin


class Consent(Entity):
    """That a person agreed to one purpose on one channel. What was given never changes; it can only be withdrawn.

    ``text`` is what they were shown, ``evidence`` the proof (form, address, time as the form knew it), ``source`` where it was given.
    ``living`` is the key that no two consents in force share.
    """

    contact: Field[Ref[Contact]] = field(on_delete="cascade", index=True)
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

    contact: Ref[Contact]
    purpose: str
    channel: str


class ConsentWithdrawn(Event[Consent], name="marketing.consent_withdrawn", version=1):
    """A person took a consent back."""

    contact: Ref[Contact]
    purpose: str
    channel: str


plugin.entities(Consent)
plugin.events(ConsentGiven, ConsentWithdrawn)


@attrs.frozen
class SendAnswer:
    """Whether a person may be written to now.

    Attributes:
        contact: the contact's id.
        reason: a message id: ``marketing.send.allowed``, ``marketing.send.no_consent``, ``marketing.send.withdrawn``, or
            ``marketing.send.unknown`` for one that the actor does not see.
    """

    contact: str
    allowed: bool
    reason: str


@plugin.hook(before_write, on=Consent)
def keep_consent(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Keep the key that no two consents in force share."""
    for change in changes if ctx.op in ("create", "update") else ():
        consent = cast(Consent, change.record)
        consent.living = None if consent.withdrawn_at else f"{consent.contact.id}:{consent.channel.value}:{consent.purpose}"
    return changes


@plugin.hook(check_write, on=Consent)
def check_consents(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse consents without their proof, changes of what was given, and a withdrawal that is taken back or before the consent."""
    for change in changes if ctx.op in ("create", "update") else ():
        consent, old = cast(Consent, change.record), cast("Consent | None", change.old)
        blank = [n for n in ("purpose", "text", "source") if not getattr(consent, n).strip()]
        blank += [] if consent.evidence else ["evidence"]
        if old is None and blank:
            ctx.refuse(change, "marketing.consent_unproven", field=blank[0], missing=blank)
        if old is not None and (change.fields - {"withdrawn_at", "living"} or old.withdrawn_at is not None):
            ctx.refuse(change, "marketing.consent_fixed")
        if consent.withdrawn_at is not None and consent.withdrawn_at < consent.given_at:
            ctx.refuse(change, "marketing.withdrawn_before", field="withdrawn_at")


@plugin.hook(after_write, on=Consent)
def tell_consents(ctx: WriteCtx, changes: list[Change]) -> None:
    """Tell of what was given and withdrawn."""
    for change in changes:
        consent = cast(Consent, change.record)
        facts: dict[str, Any] = {"contact": consent.contact, "purpose": consent.purpose, "channel": consent.channel.value}
        if ctx.op == "create" and consent.withdrawn_at is None:
            ctx.session.emit(ConsentGiven(record=consent.ref, **facts))
        elif ctx.op == "update" and "withdrawn_at" in change.fields:
            ctx.session.emit(ConsentWithdrawn(record=consent.ref, **facts))


def give(
    session: Session, contact: Ref[Contact], purpose: str, *, text: str, evidence: Mapping[str, Any], source: str, channel: Channel
) -> Consent:
    """Record a consent; one in force stays as it is and is returned.

    Raises:
        Refused: ``marketing.consent_unproven``, ``marketing.contended``.
    """
    living = (Consent.contact == contact, Consent.purpose == purpose, Consent.channel == channel, Consent.withdrawn_at.is_(None))
    now = session.crm.runtime.clock.now()
    facts: dict[str, Any] = {"text": text, "evidence": dict(evidence), "source": source, "given_at": now}

    def find_or_create() -> Consent:
        known = session.query(Consent).where(*living).first()
        return known or session.create(Consent(contact=contact, purpose=purpose, channel=channel, **facts))

    return retried(session, find_or_create)


def withdraw(session: Session, contact: Ref[Contact], purpose: str | None, channel: Channel | None) -> int:
    """Withdraw what a person agreed to, for one purpose or channel or for all; nobody else is touched.

    Returns:
        how many consents ended.

    Raises:
        Refused: ``marketing.nothing_to_withdraw``: there was none, also none withdrawn before.
    """
    theirs = [Consent.contact == contact]
    theirs += [Consent.purpose == purpose] if purpose is not None else []
    theirs += [Consent.channel == channel] if channel is not None else []
    found = session.query(Consent).where(*theirs)
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
        given = {c.contact.id for c in consents if c.given_at <= now and (c.withdrawn_at is None or c.withdrawn_at > now)}
        ended = {c.contact.id for c in consents if c.withdrawn_at is not None and c.withdrawn_at <= now}
        yield from (_answer(i, i in seen, i in given, i in ended) for i in ids)


def _answer(contact: str, seen: bool, given: bool, ended: bool) -> SendAnswer:
    reason = "unknown" if not seen else "allowed" if given else "withdrawn" if ended else "no_consent"
    return SendAnswer(contact, given, f"marketing.send.{reason}")
