"""Sending: a campaign's planned members are asked for their consent at the moment they are sent to, one by one [G17]."""

from __future__ import annotations

import attrs

from crm_core import Channel, Contact, Ref, Refused, Session

from .campaigns import Campaign, CampaignStatus
from .consent import SendAnswer, may_send
from .members import CampaignMember, MemberStatus
from .people import seen


@attrs.frozen
class Sending:
    """What became of a batch.

    Attributes:
        sent: the contacts who may be written to, and now count as sent to.
        refused: those who may not, with the reason; they stay planned, and all others are sent to.
        after: give it to send the next batch; None at the end.
    """

    sent: tuple[Ref[Contact], ...]
    refused: tuple[SendAnswer, ...]
    after: str | None


def send(session: Session, campaign: Ref[Campaign], purpose: str, channel: Channel | None, size: int, after: str | None) -> Sending:
    """Take the next planned contacts of an active campaign, and mark those who consent as sent to.

    Raises:
        Refused: ``marketing.not_active``.
    """
    current = session.lock(Campaign, campaign)  # of two who send at once, the second finds what the first one left
    if current.status is not CampaignStatus.ACTIVE:
        raise Refused("marketing.not_active", status=current.status.value)
    waiting = session.query(CampaignMember).where(
        CampaignMember.campaign == campaign,
        CampaignMember.status == MemberStatus.PLANNED,
        CampaignMember.contact.is_not(None),
        seen(session, CampaignMember),
    )
    page = waiting.page(size, after=after)
    people = [m.contact for m in page if m.contact]
    answers = list(may_send(session, people, purpose, channel or current.channel))
    allowed = {a.contact for a in answers if a.allowed}
    chosen = waiting.where(CampaignMember.contact.in_(sorted(allowed)))
    if allowed:
        session.update_where(chosen, {"status": MemberStatus.SENT})
    return Sending(tuple(p for p in people if p.id in allowed), tuple(a for a in answers if not a.allowed), page.next)
