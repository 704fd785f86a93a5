"""Positions on PostgreSQL: every committed row gets exactly one, none waits for a stranger, and none is passed over."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from crm_core.events.sequencer import _advanced, _State, sequence
from crm_core.testing.databases import PostgresDatabases
from tests.events.raw import RawHost

SEED = 20260


@pytest.fixture
def host(postgres_databases: PostgresDatabases) -> Iterator[RawHost]:
    database = postgres_databases.create()
    made = RawHost(database, {})
    made.create()
    yield made
    made.bound.dispose()
    postgres_databases.drop(database)


def run_pass(host: RawHost, limit: int = 20_000) -> int:
    with host.begin() as connection:
        return sequence(connection, host.tables, limit=limit)


def positions(host: RawHost) -> list[tuple[int, int]]:
    table = host.tables.system.journal_position
    with host.begin(write=False) as connection:
        return [(row.position, row.journal_id) for row in connection.execute(sa.select(table).order_by(table.c.position))]


def journal_ids(host: RawHost) -> list[int]:
    with host.begin(write=False) as connection:
        return list(connection.execute(sa.select(host.tables.system.journal.c.id).order_by(host.tables.system.journal.c.id)).scalars())


def floor(host: RawHost) -> int:
    with host.begin(write=False) as connection:
        return int(connection.execute(sa.select(host.tables.system.sequencer.c.floor)).scalar_one())


def assert_dense(host: RawHost) -> None:
    given = positions(host)
    assert [p for p, _ in given] == list(range(1, len(given) + 1))
    assert sorted(i for _, i in given) == journal_ids(host)


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_sqlite_needs_no_positions(new_host: Callable[..., RawHost]) -> None:
    made = new_host({})
    made.journal(made.records(3))
    assert run_pass(made) == 0
    assert positions(made) == []


def test_rows_that_commit_late_come_after_those_that_did_not_wait(host: RawHost) -> None:
    with host.bound.engine.connect() as late:
        host.write(late, host.records(1))
        host.journal(host.records(2))
        assert run_pass(host) == 2
        late.commit()
    assert run_pass(host) == 1
    assert positions(host) == [(1, 2), (2, 3), (3, 1)]
    assert run_pass(host) == 0


def test_numbers_burnt_by_a_rollback_do_not_hold_the_floor(host: RawHost) -> None:
    with host.bound.engine.connect() as failing:
        host.write(failing, host.records(5))
        host.journal(host.records(1))
        run_pass(host)
        assert floor(host) == 0
        failing.rollback()
    host.journal(host.records(1))
    assert run_pass(host) == 1
    run_pass(host)
    assert floor(host) == 7
    assert_dense(host)


def test_a_write_left_open_in_another_database_stalls_nothing(host: RawHost, postgres_databases: PostgresDatabases) -> None:
    other = postgres_databases.create()
    with other.engine().connect() as stranger, host.bound.engine.connect() as neighbour:
        stranger.execute(sa.text("CREATE TABLE z (x int)"))
        neighbour.execute(sa.text("CREATE TABLE unrelated (x int)"))
        host.journal(host.records(1000))
        assert run_pass(host) == 1000
        assert floor(host) == 1000
        stranger.rollback()
        neighbour.rollback()
    postgres_databases.drop(other)


def test_a_long_writer_of_the_journal_holds_the_floor_but_no_rows(host: RawHost) -> None:
    with host.bound.engine.connect() as long:
        host.write(long, host.records(1))
        for _ in range(5):
            host.journal(host.records(10))
            assert run_pass(host) == 10
        assert floor(host) == 0
        long.commit()
    assert run_pass(host) == 1
    run_pass(host)
    assert floor(host) == 51
    assert_dense(host)


def drawn_without_an_id(early: sa.Connection) -> int:
    """Draw a number in a transaction that holds the journal's lock and has no id; the first draw after a checkpoint gives it one."""
    for _ in range(20):
        early.execute(sa.text("LOCK TABLE crm_journal IN ROW EXCLUSIVE MODE"))
        number = early.execute(sa.text("SELECT nextval(pg_get_serial_sequence('crm_journal', 'id'))")).scalar_one()
        if early.execute(sa.text("SELECT pg_current_xact_id_if_assigned()")).scalar_one() is None:
            return int(number)
        early.rollback()
    raise AssertionError("each draw had an id")


