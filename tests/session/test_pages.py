"""Pages by fields that may be empty follow each other without a gap, in any direction and of any size [S4]."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, cast

import pytest

from crm_core import CRM, Actor, Contact, Query, Role, owner
from crm_core.rules import F

SYSTEM = Actor.system("test", tenant="main")
# What a user may see changes the plan, and never the order.
ROLES = [Role("own").allow(Contact, "read", where=owner), Role("some").allow(Contact, "read", where=owner | (F("title") == "b"))]
ACTORS = [SYSTEM, Actor("1", roles={"own"}), Actor("2", roles={"some"})]
KEYS: Sequence[Callable[[Any], Any]] = [lambda c: c.asc(), lambda c: c.desc()]


def test_pages_by_fields_that_may_be_empty_are_the_whole_list_in_its_order(make_crm: Any) -> None:
    crm: CRM = make_crm(roles=ROLES)
    chance = random.Random(7)
    pick = ["a", "b", "c", None, None]
    with crm.session(SYSTEM) as s:
        s.create_many(
            Contact(name=str(n), owner=chance.choice(["1", "2", None]), title=chance.choice(pick), language=chance.choice(pick))
            for n in range(40)
        )
    for actor in ACTORS:
        with crm.session(actor, write=False) as s:
            for one, two in product(KEYS, KEYS):
                for fields in (
                    [Contact.title],
                    [Contact.title, Contact.language],
                    [Contact.owner, Contact.name],
                    [Contact.name, Contact.title],
                ):
                    query = s.query(Contact).order_by(one(fields[0]), *(two(f) for f in fields[1:]))
                    expected = sorted_(
                        query.all(), [f.field.name for f in cast("list[Any]", fields)], [one(fields[0]), *(two(f) for f in fields[1:])]
                    )
                    for size in (4, 200):
                        assert paged(query, size) == expected
                    assert [c.id for c in query.where(Contact.title.is_(None)).stream(9)] == [i for i, t in titles(query) if t is None]


def titles(query: Query[Contact]) -> list[tuple[str, str | None]]:
    return [(c.id, c.title) for c in query.all()]


def sorted_(records: list[Contact], names: list[str], keys: Sequence[Any]) -> list[str]:
    """Sort as the promise says: NULL last, whichever way, and ties by id, in the way of the last key."""
    down = ["DESC" in str(k) for k in keys]
    records.sort(key=lambda r: r.id, reverse=down[-1])
    for name, reverse in reversed(list(zip(names, down, strict=True))):
        records.sort(key=lambda r: getattr(r, name) or "", reverse=reverse)
        records.sort(key=lambda r: getattr(r, name) is None)
    return [r.id for r in records]


def paged(query: Query[Contact], size: int) -> list[str]:
    found: list[str] = []
    after: str | None = None
    while True:
        page = query.page(size, after=after)
        found += [c.id for c in page]
        assert len(page) == size or page.next is None
        if page.next is None:
            return found
        after = page.next


@pytest.mark.parametrize("title", ["m", None])
def test_a_page_that_ends_where_the_empty_ones_begin_goes_on_with_them(make_crm: Any, title: str | None) -> None:
    crm: CRM = make_crm()
    with crm.session(SYSTEM) as s:
        s.create_many(Contact(name=str(n), title=t) for n, t in enumerate(["a", "b", title, None]))
        assert len(s.query(Contact).all()) == 4
        query = s.query(Contact).order_by(Contact.title.desc())
        first = query.page(2)
        assert [c.title for c in first] == (["m", "b"] if title else ["b", "a"])
        assert [c.title for c in query.page(2, after=first.next)] == (["a", None] if title else [None, None])
