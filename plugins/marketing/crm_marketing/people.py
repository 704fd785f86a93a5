"""Whom marketing reaches: contacts and accounts of the core, and what other modules know of people, such as the leads of sales."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs
from sqlalchemy import ColumnElement, cast, or_, select

from crm_core import Account, Change, CollectHook, Contact, Ctx, Entity, FirstHook, Invalid, Link, Ref, Session, WriteCtx

from .plugin import plugin

Given = Entity | Ref[Any] | Link
CONTACT, LEAD = "contact", "sales.lead"
_OURS: Mapping[str, type[Entity]] = {CONTACT: Contact, "account": Account}


@attrs.frozen
class Task:
    """Something to be done with the records of one entity, by the module that knows it.

    Attributes:
        entity: the entity's name.
        work: what to do, in a session that reads them; it returns something, never None.
        reason: why it must see all of them; without one it sees what the actor sees.
    """

    entity: str
    work: Callable[[Session, type[Any]], Any]
    reason: str | None = None

    def done(self, ctx: Ctx, entity: type[Entity]) -> Any:
        """Do it, in the actor's session or with the grants of the plugin that answers."""
        if self.reason is None:
            return self.work(ctx.session, entity)
        with ctx.elevated(self.reason) as session:
            return self.work(session, entity)


audience: FirstHook[Ctx, Task, Any] = FirstHook("marketing.audience", per="item")
"""Open an entity of your own to segments: ``return task.done(ctx, Lead) if task.entity == "sales.lead" else None``.

Grant your plugin to read it, and ``marketing.segment:read,update`` and ``marketing.segment_member:read,create,update``.
"""

same_people: CollectHook[Ctx, Sequence[Link], list[Link]] = CollectHook("marketing.same_people")
"""Name who else these people are: the leads that a contact once was, the contact that a lead became, as far as the actor sees them."""

plugin.hooks(audience, same_people)


@plugin.hook(audience)
def customers(ctx: Ctx, task: Task) -> Any:
    """Answer for contacts and accounts."""
    return task.done(ctx, _OURS[task.entity]) if task.entity in _OURS else None


def ask(session: Session, task: Task) -> Any:
    """Have a task done.

    Raises:
        Invalid: ``marketing.no_audience``: no loaded module knows the entity.
    """
    answer = audience(Ctx(session=session), task)
    if answer is None:
        raise Invalid("marketing.no_audience", entity=task.entity[:60])
    return answer


def knows(session: Session, entity: str) -> bool:
    """Say whether a loaded module opens an entity to marketing."""
    return audience(Ctx(session=session), Task(entity, lambda _, found: found)) is not None


def columns(given: Given) -> dict[str, Any]:
    """Return the fields ``contact`` and ``lead`` of who is meant.

    Raises:
        Invalid: ``marketing.not_a_person``.
    """
    link = as_link(given)
    if link.entity == CONTACT:
        return {"contact": Ref(Contact, link.record), "lead": None}
    if link.entity == LEAD:
        return {"contact": None, "lead": link.record}
    raise Invalid("marketing.not_a_person", given=link.entity[:60])


def as_link(given: Given) -> Link:
    """Return a pointer to whoever is meant."""
    return given if isinstance(given, Link) else Link.to(given)


def everybody(session: Session, people: Iterable[Given]) -> list[Link]:
    """Return these people with all that they are known as, each once."""
    links = [as_link(p) for p in people]
    others = [other for answer in same_people(Ctx(session=session), links) for other in answer]
    return list(dict.fromkeys([*links, *others]))


def seen(session: Session, entity: Any) -> ColumnElement[bool]:
    """Match the rows of *entity* (with ``contact`` and ``lead``) whose person the session's actor may see."""
    found = [there(Contact, Contact.id == entity.contact)]
    if knows(session, LEAD):
        lead = ask(session, Task(LEAD, lambda _, lead: lead))
        found.append(there(lead, lead.id == as_id(lead, entity.lead)))
    return or_(*found)


def there(entity: Any, *criteria: ColumnElement[bool]) -> ColumnElement[bool]:
    """Match where such a record is there. EXISTS, since PostgreSQL reads a large set that OR or NOT stands before row by row."""
    return select(entity.id).where(*criteria).exists()


def as_id(entity: Any, text: Any) -> ColumnElement[str]:
    """Read a text column as an id of *entity*, so that its index serves."""
    found: ColumnElement[str] = cast(text, entity.id.type)
    return found


def check_people(ctx: WriteCtx, changes: Sequence[Change]) -> None:
    """Refuse rows that name no person, two at once, or a lead that the actor does not see."""
    rows: list[tuple[Change, Any]] = [(c, c.record) for c in changes if c.old is None]
    leads = sorted({r.lead for _, r in rows if r.lead})
    there: set[str] = set()
    if leads and knows(ctx.session, LEAD):
        there = ask(ctx.session, Task(LEAD, lambda s, lead: {found.id for found in s.get_many(lead, leads)}))
    for change, row in rows:
        if (row.contact is None) == (row.lead is None):
            ctx.refuse(change, "marketing.one_person", field="contact")
        elif row.lead and row.lead not in there:
            ctx.refuse(change, "marketing.unknown_lead", field="lead")
