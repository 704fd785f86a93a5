"""Tickets with a past: cases of another system, rebuilt from its log with their own instants [C40]."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice

import attrs

from crm_core import Account, Channel, Contact, Denied, Invalid, NotFound, Ref, Session

from .states import DONE, Priority, TicketStatus, TicketType
from .tickets import Ticket, TicketChange, now

BATCH = 500


@attrs.frozen
class CaseStep:
    """What a case's log says: its status and priority from an instant (with its zone) on, and who did it (empty: who takes it in)."""

    at: datetime
    status: TicketStatus
    priority: Priority = Priority.NORMAL
    by: str = ""


@attrs.frozen
class Case:
    """A case of another system.

    Attributes:
        ref: its id there; the ticket's ``external_ref``.
        steps: its log, in order; the ticket is as the last one says. Steps need not follow each other as ours do: it is history.
    """

    ref: str
    subject: str
    steps: Sequence[CaseStep]
    description: str = ""
    account: Ref[Account] | None = None
    contact: Ref[Contact] | None = None
    owner: str | None = None
    type: TicketType = TicketType.QUESTION
    channel: Channel = Channel.OTHER


@attrs.frozen
class Rebuilt:
    """How many tickets and steps were taken in, and how many cases were known already."""

    tickets: int
    steps: int
    known: int


def rebuild(session: Session, cases: Iterable[Case]) -> Rebuilt:
    """Take cases in, each once; see :meth:`Service.rebuild`."""
    if not (session.can("create", Ticket) and session.can("create", TicketChange)):
        raise Denied(action="create", entity="service.ticket_change")
    stream = iter(cases)
    tickets = steps = known = 0
    with session.savepoint():
        while batch := list(islice(stream, BATCH)):
            made = _rebuild(session, batch)
            tickets, steps, known = tickets + made.tickets, steps + made.steps, known + made.known
    return Rebuilt(tickets, steps, known)


def _rebuild(session: Session, cases: Sequence[Case]) -> Rebuilt:
    at = now(session)
    for case in cases:
        _check(case, at)
    for entity, refs in ((Account, {c.account.id for c in cases if c.account}), (Contact, {c.contact.id for c in cases if c.contact})):
        if len(session.get_many(entity, refs)) < len(refs):
            raise NotFound(entity=entity.__name__.lower())
    with session.elevated("cases with their past") as elevated:
        there = elevated.query(Ticket).where(Ticket.external_ref.in_([c.ref for c in cases])).all()
        known = {t.external_ref for t in there}
        new = list({c.ref: c for c in reversed(cases) if c.ref not in known}.values())[::-1]
        tickets = elevated.create_many([_ticket(case) for case in new]).ok
        log = [step for case, ticket in zip(new, tickets, strict=True) for step in _log(case, ticket.ref, session.actor.id)]
        elevated.create_many(log)
    return Rebuilt(len(tickets), len(log), len(cases) - len(new))


def _check(case: Case, at: datetime) -> None:
    if not case.ref:
        raise _bad(case, "a ref")
    if not case.steps:
        raise _bad(case, "at least one step")
    instants = [step.at for step in case.steps]
    if any(i.utcoffset() is None for i in instants):
        raise _bad(case, "instants with a time zone")
    if instants != sorted(instants) or instants[-1] > at:
        raise _bad(case, "steps in order, none of them in the future")


def _bad(case: Case, expected: str) -> Invalid:
    return Invalid("service.bad_case", case=case.ref, expected=expected)


def _ticket(case: Case) -> Ticket:
    last = case.steps[-1]
    return Ticket(
        subject=case.subject,
        description=case.description,
        account=case.account,
        contact=case.contact,
        owner=case.owner,
        status=last.status,
        priority=last.priority,
        type=case.type,
        channel=case.channel,
        external_ref=case.ref,
        opened_at=case.steps[0].at,
        solved_at=_solved_at(case),
        rebuilt=True,
    )


def _solved_at(case: Case) -> datetime | None:
    """Return when the case became done for good."""
    solved = None
    for step in reversed(case.steps):
        if step.status not in DONE:
            break
        solved = step.at
    return solved


def _log(case: Case, ticket: Ref[Ticket], importer: str) -> Iterable[TicketChange]:
    before: CaseStep | None = None
    for step in case.steps:
        yield TicketChange(
            ticket=ticket,
            at=step.at,
            by=step.by or importer,
            status=step.status,
            priority=step.priority,
            status_before=before.status if before else None,
            priority_before=before.priority if before else None,
        )
        before = step
