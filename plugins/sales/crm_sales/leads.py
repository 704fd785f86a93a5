"""Leads and their one intake: validate, find duplicates, assign in turn, in one transaction, whichever way they come [C10, C12]."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from enum import Enum
from typing import ClassVar, TypeVar, cast

import attrs

from crm_core import (
    Account,
    Change,
    Channel,
    CollectHook,
    Conflict,
    Contact,
    Ctx,
    Denied,
    Direction,
    Email,
    Entity,
    Event,
    Field,
    Interaction,
    Link,
    ListField,
    OptionalMoneyField,
    Phone,
    Ref,
    Refused,
    Session,
    WriteCtx,
    after_write,
    before_write,
    check_write,
    field,
)

from .numbers import take_turns
from .opportunities import Opportunity
from .plugin import plugin
from .settings import Settings


class LeadStatus(Enum):
    """How far a lead is."""

    NEW = "new"
    WORKING = "working"
    DISQUALIFIED = "disqualified"
    CONVERTED = "converted"


L = TypeVar("L", "Lead", Contact)
LIVE = (LeadStatus.NEW, LeadStatus.WORKING)


class Lead(Entity):
    """Someone who may become a customer. Without an owner it lies in the pool, for whoever claims it.

    ``source`` and ``utm`` say where the first touch came from and never change. ``identity`` is the address or number that no two live
    leads share; the intake keeps it.

    Attributes:
        company: where the person works.
        title: the position there.
        converted_at: when it became a customer.
        converted_account: the account it became.
        converted_contact: the contact it became.
        converted_opportunity: the deal it became.
        amount: what a deal may be worth.
    """

    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("status", "id"),)

    __subject__: ClassVar[str] = "converted_contact"

    name: Field[str] = field(pii=True, label="Name")
    company: Field[str | None] = field(default=None, pii=True)
    title: Field[str | None] = field(default=None, pii=True)
    emails: ListField[Email] = field(factory=list, pii=True)
    phones: ListField[Phone] = field(factory=list, pii=True)
    owner: Field[str | None] = field(default=None)
    status: Field[LeadStatus] = field(default=LeadStatus.NEW)
    amount: OptionalMoneyField = field(default=None)
    source: Field[str | None] = field(default=None, length=100)
    utm: Field[dict[str, str]] = field(factory=dict, pii=True)
    external_ref: Field[str | None] = field(default=None, unique=True, pii=True)
    identity: Field[str | None] = field(default=None, length=320, unique=True, pii=True, read_only=True)
    converted_at: Field[datetime | None] = field(default=None, read_only=True)
    converted_account: Field[Ref[Account] | None] = field(default=None, on_delete="set_null", read_only=True)
    converted_contact: Field[Ref[Contact] | None] = field(default=None, on_delete="set_null", read_only=True)
    converted_opportunity: Field[Ref[Opportunity] | None] = field(default=None, on_delete="set_null", read_only=True)


class LeadAssigned(Event[Lead], name="sales.lead_assigned", version=1):
    """A lead has another owner than before; None is the pool."""

    old: str | None
    new: str | None
    reason: str = ""


plugin.entities(Lead)
plugin.events(LeadAssigned)


@attrs.frozen
class LeadIntake:
    """What a form, a mail, an event or a program knows of somebody who shows interest.

    Attributes:
        utm: the campaign's parameters, kept at the first touch.
        message: what they wrote; it becomes the body of the touch in the timeline.
        channel: how it came, in the words of :class:`crm_core.Channel`.
    """

    name: str
    company: str | None = None
    email: str = ""
    phone: str = ""
    source: str | None = None
    utm: dict[str, str] = attrs.Factory(dict)
    message: str = ""
    channel: Channel = Channel.WEB


@attrs.frozen
class IntakeResult:
    """What became of an intake, as the caller may see it.

    Attributes:
        lead: the new lead, or the live one that was there; None where the caller may not see it.
        created: whether it is new.
        contact: the contact who has this e-mail or phone already, if the caller may see them.
    """

    lead: Lead | None
    created: bool
    contact: Contact | None


@attrs.define(eq=False)
class IntakeCtx(Ctx):
    """An intake that is done, in its still open transaction."""


@attrs.frozen
class TakenIn:
    """Who was taken in, with what they came with; ``created`` says whether the lead is new. An intake that is replayed is none."""

    lead: Lead
    given: LeadIntake
    created: bool


after_intake: CollectHook[IntakeCtx, list[TakenIn], None] = CollectHook("sales.after_intake")
"""Act on what was taken in, in the same transaction: keep where it came from, grade it. Leads are whole, whatever the actor sees."""

plugin.hooks(after_intake)


def intake(session: Session, given: LeadIntake, *, key: str | None = None) -> IntakeResult:
    """Take somebody in: one live lead a person, a touch in the timeline each time, an owner in turn; all or nothing.

    Args:
        key: done once a key; a second call returns what the first one made.

    Raises:
        Denied: the actor may not create leads.
        Invalid: the e-mail or phone cannot be one, or another field is wrong.
    """
    if not session.can("create", Lead):
        raise Denied(action="create", entity="sales.lead")
    draft = _draft(session, given)
    for _ in range(3):
        try:
            with session.savepoint():
                return _take_in(session, given, draft(), key)
        except Conflict:
            continue  # the same person, or the same key, came in another transaction meanwhile
    raise Refused("sales.intake_contended")


def _draft(session: Session, given: LeadIntake) -> Callable[[], Lead]:
    emails = [Email(given.email).normalised()] if given.email else []
    phones = [Phone(given.phone).normalised(session.crm.region)] if given.phone else []

    def make() -> Lead:
        return Lead(name=given.name, company=given.company, emails=emails, phones=phones, source=given.source, utm=dict(given.utm))

    return make


def _take_in(session: Session, given: LeadIntake, draft: Lead, key: str | None) -> IntakeResult:
    reference = f"intake:{key}" if key else None
    wanted = list(addresses(draft))
    with session.elevated("duplicates of a lead") as elevated:
        contact = holder(elevated, Contact, wanted)
        known = _by_key(elevated, reference)
        if known is None:
            lead = holder(elevated, Lead, wanted) or elevated.create(draft)
            links = [Link.to(lead), *([Link.to(contact)] if contact else [])]
            touch = Interaction(
                at=session.crm.runtime.clock.now(), channel=given.channel, direction=Direction.INBOUND, subject=given.source or "",
                body=given.message, links=links, owner=lead.owner, external_ref=reference,
            )  # fmt: skip
            elevated.create(touch)
        else:
            lead = known
    if known is None:
        after_intake(IntakeCtx(session=session), [TakenIn(lead, given, lead is draft)])
    return IntakeResult(session.seen(lead), lead is draft, session.seen(contact))


def _by_key(session: Session, reference: str | None) -> Lead | None:
    if reference is None:
        return None
    touch = session.query(Interaction).where(Interaction.external_ref == reference).first()
    found = next((link.record for link in touch.links if link.entity == "sales.lead"), None) if touch else None
    return session.find(Lead, found)


def addresses(record: Lead | Contact) -> Iterator[str]:
    """Yield a record's e-mails and phones, as normalised."""
    yield from (e.address for e in record.emails)
    yield from (p.number for p in record.phones)


