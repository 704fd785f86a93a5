"""SLA policies: what is promised to which tickets, kept as data [C40]."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from crm_core import Entity, Field, Invalid, Ref, field
from crm_core.rules import everything, to_json

from .calendars import BusinessCalendar
from .plugin import plugin
from .states import Metric, Milestone, Priority, Recurrence

Targets = Mapping[tuple[Priority, Metric | Milestone], timedelta]
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MOST_MINUTES = 60 * 24 * 366


class SlaPolicy(Entity):
    """A promise to the customers whose tickets match.

    ``match`` is a rule over tickets as JSON (``crm_core.rules.to_json``); of the active policies that match, the one with the lowest
    ``position`` counts. ``targets`` are minutes of working time: ``{"urgent": {"first_response": 30, "resolution": 480}}``;
    ``recurrence`` is about ``next_response``. ``milestones`` are names of steps of your own, which targets may then name as well.

    Attributes:
        calendar: the hours it counts in.
    """

    name: Field[str] = field(length=100, unique=True, classified="internal")
    calendar: Field[Ref[BusinessCalendar]]
    targets: Field[dict[str, Any]]
    match: Field[dict[str, Any]] = field(factory=lambda: to_json(everything))
    milestones: Field[list[str]] = field(factory=list)
    recurrence: Field[Recurrence] = field(default=Recurrence.INDEPENDENT)
    position: Field[int] = field(default=0)
    active: Field[bool] = field(default=True)


plugin.entities(SlaPolicy)


def read_targets(policy: SlaPolicy) -> Targets:
    """Return a policy's targets.

    Raises:
        Invalid: ``service.bad_targets`` says what is expected.
    """
    names = _milestones(policy)
    found: dict[tuple[Priority, Metric | Milestone], timedelta] = {}
    for priority, metrics in policy.targets.items():
        if not isinstance(metrics, dict):
            raise _bad("an object of metrics for each priority")
        for metric, minutes in metrics.items():
            if type(minutes) is not int or not 0 < minutes <= _MOST_MINUTES:
                raise _bad("whole minutes of working time, from 1 to those of a year")
            about = Milestone(metric) if metric in names else _member(Metric, metric)
            found[_member(Priority, priority), about] = timedelta(minutes=minutes)
    if not found:
        raise _bad("at least one target")
    return found


def _milestones(policy: SlaPolicy) -> frozenset[str]:
    names = policy.milestones
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names) or {m.value for m in Metric} & {*names}:
        raise _bad("milestones in lower-case letters, digits and _, named unlike the other targets")
    return frozenset(names)


def _member(words: Any, given: str) -> Any:
    try:
        return words(given)
    except ValueError:
        raise _bad(f"one of {', '.join(w.value for w in words)}") from None


def _bad(expected: str) -> Invalid:
    return Invalid("service.bad_targets", expected=expected)
