"""R4: many threads, or many processes, add to one record at the same time: no error, no lost update, and nobody waits for long."""

from __future__ import annotations

from typing import Any

from crm_core import CRM
from tests.children import start
from tests.conftest import MakeCRM
from tests.events.boxes import Box
from tests.events.world import ADMIN, box_plugin
from tests.faults.processes import add_one_each, add_up
from tests.figures import LONG, figure
from tests.threads import at_once

WRITERS, TIMES = (32, 100) if LONG else (8, 25)


def assert_nothing_lost(name: str, crm: CRM, box: str, results: list[Any], bar: float) -> None:
    """Check the sum, and tell the slowest hundredth."""
    waits = sorted(wait for found, _ in results for wait in found)
    errors = [error for _, found in results for error in found]
    with crm.session(ADMIN, write=False) as s:
        size, version = (made := s.get(Box, box)).size, made.version
    p99 = waits[int(len(waits) * 0.99)]
    result = (
        f"{len(errors)} errors, {WRITERS * TIMES - size} updates lost, p99 {p99 * 1e3:.0f} ms, p50 {waits[len(waits) // 2] * 1e3:.1f} ms"
    )
    told = f"0 errors, 0 lost, p99 <= {bar:.0f} s"
    met = not errors and size == WRITERS * TIMES and p99 <= bar
    figure(name, database=crm.bound.kind, cases=WRITERS, rows=WRITERS * TIMES, result=result, bar=told, met=met)
    assert errors == []
    assert (size, version) == (WRITERS * TIMES, WRITERS * TIMES + 1)
    assert p99 <= bar or not LONG


def new_box(crm: CRM) -> str:
    with crm.session(ADMIN) as s:
        return str(s.create(Box(name="counter")).id)


def test_threads_that_write_one_record_at_once(make_crm: MakeCRM) -> None:
    crm = make_crm(plugins=[box_plugin()])
    box = new_box(crm)
    results = at_once(lambda _: add_one_each(crm, box, TIMES), range(WRITERS))
    assert_nothing_lost("R4 threads", crm, box, results, 1.0)


def test_processes_that_write_one_record_at_once(make_crm: MakeCRM) -> None:
    crm = make_crm(plugins=[box_plugin()])
    box = new_box(crm)
    children = [start(add_up, crm.url, box, TIMES) for _ in range(WRITERS)]
    assert [child.told.recv() for child in children] == ["ready"] * WRITERS
    assert_nothing_lost("R4 processes", crm, box, [found for child in children for found in child.rest()], 5.0)
