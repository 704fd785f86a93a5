"""A batch is one transaction: what a subscriber does not use costs no statement, and on SQLite nobody who writes waits long for its end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from crm_core.entities.fields import Ref
from crm_core.errors import Invalid
from crm_core.events.event import Created
from crm_core.hooks.plugin import Plugin
from crm_core.permissions import prepared
from crm_core.session import Session
from tests.events.boxes import Box, Effect
from tests.events.raw import RawHost
from tests.events.world import World

MakeHost = Callable[..., RawHost]
MakeWorld = Callable[..., World]


def statements(world: World, monkeypatch: pytest.MonkeyPatch) -> int:
    """Deliver, and count all statements on the way."""
    seen = [0]
    plain = prepared._cursor

    def count(*_: Any) -> None:
        seen[0] += 1

    def counted(connection: sa.Connection, sql: str) -> Any:
        count()
        return plain(connection, sql)

    sa.event.listen(world.crm.bound.engine, "before_cursor_execute", count)
    with monkeypatch.context() as patched:
        patched.setattr(prepared, "_cursor", counted)
        world.crm.run_pending()
    sa.event.remove(world.crm.bound.engine, "before_cursor_execute", count)
    return seen[0]


def test_a_subscriber_that_uses_no_database_costs_no_statement_an_event(
    new_world: MakeWorld, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    @plugin.on(Created[Box])
    def hear(s: Session, event: Any) -> None:
        seen.append(event.record.id)

    world = new_world(plugin)
    counts = []
    for many in (1, 1, 40):
        world.boxes(["box"] * many)
        counts.append(statements(world, monkeypatch))
    assert len(seen) == 42
    assert counts[2] == counts[1]


def test_a_slow_batch_on_sqlite_ends_and_the_next_goes_on(new_host: MakeHost) -> None:
    committed: list[int] = []
    calls: list[int] = []

    def slow(session: Any, event: Any) -> None:
        calls.append(len(committed))
        session.effect(event)
        host.clock.advance(timedelta(milliseconds=20))

    host = new_host({"box.record": slow})
    host.journal(host.records(3) * 3)
    sa.event.listen(host.bound.engine, "commit", lambda _: committed.append(1))
    assert host.delivery().run_pending() == 9
    assert host.effects() == host.expected()
    batches = len(set(calls))
    assert batches == (3 if host.bound.kind == "sqlite" else 1)


@pytest.mark.parametrize("at", range(1, 10))
def test_a_death_in_the_middle_of_any_of_several_batches_leaves_each_effect_once(new_host: MakeHost, at: int) -> None:
    """R6: none of the effects of the batch in hand is there, all of those before it are; afterwards each is there once, in order."""
    calls: list[str] = []

    def slow(session: Any, event: Any) -> None:
        calls.append(event.id)
        session.effect(event)
        host.clock.advance(timedelta(milliseconds=20))
        if len(calls) == at:
            raise KeyboardInterrupt

    host = new_host({"box.record": slow})
    host.journal(host.records(3) * 3)
    with pytest.raises(KeyboardInterrupt):
        host.delivery().run_pending()
    whole = (at - 1) // 3 * 3 if host.bound.kind == "sqlite" else 0
    assert sum(map(len, host.effects().values())) == whole
    assert host.delivery().run_pending() == 9 - whole
    assert host.effects() == host.expected()
    assert host.delivery().parked() == []


def test_a_first_write_that_fails_is_undone_alone(new_world: MakeWorld, plugin: Plugin) -> None:
    @plugin.on(Created[Box])
    def hear(s: Session, event: Any) -> None:
        for what in ("no", "yes"):
            with suppress(Invalid):
                s.create(Effect(event=event.id, box=event.record.id, what=what, size="much" if what == "no" else 1))  # type: ignore[arg-type]

    world = new_world(plugin)
    boxes = world.boxes(["a", "b"])
    assert world.crm.run_pending() == 2
    assert [(e.box, e.what) for e in world.effects()] == [(b.id, "yes") for b in boxes]


def test_a_statement_that_fails_and_is_passed_over_fails_its_event_alone(new_world: MakeWorld, plugin: Plugin) -> None:
    """On PostgreSQL it has failed all that the event did; on SQLite only itself."""
    bad: list[str] = []

    @plugin.on(Created[Box])
    def hear(s: Session, event: Any) -> None:
        if event.record.id in bad:
            with suppress(Exception):
                s._unit.connection.exec_driver_sql("SELECT nothing FROM nowhere")
        else:
            s.create(Effect(event=event.id, box=event.record.id, what="heard"))

    world = new_world(plugin)
    boxes = world.boxes(["a", "bad", "c"])
    bad.append(boxes[1].id)
    postgresql = world.crm.bound.kind == "postgresql"
    assert world.crm.run_pending() == (2 if postgresql else 3)
    assert [e.box for e in world.effects()] == [boxes[0].id, boxes[2].id]
    assert [line.record for line in world.crm.delivery.parked()] == ([boxes[1].id] if postgresql else [])
    assert world.effects(Ref(Box, boxes[1].id)) == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_delivery_that_somebody_waits_for_ends_in_time_also_where_all_fail(new_world: MakeWorld, plugin: Plugin, fails: bool) -> None:
    seen: list[str] = []

    @plugin.on(Created[Box])
    def slow(s: Session, event: Any) -> None:
        seen.append(event.record.id)
        world.later(seconds=0.1)
        if fails:
            raise ValueError("poison")

    world = new_world(plugin)
    world.boxes(["box"] * 100)
    done = world.crm.delivery.run_pending(seconds=1.5)
    assert done == (0 if fails else len(seen))
    assert 15 <= len(seen) <= 20
    if not fails:
        world.crm.run_pending()
        assert len(seen) == 100
