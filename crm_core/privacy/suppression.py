"""Suppression: who is not to be written to any more, known by a keyed hash of their addresses, which survives their erasure."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, delete, func, insert, select

from ..entities.values import normalise_email, normalise_phone
from ..storage.writer import chunks
from .subject import addresses, need

if TYPE_CHECKING:
    from ..session import Session

Reason = Literal["objected", "erased"]


def suppress(session: Session, given: Iterable[str], reason: Reason = "objected") -> int:
    """Let nobody write to e-mail addresses and telephone numbers any more, whoever has them now or later; return how many are new.

    Only a hash of each is kept: keyed with the tenant's own key where the CRM has keys, else with a salt of the tenant.

    Raises:
        Denied: the actor lacks the permission ``core.privacy``.
        Invalid: one is neither.
    """
    need(session)
    known = [_normal(session, each) for each in given]
    with session._unit.atomic():
        count = add(session, known, reason)
        if count:
            session.note("core.suppressed.v1", {"addresses": count, "reason": reason})
    return count


def allow(session: Session, given: Iterable[str]) -> int:
    """End the suppression of addresses whose owner asks to be written to again; return how many were suppressed.

    Raises:
        Denied: the actor lacks the permission ``core.privacy``.
        Invalid: one is no address.
    """
    need(session)
    table = session.crm.tables.system.suppression
    with session._unit.atomic() as connection:
        mine = _digests(session, connection, [_normal(session, each) for each in given])
        ended = delete(table).where(table.c.tenant == session.actor.tenant, table.c.digest.in_(list(mine)))
        count = int(connection.execute(ended).rowcount) if mine else 0
        if count:
            session.note("core.suppressed.v1", {"addresses": -count, "reason": "allowed"})
    return count


def add(session: Session, known: Iterable[str], reason: Reason) -> int:
    """Suppress addresses that are in their normal form."""
    table, tenant, connection = session.crm.tables.system.suppression, session.actor.tenant, session._unit.connection
    wanted = sorted(set(known))
    if not wanted:
        return 0
    there = set(_suppressed(session, connection, wanted))
    salt = _salt(session, connection)
    now = session.crm.runtime.clock.now()
    rows = [
        {"tenant": tenant, "digest": _digest(session, connection, salt, each), "salt": salt, "reason": reason, "at": now}
        for each in wanted
        if each not in there
    ]
    if rows:
        connection.execute(insert(table), rows)
    return len(rows)


def blocked(session: Session, entity: type[Any], ids: Sequence[str]) -> frozenset[str]:
    """Return which of some records are of people who must not be written to: restricted, or with a suppressed address."""
    if not ids:
        return frozenset()
    system, tenant, connection = session.crm.tables.system, session.actor.tenant, session._unit.connection
    marks = system.person_mark
    found: set[str] = set()
    for part in chunks(list(ids)):
        mine = (marks.c.tenant == tenant, marks.c.mark == "restricted", marks.c.record.in_(part))
        found.update(map(str, connection.execute(select(marks.c.record).where(*mine)).scalars()))
    if connection.execute(select(system.suppression.c.digest).where(system.suppression.c.tenant == tenant).limit(1)).first():
        theirs = addresses(session, {entity: ids})
        gone = set(_suppressed(session, connection, sorted({a for each in theirs.values() for a in each})))
        found.update(record for (_, record), each in theirs.items() if each & gone)
    return frozenset(found)


def _normal(session: Session, given: str) -> str:
    return normalise_email(given) if "@" in given else normalise_phone(given, session.crm.region)


def _suppressed(session: Session, connection: Connection, known: Sequence[str]) -> list[str]:
    table, found = session.crm.tables.system.suppression, []
    digests = _digests(session, connection, known)
    for part in chunks(list(digests)):
        wanted = select(table.c.digest).where(table.c.tenant == session.actor.tenant, table.c.digest.in_(part))
        found += [digests[digest] for digest in connection.execute(wanted).scalars()]
    return found


def _digests(session: Session, connection: Connection, known: Sequence[str]) -> dict[str, str]:
    """Return each address by its hashes: one for each salt that the tenant has had, the key's among them."""
    table = session.crm.tables.system.suppression
    salts = list(connection.execute(select(table.c.salt).where(table.c.tenant == session.actor.tenant).distinct()).scalars())
    usable = [salt for salt in salts if salt or session.crm.tables.sealer is not None]
    return {_digest(session, connection, salt, each): each for salt in usable for each in known}


def _salt(session: Session, connection: Connection) -> str:
    """Return the tenant's salt; empty where its own key does better."""
    if session.crm.tables.sealer is not None:
        return ""
    table = session.crm.tables.system.suppression
    known = select(func.max(table.c.salt)).where(table.c.tenant == session.actor.tenant, table.c.salt != "")
    return connection.execute(known).scalar() or session.crm.runtime.ids.new().replace("-", "")


def _digest(session: Session, connection: Connection, salt: str, address: str) -> str:
    if salt:
        return hmac.digest(salt.encode(), f"suppression\0{address}".encode(), "sha256").hex()
    sealer = session.crm.tables.sealer
    assert sealer is not None  # only a CRM with keys writes rows without a salt, and only it is asked for them
    return sealer.digest(connection, session.actor.tenant, f"suppression\0{address}")
