"""The directory's people are mirrored as they are, circles and gaps included, and written only when they changed."""

from __future__ import annotations

import random
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from crm_core.permissions.directory import User
from crm_core.permissions.members import MAX_LEVELS, NOBODY, ClosureRow, DirectoryTables, Members, sync
from crm_core.storage.system import SystemTables
from crm_core.testing.databases import Database
from tests.threads import at_once

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def people(managers: dict[str, str | None]) -> Members:
    return Members.of(User(id, f"Name of {id}", manager=manager) for id, manager in managers.items())


def managers(members: Members, user: str) -> tuple[str, ...]:
    """The chain above a user, the nearest first."""
    return tuple(row.ancestor for row in members.closure() if row.user_id == user and row.depth)


def test_a_chain_of_managers_is_followed_to_the_top() -> None:
    members = people({"boss": None, "lead": "boss", "rep": "lead", "other": None})
    assert managers(members, "rep") == ("lead", "boss")
    assert members.reports_to("rep", "boss")
    assert members.reports_to("rep", "rep")
    assert not members.reports_to("boss", "rep")
    assert not members.reports_to("rep", "other")
    assert members.problems == ()


def test_everyone_reports_to_themselves_even_unknown_to_the_directory() -> None:
    assert NOBODY.reports_to("7", "7")
    assert not NOBODY.reports_to("7", "8")
    assert NOBODY.teams_of("7") == frozenset()


def test_the_closure_has_every_pair_with_its_depth() -> None:
    assert set(people({"boss": None, "lead": "boss", "rep": "lead"}).closure()) == {
        ClosureRow("boss", "boss", 0),
        ClosureRow("lead", "lead", 0),
        ClosureRow("lead", "boss", 1),
        ClosureRow("rep", "rep", 0),
        ClosureRow("rep", "lead", 1),
        ClosureRow("rep", "boss", 2),
    }


def test_a_circle_of_managers_is_cut_and_reported() -> None:
    members = people({"a": "b", "b": "c", "c": "a", "self": "self", "below": "a"})
    assert managers(members, "a") == ("b", "c")
    assert managers(members, "self") == ()
    assert managers(members, "below") == ("a", "b", "c")
    assert sum("circle" in p for p in members.problems) == 5
    assert "the managers of 'a' form a circle: a -> b -> c -> a" in members.problems


def test_a_manager_the_directory_does_not_list_still_counts_and_is_reported() -> None:
    members = people({"7": "3"})
    assert members.reports_to("7", "3")
    assert members.problems == ("'3', a manager of '7', is not in the directory",)


def test_a_chain_beyond_the_limit_is_cut_and_reported() -> None:
    members = people({str(n): str(n + 1) for n in range(200)} | {"200": None})
    assert len(managers(members, "0")) == MAX_LEVELS
    assert any("more than 64" in p for p in members.problems)


def test_an_id_listed_twice_counts_once_and_the_inactive_stay() -> None:
    members = Members.of([User("7", "First", teams={"a"}, active=False), User("7", "Second", teams={"b"})])
    assert members.users["7"].name == "First"
    assert members.teams_of("7") == {"a"}
    assert members.closure() == [ClosureRow("7", "7", 0)]


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.none() | st.sampled_from("abcdefghij")))
def test_the_closure_is_what_walking_upwards_finds(managers: dict[str, str | None]) -> None:
    members = people(managers)
    for user in managers:
        above, reached = user, {user}
        while (next_ := managers.get(above)) is not None and next_ not in reached:
            reached.add(next_)
            above = next_
        assert {r.ancestor for r in members.closure() if r.user_id == user} == reached
        assert {m for m in "abcdefghij" if members.reports_to(user, m)} == reached


@given(st.permutations([("a", "b"), ("b", None), ("c", "a"), ("d", "zz")]))
def test_the_digest_does_not_depend_on_the_order_of_the_directory(order: list[tuple[str, str | None]]) -> None:
    assert people(dict(order)).digest == people({"a": "b", "b": None, "c": "a", "d": "zz"}).digest


