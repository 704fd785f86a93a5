"""Real cases: the log of an Italian help desk, 3,804 cases in 13,710 events, gives the same times here and by plain counting [C40]."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from crm_core import CRM
from crm_service.api import (
    BusinessCalendar,
    Case,
    CaseStep,
    ClockState,
    Metric,
    Rebuilt,
    Service,
    SlaPolicy,
    Ticket,
    TicketChange,
    TicketStatus,
)
from crm_service.measuring import batches, measure
from tests.service.conftest import MANAGER, MakeDesk

# The file names no zone. Read as UTC+10 its events fall on Mondays to Fridays from 7 to 17 in Italy, with a lunch break; read as
# Italian time most would fall into the night.
WRITTEN_IN, ROME = ZoneInfo("Australia/Brisbane"), ZoneInfo("Europe/Rome")
HOURS = [("08:00", "12:30"), ("13:30", "17:00")]
OFF = {date(2010, 12, 25), date(2011, 1, 1), date(2011, 8, 15), date(2012, 1, 1), date(2012, 12, 25)}
TARGET = timedelta(hours=40)
# Nor does it name its nine activities. Every case ends with the 6: it is the solution, and what comes after one opens the case again.
SOLUTION = "6"
Event = tuple[datetime, str]


@pytest.fixture
def log(test_data: Callable[[str], Path]) -> dict[str, list[Event]]:
    """The cases as the file has them, read by the standard library."""
    with (test_data("service/helpdesk_event_log_italian") / "helpdesk.csv").open(encoding="ascii", newline="") as stream:
        rows = [(r["CaseID"], (_instant(r["CompleteTimestamp"]), r["ActivityID"])) for r in csv.DictReader(stream)]
    cases = {ref: [event for _, event in group] for ref, group in groupby(rows, key=lambda r: r[0])}
    assert (len(cases), len(rows), len({a for _, (_, a) in rows})) == (3804, 13710, 9), "the figures that its paper gives"
    return cases


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=WRITTEN_IN).astimezone(UTC)


def as_case(ref: str, events: list[Event]) -> Case:
    steps = [CaseStep(at, TicketStatus.SOLVED if activity == SOLUTION else TicketStatus.OPEN) for at, activity in events]
    return Case(ref=ref, subject=f"Case {ref}", steps=steps)


# -- plain counting, without the module -------------------------------------------------------------------------------------------


def solved(events: list[Event]) -> datetime:
    """When the first of the last solutions came."""
    at = events[-1][0]
    for moment, activity in reversed(events):
        if activity != SOLUTION:
            break
        at = moment
    return at


def office_time(since: datetime, until: datetime) -> timedelta:
    """Count the seconds of office hours, day by day and interval by interval."""
    total, day = timedelta(0), since.astimezone(ROME).date()
    while day <= until.astimezone(ROME).date():
        if day.weekday() < 5 and day not in OFF:
            for opens, closes in HOURS:
                first, last = (datetime.combine(day, time.fromisoformat(t), ROME).astimezone(UTC) for t in (opens, closes))
                total += max(min(last, until) - max(first, since), timedelta(0))
        day += timedelta(days=1)
    return total


def worked(events: list[Event], until: datetime) -> timedelta:
    """Office hours in which the case was not solved."""
    spans = ((a, min(b, until)) for (a, activity), (b, _) in pairwise(events) if activity != SOLUTION and a < until)
    return sum((office_time(a, b) for a, b in spans), timedelta(0))


def in_time(events: list[Event]) -> bool:
    """Whether the target was not used up a second before the solution: once it is, at closing time too, it is broken."""
    return worked(events, solved(events) - timedelta(seconds=1)) < TARGET


# -- the same by the module -------------------------------------------------------------------------------------------------------


def rebuilt(crm: CRM, log: dict[str, list[Event]]) -> Rebuilt:
    with crm.session(MANAGER) as s:
        hours = {day: [list(each) for each in HOURS] for day in ("mon", "tue", "wed", "thu", "fri")}
        office = s.create(BusinessCalendar(name="office", zone="Europe/Rome", hours=hours, holidays=sorted(d.isoformat() for d in OFF)))
        minutes = TARGET // timedelta(minutes=1)
        s.create(SlaPolicy(name="forty hours", calendar=office.ref, targets={"normal": {"resolution": minutes}}))
        return s.use(Service).rebuild(as_case(ref, events) for ref, events in log.items())


def months(log: dict[str, list[Event]]) -> Iterator[tuple[str, list[list[Event]]]]:
    found = defaultdict(list)
    for events in log.values():
        found[f"{events[0][0]:%Y-%m}"].append(events)
    yield from sorted(found.items())


def test_c40_the_cases_of_a_help_desk_are_rebuilt_and_their_times_recomputed(make_desk: MakeDesk, log: dict[str, list[Event]]) -> None:
    desk = make_desk()
    assert rebuilt(desk.crm, log) == Rebuilt(tickets=3804, steps=13710, known=0)
    with desk.crm.session(MANAGER, write=False) as s:
        service, span = s.use(Service), (date(2010, 1, 1), date(2012, 12, 31))
        stored: dict[str, list[tuple[datetime, TicketStatus]]] = defaultdict(list)
        refs = {t.id: str(t.external_ref) for t in s.query(Ticket).stream()}
        for change in s.query(TicketChange).order_by(TicketChange.at, TicketChange.id).stream(1000):
            stored[refs[change.ticket.id]].append((change.at, change.status))
        assert stored == {ref: [(p.at, p.status) for p in as_case(ref, events).steps] for ref, events in log.items()}

        throughput = service.throughput_report(*span)
        plain = [(month, sorted(solved(e) - e[0][0] for e in cases)) for month, cases in months(log)]
        assert [(t.month, t.solved, t.longest) for t in throughput] == [(month, len(took), took[-1]) for month, took in plain]
        assert [t.mean for t in throughput] == [sum(took, timedelta(0)) // len(took) for _, took in plain]
        assert [t.median for t in throughput] == [took[(len(took) - 1) // 2] for _, took in plain]

        wrong = []
        for batch in batches(s.query(Ticket).stream()):
            for id, clocks in measure(s, batch).items():
                (resolution,) = (c for c in clocks if c.metric is Metric.RESOLUTION)
                events = log[refs[id]]
                plainly = (worked(events, solved(events)), solved(events), ClockState.MET if in_time(events) else ClockState.BREACHED)
                if (resolution.consumed, resolution.stopped, resolution.state) != plainly:
                    wrong.append((refs[id], resolution, plainly))
        assert wrong == []

        report = service.sla_report(*span)
        kept_in = {month: Counter(in_time(e) for e in cases) for month, cases in months(log)}
        assert {r.month: (r.met, r.breached, r.running) for r in report} == {m: (c[True], c[False], 0) for m, c in kept_in.items()}
    met, decided = sum(r.met for r in report), sum(r.met + r.breached for r in report)
    assert (met, decided) == (2371, 3804)
    mean = sum((t.mean * t.solved for t in throughput), timedelta(0)) / 3804
    figures = f"mean throughput {mean}, {met} solved in 40 working hours ({met / decided:.1%})"
    print(f"{desk.crm.bound.kind}: 13710 rows, {decided} cases, {figures}")
