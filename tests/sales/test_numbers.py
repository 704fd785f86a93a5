"""Turns in a pool and numbers of documents."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crm_core import CRM, Session
from crm_sales.numbers import next_numbers, turns
from crm_sales.plugin import plugin
from tests.sales.desk import BOSS, at_once

people = st.lists(st.sampled_from("ABCDEFGH"), unique=True, min_size=1)


def test_turns_skip_the_inactive_and_the_absent() -> None:
    """[G22] A, D, A, D of A, B (inactive), C (on leave), D: SuiteCRM 8935, 2032."""
    assert turns(["A", "B", "C", "D"], ["A", "D"], None, 4) == ["A", "D", "A", "D"]


def test_a_pool_in_which_nobody_is_able_gives_no_turns() -> None:
    assert turns(["B", "C"], [], "B", 3) == []


@given(people, people, st.integers(1, 40), st.integers(1, 40))
def test_turns_taken_one_by_one_are_those_taken_at_once(pool: list[str], able: list[str], first: int, second: int) -> None:
    part = turns(pool, able, None, first)
    rest = turns(pool, able, part[-1], second) if part else []
    assert part + rest == turns(pool, able, None, first + second)


@given(people, people, st.integers(1, 60))
def test_nobody_gets_two_turns_more_than_another(pool: list[str], able: list[str], count: int) -> None:
    given_out = turns(pool, able, None, count)
    counts = [given_out.count(person) for person in pool if person in able]
    assert not counts or max(counts) - min(counts) <= 1


def test_numbers_have_neither_gaps_nor_doubles_when_many_ask_at_once(crm: CRM) -> None:
    def number(s: Session) -> str:
        (number,) = next_numbers(s.derive(plugin=plugin.name), "T", 1)
        return number

    assert sorted(at_once(crm, number, times=8)) == [f"T-{n:05d}" for n in range(1, 9)]


def test_a_rollback_gives_its_number_back(crm: CRM) -> None:
    class Stop(Exception):
        pass

    try:
        with crm.session(BOSS) as s:
            next_numbers(s.derive(plugin=plugin.name), "T", 1)
            raise Stop
    except Stop:
        pass
    with crm.session(BOSS) as s:
        assert next_numbers(s.derive(plugin=plugin.name), "T", 2) == ["T-00001", "T-00002"]
