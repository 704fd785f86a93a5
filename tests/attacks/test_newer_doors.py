"""Attacks by names and texts at the doors beside a session: HTTP, tenants, jobs, settings, reports, custom fields [A04, A19-A22, A28]."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import date, datetime
from functools import partial
from typing import Any

import attrs
import pytest
from flask import Flask

from crm_analytics.api import Analytics, Report
from crm_core import Account, Actor, Conflict, NotFound, Plugin, Session
from crm_core.errors import Detail, Invalid, WrongArgument
from crm_core.ext import flask as crm_flask
from crm_core.ext.resource import Ask, Resource
from crm_core.messages import fallbacks
from crm_erp_bridge import queue
from crm_erp_bridge.api import ErpBridge
from crm_marketing.behaviour import Behaviour
from crm_sales.api import Lead, Sales
from crm_service.calendars import BusinessCalendar
from tests.attacks.house import House
from tests.attacks.raid import CANARY, ME, SYSTEM, World, each
from tests.laws.shop import Deal
from tests.laws.tricks import Sizes

WORLD = House
ODD = ["\ud800", "a\nb", "\x00", "\x1b[2J", "x" * 300, "x" * 300_000, ""]
BODIES = [
    b'{"\\ud800": 1}', b'{"custom": {"\\ud800": 1}}', b'{"custom.\\ud800": 1}', b'{"name": "\\ud800"}', b'{"owner": "\\ud800"}',
    b'{"account": "\\ud800"}', b'{"amount": {"amount": "\\ud800", "currency": "EUR"}}',
    b'{"amount": {"amount": "1", "currency": "\\ud800"}}',
    b'{"emails": [{"address": "\\ud800@x"}]}', b'{"emails": [{"\\ud800": "a"}]}', b'{"a\\nb": 1}', b'{"\\u0000": 1}',
    b"{" + b",".join(b'"%s%d": 1' % (b"k" * 90, n) for n in range(1_000)) + b"}",
    b'{"emails": [' + b",".join([b'{"address": "x"}'] * 900) + b"]}",
]  # fmt: skip


def test_a20_every_answer_of_a_web_host_can_be_written(world: World) -> None:
    """Halves of surrogates come in as JSON, and no answer could carry them out again: it was the host's 500."""
    assert isinstance(world, House)
    app = Flask("host")
    session = crm_flask.install(app, world.crm, actor=lambda: ME)
    of: dict[Any, str] = {Deal: world.deal.id, Account: world.mine.id, Lead: world.lead.id}
    for entity in of:
        app.register_blueprint(crm_flask.blueprint(world.crm, entity, session=session), url_prefix=f"/{entity.__name__}")
    client = app.test_client()
    for entity, id_ in of.items():
        for path in ("", f"/{id_}", f"/{id_}/actions/sales.convert", "/%ED%A0%80/actions/%00"):
            for body in BODIES:
                world.tried["A20"] += 1
                begun = time.process_time()
                answer = client.open(f"/{entity.__name__}{path}", method="PATCH" if path == f"/{id_}" else "POST", data=body)
                assert 400 <= answer.status_code < 500, (entity, path, body[:60])
                json.loads(answer.data)
                assert len(answer.data) < 20_000
                assert time.process_time() - begun < 2
                world.handled["A20"] += 1


def test_a22_an_error_tells_forty_details_and_how_many_more() -> None:
    error = Invalid(details=[Detail("account", f"f{n}\n2026 INFO ok", "unknown_field") for n in range(1_000)])
    told = error.problem()
    assert (len(told["errors"]), told["more"], len(error.details)) == (40, 960, 1_000)
    assert str(error).splitlines()[-1].strip() == "And 960 more."
    assert len(str(error).splitlines()) == 42
    assert "more" not in Invalid(details=error.details[:40]).problem()