def holders(session: Session, entity: type[L], wanted: Sequence[str]) -> dict[str, L]:
    """Return who has each of these e-mails and phones, as far as the session sees them: the oldest; of leads only live ones."""
    from sqlalchemy import or_

    found: dict[str, L] = {}
    live = (Lead.status.in_(LIVE),) if entity is Lead else ()
    for start in range(0, len(wanted), 100):
        part = wanted[start : start + 100]
        any_of = or_(*((entity.emails if "@" in a else entity.phones).has(a) for a in part))
        for record in session.query(entity).where(any_of, *live).order_by(entity.created_at).all():
            for address in addresses(record):
                found.setdefault(address, record)
    return found


def holder(session: Session, entity: type[L], wanted: Sequence[str]) -> L | None:
    """Return who has the first of these e-mails and phones that anybody has."""
    found = holders(session, entity, wanted)
    return next((found[a] for a in wanted if a in found), None)


# What every way of writing a lead goes through


@plugin.hook(before_write, on=Lead)
def receive(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Give live leads the identity that no two share, and new ones without an owner the next person of the pool."""
    if ctx.op not in ("create", "update"):
        return changes
    for change in changes:
        lead = cast(Lead, change.record)
        lead.identity = next(addresses(lead), None) if lead.status in LIVE else None
    if ctx.op == "create":
        _assign(ctx.session, [cast(Lead, c.record) for c in changes])
    return changes


def _assign(session: Session, leads: Sequence[Lead]) -> None:
    waiting = [lead for lead in leads if lead.owner is None]
    if not waiting:
        return
    pool = session.settings(Settings).lead_pool
    people = session.people
    able = [p for p in pool if not people or (p in people and people[p].active and not people[p].absent)]
    # Where nobody is able to, the leads stay in the pool.
    for lead, owner in zip(waiting, take_turns(session, "leads", pool, able, len(waiting)), strict=False):
        lead.owner = owner


@plugin.hook(check_write, on=Lead)
def check_leads(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse a second live lead of one person, a changed first touch, and changes of a converted lead."""
    if ctx.op not in ("create", "update") or ctx.session.actor.plugin == plugin.name:
        return
    for change in changes:
        old = cast("Lead | None", change.old)
        if old is None:
            continue
        if old.status is LeadStatus.CONVERTED:
            ctx.refuse(change, "sales.lead_converted")
        for name in ("source", "utm"):
            if name in change.fields and getattr(old, name):
                ctx.refuse(change, "sales.first_touch", field=name)
    _refuse_duplicates(ctx, [c for c in changes if c.old is None or c.fields & {"emails", "phones"}])


def _refuse_duplicates(ctx: WriteCtx, changes: Sequence[Change]) -> None:
    wanted = [(c, lead) for c in changes if (lead := cast(Lead, c.record)).status in LIVE and lead.identity]
    if not wanted:
        return
    with ctx.elevated("duplicates of a lead") as elevated:
        known = holders(elevated, Lead, [a for _, lead in wanted for a in addresses(lead)])
    for change, lead in wanted:
        twin = next((known[a] for a in addresses(lead) if a in known and known[a].id != lead.id), None)
        if twin is not None:
            visible = ctx.session.find(Lead, twin.id) is not None
            ctx.refuse(change, "sales.duplicate_lead", field="emails", **({"lead": twin.id} if visible else {}))
        known.update(dict.fromkeys(addresses(lead), lead))


@plugin.hook(after_write, on=Lead)
def tell_owner(ctx: WriteCtx, changes: list[Change]) -> None:
    """Tell of every change of owner, the first one too."""
    moved = [(cast(Lead, c.record), cast("Lead | None", c.old)) for c in changes if ctx.op in ("create", "update")]
    told = [(lead, old.owner if old else None) for lead, old in moved if lead.owner != (old.owner if old else None)]
    ctx.session.emit(*(LeadAssigned(record=lead.ref, old=old, new=lead.owner, reason=ctx.session.reason or "") for lead, old in told))


# The pool


def claim(session: Session, lead: Lead | Ref[Lead]) -> Lead:
    """Take a lead out of the pool. Of many who try at once one gets it.

    Raises:
        Denied: the actor lacks ``sales.claim``.
        NotFound: it is not there for this actor.
        Refused: ``sales.lead_taken``: somebody has it.
    """
    denied = session.check_action("sales.claim", None)
    if denied is not None:
        raise denied
    session.get(Lead, lead.id)
    with session.elevated("claim") as elevated:
        current = elevated.lock(Lead, lead.id)
        if current.owner not in (None, session.actor.id):
            raise Refused("sales.lead_taken")
        elevated.update(Lead, lead.id, {"owner": session.actor.id})
    return session.get(Lead, lead.id)


def release(session: Session, lead: Lead | Ref[Lead], reason: str) -> Lead:
    """Put a lead back into the pool, and say why; the one who does it must be allowed to change it."""
    current = session.get(Lead, lead.id)
    if not session.can("update", current):
        raise Denied(action="update", entity="sales.lead")
    if not reason.strip():
        raise Refused("sales.reason_missing", stage="pool")
    with session.elevated(reason) as elevated:
        released = elevated.update(Lead, lead.id, {"owner": None})
    return session.seen(released) or current
