"""The journal as audit and as history: every write leaves a row, and a record can be read as it was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_core.entities.fields import Ref
from crm_core.entities.meta import spec
from crm_core.events.journal import Entry, history, last_position, read, reconstruct
from crm_core.hooks.plugin import Plugin
from crm_core.permissions.actor import Actor
from tests.events.boxes import START, Box
from tests.events.world import ADMIN, Opener, World


@pytest.fixture
def box_world(new_world: Callable[..., World], plugin: Plugin) -> World:
    return new_world(plugin)


def entries(w: World, box: Box) -> list[Entry]:
    with w.crm.bound.begin(write=False) as connection:
        return history(connection, w.crm.tables, "main", spec(Box).name, box.id)


def test_every_write_of_a_record_is_in_its_history(box_world: World) -> None:
    w = box_world
    (box,) = w.boxes(["a"])
    w.later(minutes=1)
    with w.crm.session(Actor.system("job", tenant="main", on_behalf_of=Actor("7")), reason="growth", request="r-1") as s:
        s.update(Box, box.id, {"size": 3})
        s.use(Opener).open(box)
        s.delete(box)
        s.restore(Box, box.id)
    found = entries(w, box)
    assert [e.kind for e in found] == [f"box.box.{v}.v1" for v in ("created", "updated")] + [
        "box.opened.v1",
        "box.box.deleted.v1",
        "box.box.restored.v1",
    ]
    assert [e.version for e in found if e.is_automatic] == [1, 2, 3, 4]
    assert (found[1].actor, found[1].on_behalf_of, found[1].reason, found[1].request) == ("system:job", "7", "growth", "r-1")
    assert found[1].at == START + timedelta(minutes=1)
    assert found[1].changes == {"size": [0, 3]}
    assert found[2].plugin == "box"
    assert len({e.event_id for e in found}) == 5


def test_a_record_is_read_as_it_was_at_a_version_or_an_instant(box_world: World) -> None:
    w = box_world
    (box,) = w.boxes(["a"])
    for size in (1, 2):
        w.later(hours=1)
        w.grow(box, size)
    w.later(hours=1)
    with w.crm.session(ADMIN) as s:
        s.delete(box)
    w.later(hours=1)
    with w.crm.session(ADMIN) as s:
        s.restore(Box, box.id)
    found = entries(w, box)
    sizes = [(past or {}).get("size") for past in (reconstruct(found, version=v) for v in range(6))]
    assert sizes == [None, 0, 1, 2, None, 2]
    assert reconstruct(found, version=0) is None
    assert reconstruct(found, version=4) is None
    for hours, name in ((-1, None), (0, "a"), (2.5, "a"), (3, None), (9, "a")):
        past = reconstruct(found, at=START + timedelta(hours=hours))
        assert (past or {}).get("name") == name


def test_reading_by_position_filters_by_tenant_and_name(box_world: World) -> None:
    w = box_world
    with w.crm.session(Actor.system("test", tenant="other")) as s:
        s.create(Box(name="theirs"))
    boxes = w.boxes(["a", "b", "c"])
    w.grow(boxes[0], 2)
    w.crm.run_pending()
    with w.crm.bound.begin() as connection:
        tables = w.crm.tables
        assert [e.record for e in read(connection, tables, tenant="main")] == [b.id for b in boxes] + [boxes[0].id]
        assert [e.name for e in read(connection, tables, names=["box.box.updated"])] == ["box.box.updated"]
        assert read(connection, tables, names=["box.box"]) == []
        end = last_position(connection, tables)
        assert [e.position for e in read(connection, tables, after=1, limit=2)] == [2, 3]
        assert read(connection, tables, after=end) == []
        assert [e.position for e in read(connection, tables, upto=2)] == [1, 2]


def test_an_empty_journal_ends_at_zero(box_world: World) -> None:
    with box_world.crm.bound.begin(write=False) as connection:
        assert last_position(connection, box_world.crm.tables) == 0


STEPS = st.lists(st.tuples(st.sampled_from(["grow", "rename", "delete", "restore"]), st.integers(-3, 600)), max_size=30)


@given(STEPS)
@settings(max_examples=200)
def test_history_gives_back_every_state_whatever_the_clock_did(steps: list[tuple[str, int]]) -> None:
    """A model of 200 random lives, with clocks that also go back: the state at each version is the state there was."""
    at, alive, values = START, True, {"size": 0, "name": "a"}
    log = [_entry(1, at, "created", new=dict(values))]
    states: list[dict[str, Any] | None] = [dict(values)]
    for n, (what, minutes) in enumerate(steps):
        at += timedelta(minutes=minutes)
        if alive == (what == "restore"):
            continue
        if what in ("delete", "restore"):
            alive = what == "restore"
            payload = {"changes": {"deleted_at": [1, None]}} if alive else {"old": dict(values)}
            log.append(_entry(len(log) + 1, at, f"{what}d", **payload))
        else:
            name = "size" if what == "grow" else "name"
            log.append(_entry(len(log) + 1, at, "updated", changes={name: [values[name], n]}))
            values[name] = n
        states.append(dict(values) if alive else None)
    for version, state in enumerate(states, 1):
        past = reconstruct(log, version=version)
        assert (past and {k: v for k, v in past.items() if k != "deleted_at"}) == state
    assert reconstruct(log, at=max(e.at for e in log)) == reconstruct(log)


def _entry(version: int, at: Any, verb: str, **payload: Any) -> Entry:
    ref = Ref(Box, "01890000-0000-7000-8000-000000000001")
    return Entry(
        version,
        version,
        "main",
        at,
        "7",
        None,
        "",
        None,
        None,
        "box.box",
        ref.id,
        version,
        f"box.box.{verb}.v1",
        1,
        {"id": ref.id, **payload},
    )
