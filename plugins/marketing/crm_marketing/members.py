"""Who is in a campaign, and how far each has come [C25]."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import Enum
from itertools import islice
from typing import ClassVar, TypeVar, cast

from crm_core import Change, Contact, Entity, Field, Ref, Session, WriteCtx, before_write, check_write, field

from .campaigns import Campaign
from .people import Given, as_link, check_people, columns
from .plugin import plugin

T = TypeVar("T")
BATCH = 500


class MemberStatus(Enum):
    """How far a member of a campaign has come; each step takes in those before it."""

    PLANNED = "planned"
    SENT = "sent"
    OPENED = "opened"
    RESPONDED = "responded"
    CONVERTED = "converted"

    @property
    def step(self) -> int:
        """Where it stands in the order."""
        return list(MemberStatus).index(self)


class CampaignMember(Entity):
    """Somebody in a campaign: a contact, or a lead of sales by its id; each once. ``status_at`` and ``key`` are kept by the module.

    Attributes:
        contact: the person, where it is one.
        lead: the id of a lead, where it is one.
    """

    __erased__: ClassVar[str] = "delete"

    campaign: Field[Ref[Campaign]] = field(on_delete="cascade", index=True)
    contact: Field[Ref[Contact] | None] = field(default=None, on_delete="cascade", index=True)
    lead: Field[str | None] = field(default=None, length=36, index=True)
    status: Field[MemberStatus] = field(default=MemberStatus.PLANNED)
    status_at: Field[datetime | None] = field(default=None, read_only=True)
    key: Field[str | None] = field(default=None, length=73, unique=True, read_only=True)


plugin.entities(CampaignMember)


@plugin.hook(before_write, on=CampaignMember)
def keep_member(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Keep the key that no two members share, and when each step was taken."""
    now = ctx.session.crm.runtime.clock.now()
    for change in changes if ctx.op in ("create", "update") else ():
        member = cast(CampaignMember, change.record)
        member.key = member_key(member.campaign, member.contact.id if member.contact else member.lead or "")
        if change.old is None or "status" in change.fields:
            member.status_at = now
    return changes


@plugin.hook(check_write, on=CampaignMember)
def check_members(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse members that are nobody, two at once or become somebody else; the module takes them along to what a lead became."""
    if ctx.op == "create":
        check_people(ctx, changes)
    for change in changes if ctx.op == "update" else ():
        if change.fields & ({"campaign"} if ctx.session.actor.plugin else {"campaign", "contact", "lead"}):
            ctx.refuse(change, "marketing.member_fixed")


def member_key(campaign: Ref[Campaign], person: str) -> str:
    """Return the key that no two members share, of a contact or lead by its id."""
    return f"{campaign.id}:{person}"


def enrol(session: Session, campaign: Ref[Campaign], people: Iterable[Given]) -> int:
    """Add people to a campaign; who is in it already stays as they are.

    Returns:
        how many are new.

    Raises:
        Denied, Invalid, Refused: nobody was added.
    """
    added = 0
    with session.savepoint():
        for batch in batches(people):
            wanted = {member_key(campaign, as_link(p).record): columns(p) for p in batch}
            known = {m.key for m in session.query(CampaignMember).where(CampaignMember.key.in_(list(wanted))).all()}
            new = [CampaignMember(campaign=campaign, **person) for key, person in wanted.items() if key not in known]
            done = session.create_many(new, on_error="collect")
            for _, error in done.failed:
                if error.code != "not_unique":  # somebody else was quicker
                    raise error
            added += len(done.ok)
    return added


def advance(session: Session, campaign: Ref[Campaign], people: Iterable[Given], status: MemberStatus) -> int:
    """Bring members to a step; who is there or further stays, so that a late report of an opened mail undoes no answer.

    Returns:
        how many moved.
    """
    session.lock(Campaign, campaign)  # else one who reports less at the same moment could lead back
    before = [s for s in MemberStatus if s.step < status.step]
    moved = 0
    for batch in batches(people):
        keys = [member_key(campaign, as_link(p).record) for p in batch]
        behind = session.query(CampaignMember).where(CampaignMember.key.in_(keys), CampaignMember.status.in_(before))
        moved += session.update_where(behind, {"status": status})
    return moved


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """Cut *items* into lists."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
