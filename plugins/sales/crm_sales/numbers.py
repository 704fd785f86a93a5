"""Numbers of documents, without gaps, and turns in a rotation: small rows that one transaction at a time moves on."""

from __future__ import annotations

from collections.abc import Sequence

from crm_core import Entity, Field, Session, field

from .plugin import plugin


class NumberSeries(Entity):
    """The last number that a kind of document got.

    Attributes:
        name: what the numbers begin with, such as ``Q``.
        last: the number given out last.
    """

    name: Field[str] = field(unique=True, length=60, classified="internal")
    last: Field[int] = field(default=0)


class Rotation(Entity):
    """Who had the last turn in a pool.

    Attributes:
        pool: the name of the pool.
        last: who had the last turn: the id of a user.
    """

    pool: Field[str] = field(unique=True, length=60)
    last: Field[str | None] = field(default=None)


plugin.entities(NumberSeries, Rotation)


def next_numbers(session: Session, series: str, count: int) -> list[str]:
    """Return the next numbers of a series (``Q-00001``); who asks at the same time waits, and a rollback gives them back."""
    if not count:
        return []
    with session.elevated(f"number of {series}") as elevated:
        row = elevated.upsert(NumberSeries(name=series), on="name")
        last = elevated.lock(NumberSeries, row.id).last
        elevated.update(NumberSeries, row.id, {"last": last + count})
    return [f"{series}-{n:05d}" for n in range(last + 1, last + count + 1)]


def turns(pool: Sequence[str], able: Sequence[str], last: str | None, count: int) -> list[str]:
    """Return who gets the next *count* turns: round *pool* from after *last*, leaving out who is not *able*."""
    start = pool.index(last) + 1 if last in pool else 0
    order = [person for person in (*pool[start:], *pool[:start]) if person in able]
    return [order[n % len(order)] for n in range(count)] if order else []


def take_turns(session: Session, name: str, pool: Sequence[str], able: Sequence[str], count: int) -> list[str]:
    """Take turns in a pool that is kept in the database; concurrent takers queue, so nobody is skipped or asked twice."""
    if not able:
        return []
    with session.elevated(f"turn in {name}") as elevated:
        row = elevated.upsert(Rotation(pool=name), on="pool")
        last = elevated.lock(Rotation, row.id).last
        chosen = turns(pool, able, last, count)
        elevated.update(Rotation, row.id, {"last": chosen[-1]})
    return chosen
