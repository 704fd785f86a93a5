"""Actions: what screens, REST, automations and tests call; and the panels beside contacts and accounts."""

from __future__ import annotations

from typing import Any

import attrs
from sqlalchemy import ColumnElement, func, select

from crm_core import Account, Channel, Contact, Ref, Session

from .campaigns import Campaign
from .consent import Consent, SendAnswer
from .members import CampaignMember
from .membership import Refreshed
from .people import seen, there
from .plugin import plugin
from .segments import Segment
from .sending import Sending
from .service import Marketing
from .touches import Touch


@attrs.define
class EnrolSegment:
    """Make the people of a segment members of a campaign."""

    campaign: Ref[Campaign]
    segment: str


@attrs.define
class SendCampaign:
    """Send to the next planned members who consent to a purpose."""

    campaign: Ref[Campaign]
    purpose: str
    size: int = 500
    after: str | None = None


@attrs.define
class RefreshSegment:
    """Bring a dynamic segment up to date."""

    segment: Ref[Segment]


@attrs.define
class GiveConsent:
    """Record what a person agreed to, and the proof of it."""

    contact: Ref[Contact]
    purpose: str
    text: str
    evidence: dict[str, Any]
    source: str
    channel: Channel = Channel.EMAIL


@attrs.define
class WithdrawConsent:
    """End what a person agreed to, for one purpose or for all."""

    contact: Ref[Contact]
    purpose: str | None = None


@attrs.define
class AskConsent:
    """Ask whether a person may be written to."""

    contact: Ref[Contact]
    purpose: str
    channel: Channel = Channel.EMAIL


@plugin.action(on=Campaign, permission="marketing.run", label="marketing.action.enrol")
def enrol_segment(session: Session, command: EnrolSegment) -> int:
    """Make the people of a segment members of a campaign; return how many are new."""
    return session.use(Marketing).enrol(command.campaign, Ref(Segment, command.segment))


@plugin.action(on=Campaign, permission="marketing.run", label="marketing.action.send")
def send_campaign(session: Session, command: SendCampaign) -> Sending:
    """Send to the next planned members who consent."""
    return session.use(Marketing).send(command.campaign, command.purpose, size=command.size, after=command.after)


@plugin.action(on=Segment, permission="marketing.run", label="marketing.action.refresh")
def refresh_segment(session: Session, command: RefreshSegment) -> Refreshed:
    """Bring a dynamic segment up to date."""
    return session.use(Marketing).refresh(command.segment)


@plugin.action(on=Contact, permission="marketing.work", label="marketing.action.give_consent")
def give_consent(session: Session, command: GiveConsent) -> Consent:
    """Record a consent."""
    facts = attrs.asdict(command, recurse=False)
    return session.use(Marketing).give_consent(facts.pop("contact"), facts.pop("purpose"), **facts)


@plugin.action(on=Contact, permission="marketing.work", label="marketing.action.withdraw_consent")
def withdraw_consent(session: Session, command: WithdrawConsent) -> int:
    """End consents; return how many."""
    return session.use(Marketing).withdraw(command.contact, command.purpose)


@plugin.action(on=Contact, permission="marketing.work", label="marketing.action.ask_consent")
def ask_consent(session: Session, command: AskConsent) -> SendAnswer:
    """Ask whether a person may be written to now."""
    return next(session.use(Marketing).may_send([command.contact], command.purpose, channel=command.channel))


@plugin.panel(Contact, label="marketing.panel.marketing", reads=[CampaignMember, Consent, Touch])
def marketing_of_contact(session: Session, contact: Contact) -> dict[str, Any]:
    """The newest campaigns a contact is in, what they agreed to, and where they came from first."""
    within = (CampaignMember.contact == contact.ref, seen(session, CampaignMember))
    found = session.query(CampaignMember).where(*within).preload(CampaignMember.campaign).order_by(CampaignMember.id.desc()).page(20)
    consents = session.query(Consent).where(Consent.contact == contact.ref).order_by(Consent.given_at, Consent.id).all()
    came = session.use(Marketing).touches(contact)
    return {
        "campaigns": [
            {"name": campaign.name, "status": member.status.value}
            for member in found
            if (campaign := session.related(member, CampaignMember.campaign)) is not None
        ],
        "consents": [_shown(c) for c in consents],
        "first_touch": {"source": came[0].source, "medium": came[0].medium, "at": came[0].at.isoformat()} if came else None,
    }


@plugin.panel(Account, label="marketing.panel.marketing", reads=[CampaignMember, Consent])
def marketing_of_account(session: Session, account: Account) -> dict[str, Any]:
    """How many people of a customer each of the newest campaigns has, and how many agreed to what."""
    reached: Any = select(CampaignMember.campaign, func.count()).where(_belongs(CampaignMember, account)).group_by(CampaignMember.campaign)
    counted = {row[0].id: row[1] for row in session.execute(reached)} if session.can("read", CampaignMember) else {}
    campaigns = session.get_many(Campaign, sorted(counted, reverse=True)[:20]) if session.can("read", Campaign) else []
    agreed: Any = select(Consent.purpose, Consent.channel, func.count()).where(_belongs(Consent, account), Consent.withdrawn_at.is_(None))
    rows: Any = session.execute(agreed.group_by(Consent.purpose, Consent.channel)) if session.can("read", Consent) else []
    return {
        "campaigns": [{"name": campaign.name, "people": counted[campaign.id]} for campaign in campaigns],
        "consents": sorted(({"purpose": r[0], "channel": r[1].value, "people": r[2]} for r in rows), key=lambda c: str(c.values())),
    }


def _belongs(entity: Any, account: Account) -> ColumnElement[bool]:
    return there(Contact, Contact.id == entity.contact, Contact.account == account.ref)


def _shown(consent: Consent) -> dict[str, Any]:
    withdrawn = consent.withdrawn_at.isoformat() if consent.withdrawn_at else None
    given = consent.given_at.isoformat()
    return {"purpose": consent.purpose, "channel": consent.channel.value, "given_at": given, "withdrawn_at": withdrawn}
