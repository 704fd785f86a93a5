"""Touches: each time somebody comes to us, and from where. They never change; the first of a person stays the first [C34]."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, cast

from crm_core import (
    Change,
    Channel,
    Contact,
    Entity,
    Field,
    Link,
    Ref,
    Session,
    WriteCtx,
    before_write,
    check_write,
    field,
)

from .campaigns import Campaign
from .contention import retried
from .people import CONTACT, LEAD, Given, check_people, columns, everybody, seen
from .plugin import plugin

CLICK_IDS = ("click_id", "gclid", "gbraid", "wbraid", "msclkid", "fbclid", "ttclid", "li_fat_id")
_UTM = ("source", "medium", "term", "content")


class Touch(Entity):
    """Somebody came to us: a contact, or a lead of sales by its id.

    ``source``, ``medium``, ``term`` and ``content`` are the link's UTM parameters, ``click_id`` the advertiser's. ``first_of`` is the
    person whose first touch it is, and unique; the module keeps it.

    Attributes:
        contact: who came.
        lead: the id of the lead who came.
        channel: by which way they came.
        campaign: the campaign that brought them, where the link names one.
    """

    __append_only__: ClassVar[bool] = True
    __indexes__: ClassVar[tuple[tuple[str, ...], ...]] = (("contact", "at"), ("lead", "at"))

    __erased__: ClassVar[str] = "delete"

    contact: Field[Ref[Contact] | None] = field(default=None, on_delete="cascade")
    lead: Field[str | None] = field(default=None, length=36)
    at: Field[datetime]
    channel: Field[Channel] = field(default=Channel.WEB)
    campaign: Field[Ref[Campaign] | None] = field(default=None, index=True)
    source: Field[str | None] = field(default=None, length=255)
    medium: Field[str | None] = field(default=None, length=255)
    term: Field[str | None] = field(default=None, length=255)
    content: Field[str | None] = field(default=None, length=255)
    click_id: Field[str | None] = field(default=None, length=500, pii=True)
    first_of: Field[str | None] = field(default=None, length=36, unique=True, read_only=True)


plugin.entities(Touch)


def person_of(touch: Touch) -> str:
    """Return the id of who it was."""
    return touch.contact.id if touch.contact else touch.lead or ""


@plugin.hook(before_write, on=Touch)
def mark_first(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Mark the earliest touch of each person who had none."""
    touches = [cast(Touch, c.record) for c in changes if ctx.op == "create"]
    known = _first(ctx, touches)
    for touch in sorted(touches, key=lambda t: t.at):
        touch.first_of = None if person_of(touch) in known else person_of(touch) or None
        known.setdefault(person_of(touch), touch)
    return changes


@plugin.hook(check_write, on=Touch)
def check_touches(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse touches of nobody, and those before a person's first one: it is frozen."""
    if ctx.op != "create":
        return
    check_people(ctx, changes)
    known = _first(ctx, [cast(Touch, c.record) for c in changes])
    for change in changes:
        touch = cast(Touch, change.record)
        first = known.get(person_of(touch))
        if first is not None and touch.at < first.at:
            ctx.refuse(change, "marketing.before_first_touch", field="at")


def _first(ctx: WriteCtx, touches: Sequence[Touch]) -> dict[str, Touch]:
    people = sorted({person_of(t) for t in touches})
    if not people:
        return {}
    with ctx.elevated("first touches") as session:
        return {t.first_of: t for t in session.query(Touch).where(Touch.first_of.in_(people)).all() if t.first_of}


def origin(params: Mapping[str, str]) -> dict[str, Any]:
    """Read a link's parameters: ``utm_source`` or ``source``, ..., and the advertiser's click id under whichever name."""
    plain = {key.lower().removeprefix("utm_"): value for key, value in params.items() if value}
    found: dict[str, Any] = {name: plain[name][:255] for name in _UTM if name in plain}
    click = next((plain[name] for name in CLICK_IDS if name in plain), None)
    return found if click is None else {**found, "click_id": click[:500]}


def campaign_of(session: Session, params: Mapping[str, str]) -> Ref[Campaign] | None:
    """Return the campaign whose code a link carries as ``utm_campaign``."""
    code = params.get("utm_campaign") or params.get("campaign")
    found = session.query(Campaign).where(Campaign.code == code).first() if code else None
    return found.ref if found else None


def touch(
    session: Session,
    person: Given,
    params: Mapping[str, str],
    *,
    campaign: Ref[Campaign] | None,
    at: datetime | None,
    channel: Channel,
) -> Touch:
    """Record that somebody came to us; of many first touches at once one is the first.

    Raises:
        Denied: the actor may not.
        Refused: ``marketing.before_first_touch``, ``marketing.contended``.
    """
    facts = {**columns(person), **origin(params), "campaign": campaign or campaign_of(session, params), "channel": channel}
    return retried(session, lambda: session.create(Touch(at=at or session.crm.runtime.clock.now(), **facts)))


def touches_of(session: Session, people: Iterable[Given], until: datetime | None = None) -> list[Touch]:
    """Return the touches of people, under whatever they are known as, that the actor sees; the earliest first."""
    links = everybody(session, people)
    found = [t for entity in (CONTACT, LEAD) for t in _touches(session, entity, links, until)]
    return sorted(found, key=lambda t: (t.at, t.id))


def _touches(session: Session, entity: str, links: Sequence[Link], until: datetime | None) -> list[Touch]:
    ids = sorted({link.record for link in links if link.entity == entity})
    if not ids:
        return []
    whose = Touch.contact.in_(ids) if entity == CONTACT else Touch.lead.in_(ids)
    limit = () if until is None else (Touch.at <= until,)
    return session.query(Touch).where(whose, seen(session, Touch), *limit).order_by(Touch.at, Touch.id).all()
