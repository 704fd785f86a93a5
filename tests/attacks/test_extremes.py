"""Attacks with forged cursors, odd values, the ends of time and deep nesting, on all modules [A21, A22, A31]."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

from crm_analytics.api import Analytics, Report
from crm_core import Account, Interaction, Link, RuleTrigger, Session, custom
from crm_core.paging import _digest
from crm_core.rules import F
from crm_marketing.api import Marketing
from crm_sales.api import Sales
from tests.attacks.house import House, rule, segment, undone
from tests.attacks.raid import ME, NOBODY, World, each, problem
from tests.laws.shop import Deal

WORLD = House
EAST, WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=14))
ENDS = [datetime(1, 1, 1, tzinfo=EAST), datetime(9999, 12, 31, 23, 59, tzinfo=WEST)]
CURSORS: list[Any] = [None, 1, 10**400, 1e308, "x", [], {}, True, "\ud800", "\x00", "0001-01-01T00:00:00+14:00", "NaN", 2**63]


def _cursor(*values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _page(name: str, w: World, s: Session, value: Any) -> Any:
    column = custom(name.removeprefix("custom.")) if name.startswith("custom.") else getattr(Account, name)
    query = s.query(Account).order_by(column)
    return query.page(1, after=_cursor(_digest(Account, query._keys()), value, NOBODY)).items


def test_a31_a_forged_cursor_is_a_place_or_nothing(world: World) -> None:
    for name in ("created_at", "kind", "version", "custom.since", "custom.worth", "custom.partner"):
        world.assert_harmless("A31", each(f"by {name} after", CURSORS, partial(_page, name)))
    world.assert_harmless("A31", each("timeline after", CURSORS, lambda w, s, v: s.timeline(w.mine.ref, after=_cursor(v, NOBODY))))
    texts = ["", "1", "-1", "9" * 18, "9" * 19, "\N{ARABIC-INDIC DIGIT THREE}", "\N{SUPERSCRIPT TWO}", "\x00", "\ud800"]
    world.assert_harmless("A31", each("history after", texts, lambda w, s, t: s.history(w.mine.ref, after=t)))


VALUES: list[Any] = [*CURSORS[1:], "9999-12-31T23:59:59-14:00", "1e1000000", "9999-99-99", -1, {"amount": "1e400", "currency": "EUR"}]


def test_a21_odd_values_of_custom_fields_are_taken_whole_or_refused(world: World) -> None:
    for name in ("custom.since", "custom.worth", "custom.rate", "custom.partner", "custom.badge"):
        write = partial(lambda n, w, s, v: undone(s, lambda: s.update(Account, w.mine.id, {n: v})), name)
        read = partial(lambda n, w, s, v: s.query(Account).where(F(n) == v).all(), name)
        for kind, attack in (("written to", write), ("sought in", read)):
            world.assert_harmless("A21", each(f"{kind} {name}", VALUES, attack))


def test_a21_the_ends_of_time_are_refused_or_answered(world: World) -> None:
    doors: dict[str, Callable[[World, Session, datetime], Any]] = {
        "the past": lambda w, s, at: s.as_of(at).query(Account).all(),
        "the past of one": lambda w, s, at: s.as_of(at).find(Account, w.mine.id),
        "timeline": lambda w, s, at: s.timeline(w.mine.ref, at=at),
        "view": lambda w, s, at: s.view360(w.mine.ref, at=at),
        "filter": lambda w, s, at: s.query(Account).matching({"created_at__lt": at.isoformat()}, allow=["created_at"]).all(),
        "rule": lambda w, s, at: s.query(Account).where(F("created_at") < at).all(),
        "dry run": lambda w, s, at: s.crm.automation.dry_run(s, rule(), since=at),
        "waterfall": lambda w, s, at: s.use(Sales).waterfall(at, currency="EUR"),
        "report": lambda w, s, at: s.use(Analytics).run(Report(metrics=["sales.won_deals"], grain="day", until=at.date())),
        "cohorts": lambda w, s, at: s.use(Analytics).cohorts("day", since=at.date(), until=at.date()),
        "regrade": lambda w, s, at: s.use(Analytics).regrade(at.date()),
        "a call": lambda w, s, at: undone(s, lambda: s.create(Interaction(at=at, links=[Link.to(w.mine)]))),
    }
    for name, attack in doors.items():
        world.assert_harmless("A21", each(name, ENDS, attack))


def _nested(depth: int) -> Any:
    return json.loads('{"a":' * depth + "1" + "}" * depth)


def _keyed(w: World, s: Session, depth: int) -> Any:
    with w.crm.session(ME, idempotency_key="deep") as own:
        return own.update(Deal, w.deal.id, {"name": _nested(depth)})


def test_a22_what_is_nested_too_deeply_is_refused(world: World) -> None:
    attacks: dict[str, Callable[[World, Session, int], Any]] = {
        "a field": lambda w, s, n: s.update(Deal, w.deal.id, {"name": _nested(n)}),
        "under a key": _keyed,
        "a link": lambda w, s, n: s.update(Account, w.mine.id, {"addresses": [_nested(n)]}),
        "custom": lambda w, s, n: s.update(Account, w.mine.id, {"custom.region": _nested(n)}),
        "a segment": lambda w, s, n: s.create(segment(rule=_nested(n))),
        "a behaviour": lambda w, s, n: s.create(segment(behaviour=[_nested(n)])),
        "a condition": lambda w, s, n: s.create(rule(condition=_nested(n))),
        "a change": lambda w, s, n: s.create(rule(changed={"name": {"to": _nested(n)}})),
        "an action": lambda w, s, n: s.create(rule(actions=[{"perform": "trick.redeem", "with": _nested(n)}])),
        "a schedule": lambda w, s, n: s.create(rule(runs_on=RuleTrigger.SCHEDULE, schedule=_nested(n))),
        "evidence": lambda w, s, n: s.use(Marketing).give_consent(w.mine.ref, "x", text="t", evidence=_nested(n), source="s"),
    }
    for name, attack in attacks.items():
        world.assert_refused("A22", each(name, [101, 900], attack))
    for depth in (101, 900):
        assert "too_deep" in problem(world, partial(lambda n, w, s: s.create(segment(behaviour=[_nested(n)])), depth))
