"""Domain events wait for the next statement of their session: none is lost, out of order, or there where what it tells of was undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from crm_core.entities.money import Money
from crm_core.errors import CRMError
from crm_core.hooks.plugin import Plugin
from crm_core.session import Session
from tests.events.boxes import Box
from tests.events.world import ADMIN, Opened, Opener, World

MakeWorld = Callable[..., World]


def kinds(world: World) -> list[str]:
    journal = world.crm.tables.system.journal
    with world.crm.bound.begin(write=False) as connection:
        return list(connection.execute(sa.select(journal.c.kind).where(journal.c.entity == "box.box").order_by(journal.c.id)).scalars())


def test_an_event_stands_between_the_changes_before_and_behind_it(new_world: MakeWorld, plugin: Plugin) -> None:
    world = new_world(plugin)
    with world.crm.session(ADMIN) as s:
        box = s.create(Box(name="box"))
        s.use(Opener).open(box)
        s.update(Box, box.id, {"size": 1})
        s.use(Opener).open(box)
        s.use(Opener).open(box)
    assert kinds(world) == ["box.box.created.v1", "box.opened.v1", "box.box.updated.v1", "box.opened.v1", "box.opened.v1"]


def test_what_a_savepoint_undoes_takes_its_events_along_and_no_others(new_world: MakeWorld, plugin: Plugin) -> None:
    world = new_world(plugin)
    with world.crm.session(ADMIN) as s:
        box = s.create(Box(name="box"))
        s.use(Opener).open(box)
        with pytest.raises(ZeroDivisionError), s.savepoint():
            s.use(Opener).open(box)
            raise ZeroDivisionError
        with s.savepoint():
            s.use(Opener).open(box)
    assert kinds(world) == ["box.box.created.v1", "box.opened.v1", "box.opened.v1"]


def test_a_session_that_fails_leaves_no_event(new_world: MakeWorld, plugin: Plugin) -> None:
    world = new_world(plugin)
    box = world.boxes(["box"])[0]
    with pytest.raises(ZeroDivisionError), world.crm.session(ADMIN) as s:
        s.use(Opener).open(box)
        raise ZeroDivisionError
    assert kinds(world) == ["box.box.created.v1"]


def test_an_event_is_the_whole_work_of_a_session(new_world: MakeWorld, plugin: Plugin) -> None:
    seen: list[Any] = []

    @plugin.on(Opened)
    def hear(s: Session, event: Any) -> None:
        seen.append(event.price)
        if event.price == Money("3", "EUR"):
            s.use(Opener).open(s.get(Box, event.record), "4")

    world = new_world(plugin)
    box = world.boxes(["box"])[0]
    with world.crm.session(ADMIN) as s:
        s.use(Opener).open(box)
    assert world.crm.run_pending() == 2
    assert seen == [Money("3", "EUR"), Money("4", "EUR")]


def test_an_event_that_the_database_cannot_keep_fails_where_it_is_emitted(new_world: MakeWorld, plugin: Plugin) -> None:
    """PostgreSQL has no zero character in JSON; the session goes on without the event."""
    world = new_world(plugin)
    refused = world.crm.bound.kind == "postgresql"
    with world.crm.session(ADMIN) as s:
        box = s.create(Box(name="box"))
        bad = Opened(record=box.ref, price=Money("3", "EUR"), by="no\x00body")
        if refused:
            with pytest.raises(CRMError):
                s.use(Opener)._session.emit(bad)
        else:
            s.use(Opener)._session.emit(bad)
        s.update(Box, box.id, {"size": 1})
    between = [] if refused else ["box.opened.v1"]
    assert kinds(world) == ["box.box.created.v1", *between, "box.box.updated.v1"]


def test_an_event_that_cannot_be_written_fails_its_session_even_if_the_first_failure_is_caught(
    new_world: MakeWorld, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world(plugin)
    box = world.boxes(["box"])[0]
    with pytest.raises(ZeroDivisionError), world.crm.session(ADMIN) as s:
        s.use(Opener).open(box)
        writer = world.crm.writer(s._unit._connection)  # type: ignore[arg-type]
        monkeypatch.setattr(writer, "_run", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            s.query(Box).all()
    monkeypatch.undo()
    assert kinds(world) == ["box.box.created.v1"]