def test_a28_names_beside_a_session_are_names_or_refused(world: World) -> None:
    assert isinstance(world, House)
    crm, lead = world.crm, world.lead
    must: dict[str, Callable[[World, Session, str], Any]] = {
        "a tenant": lambda w, s, t: crm.tenants.create(t),
        "a tenant's label": lambda w, s, t: crm.tenants.create("new", label=t or "\n"),
        "a dropped tenant": lambda w, s, t: crm.tenants.drop(t),
        "a suspended tenant": lambda w, s, t: crm.tenants.suspend(t),
        "why it is suspended": lambda w, s, t: crm.tenants.suspend("new", reason=t or "\n"),
        "a module": lambda w, s, t: crm.tenants.switch("new", [t]),
        "a job": lambda w, s, t: crm.jobs.run(t),
        "a job's tenant": lambda w, s, t: crm.jobs.run("service.check_slas", tenant=t),
        "a setting": lambda w, s, t: s.change_settings(Sizes, {t: 1}),
        "a setting that is reset": lambda w, s, t: s.reset_settings(Sizes, t),
        "a custom field": lambda w, s, t: s.custom_fields.add(Account, t),
        "options of a custom field": lambda w, s, t: s.custom_fields.add(Account, "n", kind="choice", options=[t, *map(str, range(300))]),
        "why a lead is released": lambda w, s, t: s.use(Sales).release(lead, reason=t),
        "a question's zone": lambda w, s, t: s.use(Analytics).run(Report(metrics=["sales.won_deals"], zone=t or "x")),
        "a question's rates": lambda w, s, t: s.use(Analytics).run(Report(metrics=["sales.won_deals"], rates=t)),  # type: ignore[arg-type]
        "a cohort's grain": lambda w, s, t: s.use(Analytics).cohorts(t),
    }
    for name, attack in must.items():
        world.assert_refused("A28", each(name, ODD, attack), by=SYSTEM)
    world.assert_harmless("A28", each("a role that goes", ODD, lambda w, s, t: s.remove_role(t)), by=SYSTEM)
    questions: list[dict[str, Any]] = [
        {"metrics": None}, {"metrics": [1]}, {"metrics": ["sales.won_deals"], "by": 5}, {"metrics": ["sales.won_deals"], "zone": []},
        {"metrics": ["sales.won_deals"], "fiscal_start": "1"}, {"metrics": ["sales.won_deals"], "currency": []},
    ]  # fmt: skip
    world.assert_refused("A04", each("a question", questions, lambda w, s, q: s.use(Analytics).run(Report(**q))), by=SYSTEM)
    spans = [{"since": date(10, 1, 1), "until": date(9990, 1, 1)}, {"since": date(9990, 1, 1), "until": date(10, 1, 1)}]
    world.assert_refused("A21", each("the span before", spans, lambda w, s, a: Report(metrics=["sales.won_deals"], **a).before()))
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    world.assert_refused("A21", {"an instant": lambda w, s: s.use(Sales).waterfall(naive, currency="EUR")})


def test_a28_the_reason_of_an_elevation_is_one_line(make_crm: Any) -> None:
    plugin = Plugin("lifts", version="1")
    plugin.grants("account:read")
    crm = make_crm(plugins=[plugin])
    for reason in ("a\n2026-11-21 INFO admin login ok", "\x1b[2J", "\ud800", "\x00", "x" * 256):
        with crm.session(SYSTEM) as s, pytest.raises(Invalid), s.derive(plugin="lifts").elevated(reason):
            pass
    with crm.session(SYSTEM) as s, s.derive(plugin="lifts").elevated("x" * 255) as e:
        assert e.reason == "x" * 255


def test_a19_a_language_of_many_parts_takes_no_time() -> None:
    begun = time.process_time()
    assert len(list(fallbacks("a-" * 100_000))) < 30
    assert time.process_time() - begun < 0.1


def test_a22_a_text_is_no_list_of_options(world: World) -> None:
    world.tried["A22"] += 1
    with world.crm.session(SYSTEM) as s, pytest.raises(WrongArgument):
        s.custom_fields.add(Account, "n", kind="choice", options="x" * 2_000_000)
    world.handled["A22"] += 1


