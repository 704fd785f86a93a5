"""A lead becomes a contact: its places in campaigns and its consents go along, so that neither is lost nor counted twice [C13]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from crm_core import Channel, Contact, Ref, Session

from .consent import Consent
from .members import CampaignMember, member_key


def follow(session: Session, became: Mapping[str, Ref[Contact]]) -> None:
    """Let what is kept of leads, by their ids, be kept of the contacts they became."""
    _members(session, became)
    _consents(session, became)


def _members(session: Session, became: Mapping[str, Ref[Contact]]) -> None:
    """Where the contact is in the campaign already, the further of the two steps counts."""
    coming = session.query(CampaignMember).where(CampaignMember.lead.in_(sorted(became))).order_by(CampaignMember.id).all()
    wanted = {m.id: member_key(m.campaign, became[m.lead or ""].id) for m in coming}
    there = {m.key: m for m in session.query(CampaignMember).where(CampaignMember.key.in_(list(wanted.values()))).all()}
    for member in coming:
        known = there.get(wanted[member.id])
        if known is None:
            there[wanted[member.id]] = session.update(CampaignMember, member.id, {"contact": became[member.lead or ""], "lead": None})
            continue
        session.delete(member)
        if known.status.step < member.status.step:
            there[wanted[member.id]] = session.update(CampaignMember, known.id, {"status": member.status})


def _consents(session: Session, became: Mapping[str, Ref[Contact]]) -> None:
    for consent in session.query(Consent).where(Consent.lead.in_(sorted(became))).order_by(Consent.given_at, Consent.id).all():
        session.update(Consent, consent.id, {"contact": became[consent.lead or ""], "lead": None})
    contacts = sorted({contact.id for contact in became.values()})
    _end(session, session.query(Consent).where(Consent.contact.in_(contacts)).all())


def _end(session: Session, consents: Sequence[Consent]) -> None:
    """A withdrawal ends what the person agreed to before it under whichever name."""
    last: dict[tuple[str, str, Channel], datetime] = {}
    for consent in consents:
        if consent.contact is not None and consent.withdrawn_at is not None:
            key = (consent.contact.id, consent.purpose, consent.channel)
            last[key] = max(consent.withdrawn_at, last.get(key, consent.withdrawn_at))
    for consent in consents:
        ended = last.get((consent.contact.id, consent.purpose, consent.channel)) if consent.contact else None
        if consent.withdrawn_at is None and ended is not None and consent.given_at <= ended:
            session.update(Consent, consent.id, {"withdrawn_at": ended})
