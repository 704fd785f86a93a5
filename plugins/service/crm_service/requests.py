"""Requests for service, such as onboarding a new customer: a checklist, and the promises made before [C24, C38]."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from enum import Enum
from typing import ClassVar

import attrs

from crm_core import Account, Change, Entity, Field, Ref, Session, WriteCtx, before_write, check_write, field

from .plugin import plugin
from .settings import Settings
from .tickets import now


class RequestKind(Enum):
    """What a request is about."""

    ONBOARDING = "onboarding"
    SERVICE = "service"


class RequestStatus(Enum):
    """Where a request stands."""

    OPEN = "open"
    DONE = "done"
    CANCELLED = "cancelled"


class ServiceRequest(Entity):
    """Work owed to a customer. ``source`` says what it came from (``sales.opportunity:<id>``) and is unique: nothing opens it twice.

    Attributes:
        kind: whether it is an onboarding or any other service.
    """

    __subject__: ClassVar[str] = "account"

    subject: Field[str] = field(pii=True)
    kind: Field[RequestKind] = field(default=RequestKind.SERVICE)
    account: Field[Ref[Account] | None] = field(default=None)
    owner: Field[str | None] = field(default=None)
    status: Field[RequestStatus] = field(default=RequestStatus.OPEN)
    due: Field[date | None] = field(default=None)
    source: Field[str | None] = field(default=None, unique=True)


class ChecklistItem(Entity):
    """A step of a request; ``done_at`` and ``done_by`` are kept by the module.

    Attributes:
        request: the request it is a step of.
        done: whether it is done.
    """

    request: Field[Ref[ServiceRequest]] = field(on_delete="cascade", index=True)
    position: Field[int]
    title: Field[str]
    done: Field[bool] = field(default=False)
    done_at: Field[datetime | None] = field(default=None, read_only=True)
    done_by: Field[str | None] = field(default=None, read_only=True)


class Promise(Entity):
    """What a customer was promised: what, by whom, until when, and whether it was kept. ``source`` is where it was made, and unique.

    Attributes:
        request: the request that keeps it, where there is one.
        fulfilled: whether it was kept.
    """

    request: Field[Ref[ServiceRequest]] = field(on_delete="cascade", index=True)
    account: Field[Ref[Account] | None] = field(default=None)
    what: Field[str] = field(text=True, pii=True)
    who: Field[str | None] = field(default=None)
    due: Field[date | None] = field(default=None)
    fulfilled: Field[bool] = field(default=False)
    source: Field[str | None] = field(default=None, unique=True)


plugin.entities(ServiceRequest, ChecklistItem, Promise)


@attrs.frozen
class Commitment:
    """A promise that was made elsewhere, on its way into a request."""

    what: str
    source: str
    who: str | None = None
    due: date | None = None
    fulfilled: bool = False


def open_onboarding(
    session: Session, *, source: str, deal: str, account: Ref[Account] | None, owner: str | None, commitments: Sequence[Commitment]
) -> ServiceRequest:
    """Open the onboarding request of a deal with its checklist, or find it; promises that it does not have yet are added."""
    settings = session.settings(Settings)
    request = session.query(ServiceRequest).where(ServiceRequest.source == source).first()
    if request is None:
        request = session.create(
            ServiceRequest(
                subject=settings.onboarding_title.replace("{deal}", deal)[:255],
                kind=RequestKind.ONBOARDING,
                account=account,
                owner=settings.onboarding_owner or owner,
                due=(now(session) + timedelta(days=settings.onboarding_days)).date(),
                source=source,
            )
        )
        items = enumerate(settings.onboarding_checklist, 1)
        session.create_many([ChecklistItem(request=request.ref, position=n, title=title) for n, title in items])
    known = {p.source for p in session.query(Promise).where(Promise.request == request.ref).all()}
    new = [c for c in commitments if c.source not in known]
    session.create_many([Promise(request=request.ref, account=account, **attrs.asdict(c)) for c in new])
    return request


@plugin.hook(before_write, on=ChecklistItem)
def date_step(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Note who did a step and when."""
    for change in changes:
        item, old = change.record, change.old
        assert isinstance(item, ChecklistItem)
        was_done = isinstance(old, ChecklistItem) and old.done
        if item.done and not was_done:
            item.done_at, item.done_by = now(ctx.session), (ctx.session.actor.on_behalf_of or ctx.session.actor).id
        elif not item.done:
            item.done_at = item.done_by = None
    return changes


@plugin.hook(check_write, on=ServiceRequest)
def check_completion(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse to call a request done while steps or promises are open."""
    closing = [c.record for c in changes if ctx.op == "update" and "status" in c.fields]
    done = [r for r in closing if isinstance(r, ServiceRequest) and r.status is RequestStatus.DONE]
    if not done:
        return
    with ctx.elevated("open steps and promises") as session:
        for request in done:
            steps = session.query(ChecklistItem).where(ChecklistItem.request == request.ref, ChecklistItem.done.is_(False)).count()
            promises = session.query(Promise).where(Promise.request == request.ref, Promise.fulfilled.is_(False)).count()
            if steps or promises:
                ctx.refuse(request, "service.request_unfinished", field="status", steps=steps, promises=promises)


def open_promises(session: Session, account: Ref[Account]) -> list[Promise]:
    """Return what a customer was promised and did not get yet, the most pressing first."""
    query = session.query(Promise).where(Promise.account == account, Promise.fulfilled.is_(False))
    return query.order_by(Promise.due, Promise.id).all()
