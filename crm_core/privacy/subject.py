"""Whom a request is about: a record by its id, or all people with an e-mail address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ..entities.customer import Account, AccountKind, Contact
from ..entities.entity import Entity
from ..entities.fields import Ref
from ..entities.meta import spec
from ..entities.values import Email, Phone, normalise_email
from ..errors import Invalid, NotFound
from ..messages import redact
from ..storage.writer import chunks

if TYPE_CHECKING:
    from ..session import Session

PERMISSION = "core.privacy"
Subject = str | Ref[Any] | Entity
Found = dict[type[Any], list[str]]


def need(session: Session) -> None:
    """Refuse whoever may not deal with people's data.

    Raises:
        Denied: the actor lacks the permission ``core.privacy``.
    """
    if not session.policy.permits(PERMISSION):
        raise session._denied("privacy", action=PERMISSION, entity="")


@contextmanager
def as_officer(session: Session, reason: str) -> Iterator[Session]:
    """Open a session with full rights in the tenant, for who may deal with people's data.

    Raises:
        Denied: the actor lacks the permission ``core.privacy``.
    """
    need(session)
    with session._elevated_core(reason) as core:
        yield core


def roots(session: Session, subject: Subject) -> Found:
    """Find the records that are the person, deleted ones too: those named, and whom they say that they are.

    Raises:
        Invalid: ``bad_subject_of_request``: neither an e-mail address nor ``contact:ID``.
        NotFound: there is no such person.
    """
    found = _named(session, subject)
    for entity, ids in list(found.items()):
        for above, theirs in _above(session, entity, ids).items():
            found[above] = sorted({*found.get(above, ()), *theirs})
    _one_customer(session, found)
    return found


def _named(session: Session, subject: Subject) -> Found:
    if isinstance(subject, Entity | Ref):
        ref = subject if isinstance(subject, Ref) else subject.ref
        return _existing(session, ref.entity, ref.id)
    if not isinstance(subject, str) or not ("@" in subject or ":" in subject):
        raise Invalid("bad_subject_of_request", given=redact(subject))
    if "@" in subject:
        return _with_address(session, normalise_email(subject))
    name, _, id_ = subject.partition(":")
    return _existing(session, session.crm.entity(name), id_)


def _existing(session: Session, entity: type[Any], id_: str) -> Found:
    table = session.crm.tables.entities[session.codec(entity).entity]
    mine = (table.c.tenant == session.actor.tenant, table.c.id == id_)
    if session._unit.connection.execute(select(table.c.id).where(*mine)).first() is None:
        raise NotFound(entity=spec(entity).name)
    return {entity: [id_]}


def _with_address(session: Session, address: str) -> Found:
    found: Found = {}
    for entity, column in address_lists(session, Email):
        listed, table = session.crm.tables.lists[entity, column], session.crm.tables.entities[entity]
        wanted = select(listed.c.record).join(table, table.c.id == listed.c.record)
        wanted = wanted.where(listed.c.tenant == session.actor.tenant, listed.c.value == address)
        if entity is Account:  # an address that a company has is not the company's only
            wanted = wanted.where(table.c.kind == AccountKind.PERSON)
        ids = sorted({str(i) for i in session._unit.connection.execute(wanted).scalars()})
        if ids:
            found[entity] = ids
    if not found:
        raise NotFound("no_such_person", tenant=session.actor.tenant)
    return found


def _one_customer(session: Session, found: Found) -> None:
    """Add the account of a contact who buys for themselves, and the contact of such an account: the two are one person."""
    accounts, contacts = session.crm.tables.entities[Account], session.crm.tables.entities[Contact]
    source = contacts.join(accounts, contacts.c.account == accounts.c.id)
    both = select(accounts.c.id, contacts.c.id).select_from(source).where(accounts.c.kind == AccountKind.PERSON, contacts.c.customer)
    for column, entity in ((contacts.c.id, Contact), (accounts.c.id, Account)):
        for account, contact in session._unit.connection.execute(both.where(column.in_(found.get(entity, [])))).all():
            found[Account] = sorted({*found.get(Account, ()), str(account)})
            found[Contact] = sorted({*found.get(Contact, ()), str(contact)})


def _above(session: Session, entity: type[Any], ids: Sequence[str]) -> Found:
    """Return whom records of a person say that they are about: a converted lead is its contact."""
    field, table = session.codec(entity).subject_field, session.crm.tables.entities[entity]
    if field is None or field.target is None:
        return {}
    wanted = select(table.c[field.column]).where(table.c.id.in_(ids), table.c[field.column].is_not(None))
    above = sorted({ref.id for ref in session._unit.connection.execute(wanted).scalars()})
    return {field.target: above} if above else {}


def address_lists(session: Session, *kinds: type[Any]) -> Iterator[tuple[type[Any], str]]:
    """Yield the embedded lists of addresses, as entity and column."""
    for entity in session.crm.registry.entities:
        for field in session.codec(entity).fields.values():
            if field.kind == "list" and field.type in (kinds or (Email, Phone)):
                yield entity, field.column


def addresses(session: Session, found: Mapping[type[Any], Sequence[str]]) -> dict[tuple[type[Any], str], set[str]]:
    """Return the e-mail addresses and telephone numbers of records, by record."""
    of: dict[tuple[type[Any], str], set[str]] = {}
    for entity, column in address_lists(session):
        listed = session.crm.tables.lists[entity, column]
        for part in chunks(list(found.get(entity, ()))):
            wanted = select(listed.c.record, listed.c.value).where(listed.c.tenant == session.actor.tenant, listed.c.record.in_(part))
            for record, value in session._unit.connection.execute(wanted):
                of.setdefault((entity, str(record)), set()).add(value)
    return of
