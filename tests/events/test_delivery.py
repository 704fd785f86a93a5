"""Delivery: every committed event reaches every subscriber, in each record's order; effects in the database exactly once."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from crm_core.crm import CRM
from crm_core.entities.customer import Account
from crm_core.entities.meta import spec
from crm_core.entities.money import Money
from crm_core.errors import LoadError
from crm_core.events.event import Created, Deleted, Restored, Updated
from crm_core.events.journal import history
from crm_core.hooks.plugin import Plugin
from crm_core.permissions.actor import Actor
from crm_core.session import Session
from crm_core.testing.databases import Database
from tests.events.boxes import Box, Effect
from tests.events.raw import Handler, RawHost
from tests.events.world import ADMIN, Opened, Opener, World, box_plugin, recorder
from tests.figures import LONG

SEED = 20261
MakeWorld = Callable[..., World]
MakeHost = Callable[..., RawHost]


def effect_of(poison: set[str]) -> Handler:
    def handle(session: Any, events: Any) -> None:
        given = events if isinstance(events, list) else [events]
        session.effect(*given)
        if poison.intersection(e.record.id for e in given):
            raise ValueError("poison")

    return handle


@pytest.mark.parametrize(("count", "batch"), [(20_000 if LONG else 4_000, True), (1_000, False)])
def test_twenty_poison_records_hold_up_nobody_else(
    database: Database, new_host: MakeHost, count: int, batch: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Law 5, 6 and R8: 20 failing records park, all others flow; once healed, each event had its effect once and in order."""
    caplog.set_level("CRITICAL")
    poison: set[str] = set()
    host = new_host({"box.handle": effect_of(poison)}, batch=batch, seed=SEED)
    records = host.records(count // 20)
    chance = random.Random(SEED)
    poison |= set(chance.sample(records, 20))
    events = records * 20
    chance.shuffle(events)
    host.journal(events)
    delivery = host.delivery()
    assert delivery.run_pending() == count - 400
    expected = host.expected()
    assert host.effects() == {r: ids for r, ids in expected.items() if r not in poison}
    assert sorted((line.record, line.behind) for line in delivery.parked()) == sorted((r, 19) for r in poison)
    host.journal(list(poison))  # what comes later waits behind
    assert delivery.run_pending() == 0
    poison.clear()
    host.clock.advance(delivery.next_try() - host.clock.now() + 2 * delivery._retry.first)  # type: ignore[operator]  # something is parked
    assert delivery.run_pending() == 420
    assert host.effects() == host.expected()
    assert delivery.parked() == []
    assert delivery.run_pending() == 0
    print(f"{database.kind}: {count} events of {len(records)} records, 20 poison, batch={batch}, seed {SEED}")


def test_a_subscriber_gets_typed_events_of_every_kind_in_order(new_world: MakeWorld, plugin: Plugin) -> None:
    seen: list[Any] = []

    @plugin.on(Created[Box])
    @plugin.on(Updated[Box])
    @plugin.on(Deleted[Box])
    @plugin.on(Restored[Box])
    @plugin.on(Opened)
    def see(s: Session, event: Any) -> None:
        seen.append(event)

    w = new_world(plugin)
    (box,) = w.boxes(["a"])
    w.grow(box, 2)
    with w.crm.session(Actor("7", roles={"nobody"})) as s:
        s.derive(plugin="box").use(Opener).open(box, "4.50")
    with w.crm.session(ADMIN) as s:
        s.delete(box)
        s.restore(Box, box.id)
    assert w.crm.run_pending() == 5
    assert [type(e) for e in seen] == [Created, Updated, Opened, Deleted, Restored]
    assert {e.record for e in seen} == {box.ref}
    assert (seen[0].new["name"], seen[1].changes["size"].new, seen[2].price, seen[2].actor) == ("a", 2, Money("4.50", "EUR"), "7")
    assert [e.id for e in seen] == sorted(e.id for e in seen)


def test_a_subscriber_runs_as_its_plugin_on_behalf_of_the_one_who_caused_it(new_world: MakeWorld, plugin: Plugin) -> None:
    actors: list[Actor] = []

    @plugin.on(Created[Account])
    def see(s: Session, event: Created[Account]) -> None:
        actors.append(s.actor)
        s.create(Effect(event=event.id, box=event.record.id, what=str(dict(event.new))))

    w = new_world(plugin)
    with w.crm.session(Actor.system("import", tenant="t2", on_behalf_of=Actor("42"))) as s:
        s.create(Account(name="Acme"))
    w.crm.run_pending()
    assert [(a.id, a.kind, a.tenant, a.on_behalf_of and a.on_behalf_of.id) for a in actors] == [("plugin:box", "service", "t2", "42")]
    with w.crm.session(Actor.system("test", tenant="t2")) as s:
        (effect,) = s.query(Effect).all()
    assert effect.what == "{}", "without a grant to read accounts, an account's values are not in the event"
    assert w.effects() == []


def test_a_grant_to_read_shows_the_values(new_world: MakeWorld, plugin: Plugin) -> None:
    plugin.grants("account:read")
    names: list[str] = []

    @plugin.on(Created[Account])
    def see(s: Session, event: Created[Account]) -> None:
        names.append(event.new["name"])

    w = new_world(plugin)
    with w.crm.session(ADMIN) as s:
        s.create(Account(name="Acme"))
    w.crm.run_pending()
    assert names == ["Acme"]


def test_what_is_rolled_back_is_never_delivered(new_world: MakeWorld, plugin: Plugin) -> None:
    recorder(plugin)
    w = new_world(plugin)
    with pytest.raises(RuntimeError), w.crm.session(ADMIN) as s:
        s.create(Box(name="a"))
        raise RuntimeError
    assert w.crm.run_pending() == 0
    w.boxes(["b"])
    assert w.crm.run_pending() == 1
    assert [e.what for e in w.effects()] == ["created"]


def test_a_new_subscription_starts_with_the_next_event_unless_it_asks_for_all(new_world: MakeWorld) -> None:
    new_world(box_plugin()).boxes(["old"])
    later = box_plugin()
    seen: list[tuple[str, str]] = []

    @later.on(Created[Box])
    def from_now(s: Session, event: Created[Box]) -> None:
        seen.append(("now", event.new["name"]))

    @later.on(Created[Box], from_start=True)
    def from_start(s: Session, event: Created[Box]) -> None:
        seen.append(("start", event.new["name"]))

    w = new_world(later, seed=8)
    w.boxes(["new"])
    w.crm.run_pending()
    assert sorted(seen) == [("now", "new"), ("start", "new"), ("start", "old")]


def test_a_limit_stops_early_and_nothing_is_lost(new_world: MakeWorld, plugin: Plugin) -> None:
    recorder(plugin)
    w = new_world(plugin)
    w.boxes([f"b{n}" for n in range(7)])
    assert [w.crm.run_pending(limit=3) for _ in range(4)] == [3, 3, 1, 0]
    assert len(w.effects()) == 7


def test_a_batch_handler_gets_neighbours_of_one_tenant_and_actor(new_world: MakeWorld, plugin: Plugin) -> None:
    calls: list[tuple[str, int]] = []

    @plugin.on(Created[Box], batch=True)
    def see(s: Session, events: list[Created[Box]]) -> None:
        calls.append((s.actor.tenant, len(events)))

    w = new_world(plugin)
    w.boxes(["a", "b", "c"])
    with w.crm.session(Actor.system("test", tenant="other")) as s:
        s.create_many([Box(name="d"), Box(name="e")])
    w.boxes(["f"])
    assert w.crm.run_pending() == 6
    assert calls == [("main", 3), ("other", 2), ("main", 1)]


def test_events_a_subscriber_causes_are_delivered_in_the_same_run(new_world: MakeWorld, plugin: Plugin) -> None:
    @plugin.on(Created[Box])
    def follow(s: Session, event: Created[Box]) -> None:
        if s.get(Box, event.record).size < 3:
            s.create(Box(name="child", size=s.get(Box, event.record).size + 1))

    w = new_world(plugin)
    w.boxes(["root"])
    assert w.crm.run_pending() == 4
    with w.crm.bound.begin(write=False) as connection:
        payloads = list(
            connection.execute(sa.select(w.crm.tables.system.journal.c.payload).order_by(w.crm.tables.system.journal.c.id)).scalars()
        )
    assert [len(p.get("chain", [])) for p in payloads] == [0, 1, 2, 3]


def test_a_circle_of_events_is_cut_and_shows_its_chain(new_world: MakeWorld, plugin: Plugin) -> None:
    @plugin.on(Updated[Box])
    def again(s: Session, event: Updated[Box]) -> None:
        s.update(Box, event.record, {"size": event.changes["size"].new + 1})

    w = new_world(plugin)
    (box,) = w.boxes(["a"])
    w.grow(box, 1)
    assert w.crm.run_pending() == 16
    (line,) = w.crm.delivery.parked()
    assert (line.state, line.record, line.next_try) == ("held", box.id, None)
    assert line.error.startswith("LoopDetected")
    assert line.error.count(f"{spec(Box).name}.updated.v1 > box.again") == 17


def test_delivery_inside_the_hosts_transaction_vanishes_with_it(new_world: MakeWorld, plugin: Plugin) -> None:
    recorder(plugin)
    w = new_world(plugin)
    with pytest.raises(RuntimeError), w.crm.bound.begin() as connection:
        with w.crm.session(ADMIN, on=connection) as s:
            s.create(Box(name="a"))
        assert w.crm.run_pending(on=connection) == 1
        raise RuntimeError
    assert w.effects() == []
    w.boxes(["b"])
    assert w.crm.run_pending() == 1


def test_a_function_listens_in_one_way_only(plugin: Plugin) -> None:
    @plugin.on(Created[Box], external=True)
    @plugin.on(Updated[Box])
    def two(s: Session, event: Any) -> None: ...

    with pytest.raises(LoadError) as caught:
        CRM("sqlite://", plugins=[plugin])
    assert caught.value.code == "subscription_taken"


def test_an_effect_that_breaks_the_commit_parks_its_event_alone(postgres_databases: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A deferred constraint fails at COMMIT, where no savepoint helps: the culprit is found by halves."""
    caplog.set_level("CRITICAL")
    database = postgres_databases.create()
    host = RawHost(database, {"box.handle": effect_of(set())})
    host.create()
    with host.begin() as connection:
        connection.execute(sa.text("CREATE TABLE allowed (box varchar(36) PRIMARY KEY)"))
        connection.execute(sa.text("ALTER TABLE effect ADD FOREIGN KEY (box) REFERENCES allowed DEFERRABLE INITIALLY DEFERRED"))
    records = host.records(20)
    with host.begin() as connection:
        connection.execute(sa.text("INSERT INTO allowed VALUES (:box)"), [{"box": r} for r in records[:13] + records[14:]])
    host.journal(records)
    delivery = host.delivery()
    assert delivery.run_pending() == 19
    (line,) = delivery.parked()
    assert (line.record, line.attempts) == (records[13], 1)
    assert set(host.effects()) == set(records) - {records[13]}
    with host.begin() as connection:
        connection.execute(sa.text("INSERT INTO allowed VALUES (:box)"), {"box": records[13]})
    host.clock.advance(delivery._retry.cap)
    assert delivery.run_pending() == 1
    assert host.effects() == host.expected()
    host.bound.dispose()
    postgres_databases.drop(database)


def test_workers_in_threads_share_the_work_and_keep_each_records_order(new_world: MakeWorld, plugin: Plugin) -> None:
    """Writers, and three workers at once: R6, and law 5 under concurrency."""
    recorder(plugin)

    @plugin.on(Updated[Box])
    def second(s: Session, event: Updated[Box]) -> None:
        s.create(Effect(event=event.id, box=event.record.id, what="second", size=event.changes["size"].new))

    w = new_world(plugin)
    boxes = w.boxes([f"b{n}" for n in range(6)])
    done = threading.Event()
    failures: list[BaseException] = []

    def write(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(25):
            box = chance.choice(boxes)
            w.grow(box, chance.randrange(1, 10**6))

    def work() -> None:
        while not done.is_set():
            w.crm.run_pending()

    def guarded(run: Any, *args: Any) -> None:
        try:
            run(*args)
        except BaseException as e:
            failures.append(e)

    writers = [threading.Thread(target=guarded, args=(write, SEED + n)) for n in range(3)]
    workers = [threading.Thread(target=guarded, args=(work,)) for _ in range(3)]
    for thread in writers + workers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in workers:
        thread.join()
    assert failures == []
    w.crm.run_pending()
    assert w.crm.delivery.parked() == []
    effects = w.effects()
    with w.crm.bound.begin(write=False) as connection:
        for box in boxes:
            changes = [e.event_id for e in history(connection, w.crm.tables, "main", spec(Box).name, box.id) if e.name.endswith("updated")]
            for what in ("updated", "second"):
                assert [e.event for e in effects if (e.what, e.box) == (what, box.id)] == changes
    print(f"{w.crm.bound.kind}: {len(effects)} effects of 3 workers, seed {SEED}")