def test_a_writer_that_has_drawn_a_number_but_no_transaction_id_is_waited_for(host: RawHost) -> None:
    """An INSERT may be between the two for a moment; its lock tells of it, an xid could not."""
    journal = host.tables.system.journal
    host.journal(host.records(1))
    with host.bound.engine.connect() as early:
        number = drawn_without_an_id(early)
        host.journal(host.records(3))
        for _ in range(3):
            run_pass(host)
            host.journal(host.records(1))
        names = ", ".join(c.name for c in journal.c if c.name != "id")
        early.execute(
            sa.text(f"INSERT INTO crm_journal (id, {names}) OVERRIDING SYSTEM VALUE SELECT {number}, {names} FROM crm_journal WHERE id = 1")
        )
        early.commit()
    run_pass(host)
    assert sorted(positions(host)[-2:]) == [(7, number), (8, number + 6)]
    assert_dense(host)


def test_a_pass_that_ends_at_its_limit_goes_on_where_it_was(host: RawHost) -> None:
    host.journal(host.records(1050))
    with host.bound.engine.connect() as late:
        host.write(late, host.records(10))
        host.journal(host.records(40))
        given = [run_pass(host, 100) for _ in range(12)]
        assert given == [100] * 10 + [90, 0]
        late.commit()
    assert [run_pass(host, 4) for _ in range(4)] == [4, 4, 2, 0]
    assert_dense(host)


def test_an_older_snapshot_gives_positions_but_moves_no_floor(host: RawHost) -> None:
    host.journal(host.records(1))
    with host.bound.engine.connect() as old, host.bound.engine.connect() as late:
        old.execution_options(isolation_level="REPEATABLE READ")
        host.write(late, host.records(1))
        old.execute(sa.text("SELECT 1 FROM crm_journal"))
        late.commit()
        host.journal(host.records(1))
        assert sequence(old, host.tables) == 1
        old.commit()
    assert floor(host) == 0
    assert run_pass(host) == 2
    assert_dense(host)


def test_what_is_written_and_sequenced_in_one_transaction_vanishes_with_it(host: RawHost) -> None:
    host.journal(host.records(2))
    with host.bound.engine.connect() as joined:
        host.write(joined, host.records(2))
        assert sequence(joined, host.tables) == 4
        joined.rollback()
    assert run_pass(host) == 2
    host.journal(host.records(2))
    assert run_pass(host) == 2
    assert_dense(host)


def test_a_prepared_transaction_keeps_the_floor_where_it_is() -> None:
    """It loses the number it was waited for under, so any prepared one counts."""
    state = _State(floor=3, mark=9, waiting=frozenset({"5/77"}))
    assert _advanced(state, 20, {"-1/735"}, True, None).floor == 3
    assert _advanced(state, 20, {"6/1"}, True, None) == _State(9, 20, frozenset({"6/1"}))
    assert _advanced(state, 20, (), True, None) == _State(20, 20, frozenset())


def test_five_thousand_random_steps_of_writers_lose_and_double_nothing(host: RawHost) -> None:
    chance = random.Random(SEED)
    steps = passes = 0
    open_: list[sa.Connection] = []
    while steps < 5_000:
        steps += 1
        action = chance.choices(["begin", "write", "commit", "rollback", "pass"], [3, 6, 3, 1, 3])[0]
        if action == "begin" and len(open_) < 4:
            connection = host.bound.engine.connect()
            host.write(connection, host.records(1))
            open_.append(connection)
        elif action == "write" and open_:
            host.write(chance.choice(open_), host.records(chance.choice([1, 1, 2, 5])))
        elif action in ("commit", "rollback") and open_:
            connection = open_.pop(chance.randrange(len(open_)))
            connection.commit() if action == "commit" else connection.rollback()
            connection.close()
        elif action == "pass":
            passes += 1
            run_pass(host, chance.choice([3, 50, 20_000]))
    for connection in open_:
        connection.close()
    while run_pass(host):
        pass
    run_pass(host)
    assert_dense(host)
    with host.begin(write=False) as connection:
        newest = connection.execute(sa.select(sa.func.max(host.tables.system.journal.c.id))).scalar_one()
    assert floor(host) == newest
    print(f"postgresql: {steps} steps, {passes} passes, {newest} numbers drawn, {len(positions(host))} rows, seed {SEED}")


def test_two_sequencers_beside_four_writers_give_each_row_one_position(host: RawHost) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def writer(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(60):
            with host.bound.engine.connect() as connection:
                host.write(connection, host.records(chance.randrange(1, 4)))
                connection.rollback() if chance.random() < 0.2 else connection.commit()

    def sequencer() -> None:
        while not stop.is_set():
            run_pass(host)

    def guarded(work: object, *args: object) -> None:
        try:
            work(*args)  # type: ignore[operator]  # one of the two above
        except BaseException as e:
            failures.append(e)

    writers = [threading.Thread(target=guarded, args=(writer, SEED + n)) for n in range(4)]
    sequencers = [threading.Thread(target=guarded, args=(sequencer,)) for _ in range(2)]
    for thread in [*writers, *sequencers]:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in sequencers:
        thread.join()
    assert failures == []
    run_pass(host)
    assert_dense(host)