def test_a04_the_erp_is_sent_what_is_stored_and_not_what_somebody_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record with another's id, or changed and not saved, went out as it was given."""
    sent: list[Any] = []

    def offer(reader: Session, own: Session, offered: Any) -> int:
        sent.extend(record for record, _ in offered)
        return len(offered)

    monkeypatch.setattr(queue, "offer", offer)
    forged = Account(name="Forged", owner="1")
    forged.id = world.theirs.id
    world.assert_refused("A04", {"another's id": lambda w, s: s.use(ErpBridge).offer(forged, source="x")})
    with world.crm.session(ME) as s:
        held = s.get(Account, world.mine.id)
        held.name = "Forged"
        s.use(ErpBridge).offer(held, source="x")
    assert [(a.id, a.name, a.website) for a in sent] == [(world.mine.id, "Mine", f"https://{CANARY}.x")], "and whole: not masked"
    world.tried["A04"] += 1
    world.handled["A04"] += 1


def test_a25_a_key_gives_no_answer_to_who_may_do_less_by_now(world: World) -> None:
    """A user's own key, come by with fewer rights (a key of an API, a role taken away), told what was computed and kept with more."""
    less = Actor(ME.id)

    def asked(by: Actor, key: str, work: Callable[[Session], Any]) -> Any:
        with world.crm.session(by, idempotency_key=key) as s:
            return work(s)

    def stale(s: Session) -> Any:
        with pytest.raises(Conflict) as e:
            s.update(Account, world.mine.id, {"industry": "x"}, version=1_000)
        return e.value.params

    figures: Callable[[Session], Any] = lambda s: s.use(Sales).win_rate()  # noqa: E731
    assert asked(ME, "figures", figures) == asked(ME, "figures", figures)
    assert "theirs" in asked(ME, "stale", stale)
    assert "theirs" in asked(ME, "stale", stale)
    record: Callable[[Session], Any] = lambda s: s.update(Account, world.mine.id, {"industry": "x"}).id  # noqa: E731
    assert asked(ME, "record", record) == asked(ME, "record", record)
    world.tried["A25"] += 3
    with pytest.raises(Conflict) as e:
        asked(less, "figures", figures)
    assert e.value.code == "idempotency_mismatch"
    assert asked(less, "stale", stale) == {}
    with pytest.raises(NotFound):
        asked(less, "record", record)
    world.handled["A25"] += 3


WEEK = {"mon": [["09:00", "17:00"]]}
HUGE = [10**10, 10**30, -(10**30)]
ZONES = [
    "../../etc/passwd",
    "/etc/localtime",
    "",
    ".",
    "Europe",
    "Europe/../UTC",
    "UTC/",
    "tzdata.zi",
    "zone.tab",
    "\x00",
    "\ud800",
    "x" * 63,
]


def test_a21_no_setting_leads_beyond_the_calendar(world: World) -> None:
    """Whatever a tenant sets, instants are counted with it: a number of days that no calendar has stopped subscribers and jobs."""
    attacks: dict[str, Any] = {}
    for plugin in world.crm.registry.plugins:
        if plugin.settings is None or plugin.name in ("core", "trick"):
            continue
        defaults = plugin.settings()
        for field in attrs.fields(plugin.settings):
            given = getattr(defaults, field.name)
            change = partial(lambda p, n, w, s, v: s.change_settings(p.settings, {n: v}), plugin, field.name)
            if type(given) is int:
                attacks |= each(f"{plugin.name} {field.name}", HUGE, change)
            elif "zone" in field.name:
                attacks |= each(f"{plugin.name} {field.name}", ZONES, change)
    behaviours = [{"of": "touch", "days": 1, "least": n} for n in HUGE] + [{"of": "touch", "days": n} for n in HUGE]
    attacks |= each("a behaviour", behaviours, lambda w, s, b: Behaviour.from_json(b))
    attacks |= each("a calendar's zone", ZONES, lambda w, s, z: s.create(BusinessCalendar(name="c", zone=z, hours=WEEK)))
    world.assert_refused("A21", attacks, by=SYSTEM)


def test_a22_an_expansion_is_done_once(world: World) -> None:
    deals = Resource(world.crm, Deal)

    def attack(w: World, s: Any, verb: Callable[..., Any]) -> Any:
        verb(s, Ask(url="/x", params={"expand": "account," * 100_000}, headers={}, id=w.deal.id))

    world.assert_harmless("A22", each("expand", [deals.get, deals.page], attack))
