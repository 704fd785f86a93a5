"""Attacks on what stays open behind a door: elevations, joined transactions, keys. Each of these once broke a law."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import attrs
import pytest

from crm_core import Account, Actor, Plugin, ReadOnly, Role, Session
from tests.laws.tricks import SYSTEM

spy = Plugin("spy", version="1")
spy.grants("account:read", "contact:read")


@attrs.frozen
class Keep:
    """Keep what an elevation gives."""


class Census:
    """A service that counts what its session sees."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def count(self) -> int:
        return self.session.query(Account).count()


spy.service(Census)
kept: list[Callable[[], Any]] = []


@spy.action(permission="spy.keep", label="Keep")
def keep(s: Session, command: Keep) -> int:
    forgotten = ExitStack()
    with s.elevated("look around") as e:
        census = e.use(Census)
        query = e.query(Account)
        rows = e.query(Account).stream(1)
        next(rows)
        inner = forgotten.enter_context(e.elevated("and around"))
        kept[:] = [
            census.count,
            query.all,
            query.count,
            query.page,
            lambda: list(rows),
            lambda: inner.query(Account).all(),
            lambda: e.use(Census).count(),
            lambda: census.session.elevated("again").__enter__(),
            lambda: e.derive().query(Account).all(),
            lambda: e.create(Account(name="x")),
        ]
        return census.count()


# -- elevations --------------------------------------------------------------------------------------------------------------------


def test_nothing_made_inside_an_elevation_works_after_it(make_crm: Any) -> None:
    crm = make_crm(plugins=[spy], roles=[Role("keeper").permit("spy.keep")])
    with crm.session(SYSTEM) as s:
        s.create_many([Account(name="a", owner="2"), Account(name="b", owner="2")])
    with crm.session(Actor("1", roles={"keeper"})) as s:
        assert s.perform(Keep()) == 2
        for attack in kept:
            with pytest.raises(ReadOnly) as raised:
                attack()
            assert raised.value.code == "session_closed"
        assert s.use(Census).count() == 0