def test_the_digest_is_of_managers_and_teams_alone() -> None:
    base = Members.of([User("a", "A", manager="b", teams={"x"})])
    assert base.digest == Members.of([User("a", "Ann", manager="b", teams={"x"}, active=False)]).digest
    assert base.digest != Members.of([User("a", "A", manager="c", teams={"x"})]).digest
    assert base.digest != Members.of([User("a", "A", manager="b", teams={"x", "y"})]).digest
    assert base.digest != NOBODY.digest


# -- the tables ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tables(database: Database) -> DirectoryTables:
    metadata = sa.MetaData()
    tables = SystemTables(metadata, "crm_", nullcontext())
    metadata.create_all(database.engine(), [tables.member, tables.team_member, tables.directory_state])
    return tables


def stored(connection: sa.Connection, tables: DirectoryTables, tenant: str) -> tuple[set[tuple[str, str, int]], set[tuple[str, str]]]:
    member, team = tables.member.c, tables.team_member.c
    return (
        {tuple(r) for r in connection.execute(sa.select(member.user_id, member.ancestor, member.depth).where(member.tenant == tenant))},
        {tuple(r) for r in connection.execute(sa.select(team.user_id, team.team).where(team.tenant == tenant))},
    )


def test_the_tables_hold_the_people_of_each_tenant(database: Database, tables: DirectoryTables) -> None:
    first = Members.of([User("a", "A", manager="b", teams={"x", "y"}), User("b", "B")])
    second = Members.of([User("a", "Another", teams={"z"})])
    with database.engine().begin() as connection:
        assert sync(connection, tables, "t1", first, NOW)
        assert sync(connection, tables, "t2", second, NOW)
        assert stored(connection, tables, "t1") == ({("a", "a", 0), ("a", "b", 1), ("b", "b", 0)}, {("a", "x"), ("a", "y")})
        assert stored(connection, tables, "t2") == ({("a", "a", 0)}, {("a", "z")})
        assert sync(connection, tables, "t1", NOBODY, NOW)
        assert stored(connection, tables, "t1") == (set(), set())
        assert stored(connection, tables, "t2") == ({("a", "a", 0)}, {("a", "z")})


def test_the_same_people_are_not_written_again(database: Database, tables: DirectoryTables) -> None:
    members = people({"a": "b", "b": None})
    engine = database.engine()
    written: list[str] = []
    with engine.begin() as connection:
        sync(connection, tables, "t1", members, NOW)
    sa.event.listen(engine, "before_cursor_execute", lambda conn, cur, sql, *rest: written.append(sql))
    with engine.begin() as connection:
        assert not sync(connection, tables, "t1", members, NOW + timedelta(days=1))
        assert len(written) == 1
        assert written[0].startswith("SELECT")
        assert connection.scalar(sa.select(tables.directory_state.c.refreshed_at)) == NOW


def test_three_thousand_people_are_written_in_chunks(database: Database, tables: DirectoryTables) -> None:
    chance = random.Random(7)
    managers = {str(n): (str(chance.randrange(n)) if n else None) for n in range(3000)}
    members = people(managers)
    with database.engine().begin() as connection:
        sync(connection, tables, "t1", members, NOW)
        assert connection.scalar(sa.select(sa.func.count()).select_from(tables.member)) == len(members.closure())


def test_two_processes_that_sync_at_once_leave_one_of_their_states(database: Database, tables: DirectoryTables) -> None:
    states = [people({"a": "b", "b": None}), people({"a": "c", "c": None, "d": None})]

    def work(n: int) -> None:
        engine = database.engine()
        for turn in range(10):
            with engine.begin() as connection:
                if database.kind == "sqlite":
                    connection.exec_driver_sql("PRAGMA busy_timeout = 20000")
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                sync(connection, tables, "t1", states[(n + turn) % 2], NOW)

    at_once(work, range(4))
    with database.engine().connect() as connection:
        digest = connection.scalar(sa.select(tables.directory_state.c.digest))
        final = next(s for s in states if s.digest == digest)
        assert stored(connection, tables, "t1")[0] == {tuple(r) for r in final.closure()}
