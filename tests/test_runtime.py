"""Time, ids and chance: monotonic, unique, deterministic when seeded."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.errors import Invalid
from crm_core.runtime import FixedClock, Ids, Runtime, SystemClock
from tests.threads import at_once

START = datetime(2026, 11, 22, 9, 30, 0, 123456, tzinfo=UTC)


def ids_at(clock: FixedClock, seed: int = 1) -> Ids:
    return Ids(clock, random.Random(seed))


def test_an_id_is_a_uuid_of_version_7_and_the_rfc_variant() -> None:
    value = uuid.UUID(ids_at(FixedClock(START)).new())
    assert value.version == 7
    assert value.variant == uuid.RFC_4122


def test_an_id_carries_the_clock_in_its_first_48_bits() -> None:
    value = uuid.UUID(ids_at(FixedClock(START)).new())
    assert value.int >> 80 == int(START.timestamp() * 1000)


def test_an_id_has_the_canonical_text_form() -> None:
    for value in ids_at(FixedClock(START)).many(50):
        assert str(uuid.UUID(value)) == value


@given(moves=st.lists(st.tuples(st.integers(-5_000, 5_000), st.integers(1, 40)), max_size=30), seed=st.integers())
def test_ids_strictly_increase_whatever_the_clock_does(moves: list[tuple[int, int]], seed: int) -> None:
    clock = FixedClock(START)
    ids = Ids(clock, random.Random(seed))
    seen: list[str] = []
    for milliseconds, count in moves:
        clock.advance(timedelta(milliseconds=milliseconds))
        seen += ids.many(count)
        seen.append(ids.new())
    assert all(a < b for a, b in pairwise(seen))


def test_a_batch_larger_than_the_random_tail_stays_increasing_and_valid() -> None:
    made = ids_at(FixedClock(START)).many(300_000)
    assert len(set(made)) == 300_000
    assert made == sorted(made)
    assert {value[14] for value in made} == {"7"}
    assert {value[19] for value in made} <= set("89ab")


def test_a_clock_before_1970_still_gives_valid_increasing_ids() -> None:
    ids = ids_at(FixedClock(datetime(1960, 1, 1, tzinfo=UTC)))
    made = ids.many(10)
    assert made == sorted(set(made))
    assert uuid.UUID(made[0]).version == 7


def test_no_ids_is_an_empty_list() -> None:
    assert ids_at(FixedClock(START)).many(0) == []


def test_threads_never_get_the_same_id() -> None:
    ids = Runtime.system().ids

    def work(_: int) -> list[str]:
        return [value for _ in range(200) for value in ids.many(5)] + [ids.new() for _ in range(200)]

    made = at_once(work, range(8))
    flat = [value for part in made for value in part]
    assert len(flat) == 8 * 1_200
    assert len(set(flat)) == len(flat)
    assert all(part == sorted(part) for part in made)


FORKS = """
import os
from crm_core.runtime import Runtime
ids = Runtime.system().ids
print(ids.new(), flush=True)
child = os.fork()
made = "\\n".join(ids.many(50))
if child:
    os.waitpid(child, 0)
print(made, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_does_not_repeat_the_ids_of_its_parent() -> None:
    run = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True, timeout=60)
    made = run.stdout.split()
    assert len(made) == len(set(made)) == 101


def test_the_same_seed_gives_the_same_ids_and_numbers() -> None:
    one, two = Runtime.seeded(7), Runtime.seeded(7)
    assert one.ids.many(100) == two.ids.many(100)
    assert [one.random.random() for _ in range(5)] == [two.random.random() for _ in range(5)]


def test_another_seed_gives_other_ids() -> None:
    assert not set(Runtime.seeded(7).ids.many(100)) & set(Runtime.seeded(8).ids.many(100))


def test_drawing_a_number_does_not_change_the_ids_that_follow() -> None:
    one, two = Runtime.seeded("demo"), Runtime.seeded("demo")
    one.random.random()
    assert one.ids.new() == two.ids.new()


def test_a_seeded_runtime_starts_where_it_is_told() -> None:
    runtime = Runtime.seeded(1, start=START)
    assert runtime.clock.now() == START


def test_a_seeded_runtime_can_follow_a_clock_of_the_caller() -> None:
    clock = FixedClock(START)
    runtime = Runtime.seeded(1, clock=clock)
    clock.advance(timedelta(days=1))
    assert uuid.UUID(runtime.ids.new()).int >> 80 == int((START + timedelta(days=1)).timestamp() * 1000)


def test_a_fixed_clock_stands_until_it_is_advanced() -> None:
    clock = FixedClock(START)
    assert clock.now() == clock.now() == START
    assert clock.monotonic() == 0.0
    assert clock.advance(timedelta(minutes=1)) == clock.now() == START + timedelta(minutes=1)
    assert clock.monotonic() == 60.0


def test_a_fixed_clock_tells_utc_whatever_zone_it_started_in() -> None:
    clock = FixedClock(datetime(2026, 1, 1, 8, tzinfo=timezone(timedelta(hours=8))))
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    assert clock.now().tzinfo is UTC


def test_a_fixed_clock_refuses_a_naive_start() -> None:
    with pytest.raises(Invalid) as error:
        FixedClock(datetime(2026, 1, 1))  # noqa: DTZ001 - naive is the point
    assert error.value.code == "naive_datetime"


def test_the_system_clock_is_aware_and_in_utc() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()
