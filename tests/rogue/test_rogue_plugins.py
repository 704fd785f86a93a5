"""[R12] Plugins that raise, leave, hang, leak, flood, eat memory or change the process: the core goes on, and they are named."""

from __future__ import annotations

import decimal
import locale
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from crm_core import (
    Account,
    Actor,
    Contact,
    Created,
    CRMError,
    Email,
    Event,
    FixedClock,
    Money,
    Plugin,
    PluginFailed,
    Role,
    Runtime,
    Session,
    before_write,
)
from crm_core.hooks.core_specs import Change, WriteCtx
from tests.figures import figure
from tests.laws.shop import Deal
from tests.laws.shop import plugin as shop

SYSTEM = Actor.system("test", tenant="main")
START = datetime(2026, 3, 1, 9, tzinfo=UTC)
AFTER = 3


class Own(BaseException):
    """A kind of the plugin's own."""


def eat(s: Session) -> None:
    bytearray(1 << 60)


def leave(s: Session) -> None:
    sys.exit(1)


def leak(s: Session) -> None:
    s.elevated("and never back").__enter__()
    s.savepoint().__enter__()
    next(iter(s.query(Account).stream(1)), None)
    raise ZeroDivisionError


def nest(s: Session) -> None:
    with s.crm.session(SYSTEM) as own:
        own.create(Contact(name="inner"))


def recurse(s: Session) -> None:
    recurse(s)


def raise_own(s: Session) -> None:
    raise Own


def raise_base(s: Session) -> None:
    raise BaseException("all of it")  # the plugin's mistake


FAULTS: dict[str, Callable[[Session], None]] = {
    "raises": lambda s: 1 // 0,  # type: ignore[dict-item]  # it never returns
    "raises a kind of its own": raise_own,
    "raises BaseException": raise_base,
    "leaves the process": leave,
    "eats memory": eat,
    "recurses": recurse,
    "leaks sessions": leak,
    "opens a session of its own": nest,
}


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "crm_core")


def rogue(fault: list[Callable[[Session], None]]) -> Plugin:
    plugin = Plugin("rogue", version="1")
    plugin.grants("account:read", "contact:create,read")

    @plugin.hook(before_write, on=Account)
    def interfere(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
        fault[0](ctx.session)
        return changes

    @plugin.on(Created[Contact])
    def follow(s: Session, event: Created[Contact]) -> None:
        fault[0](s)

    return plugin


def test_the_core_goes_on_whatever_a_hook_does_and_the_plugin_is_named(make_crm: Any) -> None:
    fault: list[Callable[[Session], None]] = [lambda s: None]
    crm = make_crm(plugins=[rogue(fault)], quarantine_after=AFTER)
    named = 0
    for name, fault[0] in FAULTS.items():
        for _ in range(AFTER):
            with crm.session(SYSTEM) as s:
                with pytest.raises(CRMError) as caught:
                    s.create(Account(name="lost"))
                assert "rogue" in str(caught.value), name
                s.create(Contact(name="kept"))
            named += 1
        with crm.session(SYSTEM) as s:  # what raises a CRMError, as the core's own refusal, is no failure: it does not rest
            if name != "opens a session of its own":
                s.create(Account(name="kept"))
        crm.release("rogue")
    fault[0] = lambda s: None
    with crm.session(SYSTEM) as s:
        assert s.query(Account).count() == len(FAULTS) - 1
        assert s.query(Contact).count() == AFTER * len(FAULTS)
    figure("R12 hooks", database=crm.bound.kind, cases=named, result=f"{named} of {named} named, the core's calls succeed", bar="100 %")


def test_delivery_goes_on_whatever_a_subscriber_does(make_crm: Any) -> None:
    heard: list[str] = []
    well = Plugin("well", version="1")

    @well.on(Created[Contact])
    def hear(s: Session, event: Created[Contact]) -> None:
        heard.append(event.record.id)

    fault: list[Callable[[Session], None]] = [lambda s: None]
    crm = make_crm(plugins=[rogue(fault), well], quarantine_after=AFTER, runtime=Runtime.seeded(3, clock=FixedClock(START)))
    crm.run_pending()
    for name, fault[0] in FAULTS.items():
        with crm.session(SYSTEM) as s:
            records = s.create_many([Contact(name=str(n)) for n in range(2 * AFTER)]).ok
        started = time.monotonic()
        crm.run_pending()
        assert time.monotonic() - started < 10, name
        assert heard == [r.id for r in records], name
        heard.clear()
        crm.release("rogue")
    fault[0] = lambda s: None
    for line in crm.delivery.parked():
        crm.delivery.retry(line.subscription, line.record)
    assert crm.run_pending() >= len(FAULTS) * 2 * AFTER, "no event was lost"
    assert crm.delivery.parked() == []
    figure("R12 subscribers", database=crm.bound.kind, cases=len(FAULTS) * 2 * AFTER, result="all delivered after release", bar="0 lost")


class Boom(Event[Account], name="flood.boom", version=1):
    n: int = 0


def test_a_flood_of_events_holds_up_nobody_else_and_ends(make_crm: Any) -> None:
    """Each event begets another: the chain is cut, the line held, and others' events arrive meanwhile."""
    flood = Plugin("flood", version="1")
    flood.grants("account:read")
    flood.events(Boom)

    @flood.on(Boom)
    def more(s: Session, event: Boom) -> None:
        s.emit(Boom(record=event.record, n=event.n + 1))

    @flood.on(Created[Account])
    def begin(s: Session, event: Created[Account]) -> None:
        s.emit(*(Boom(record=event.record) for _ in range(20)))

    heard: list[str] = []
    well = Plugin("well", version="1")

    @well.on(Created[Account])
    def hear(s: Session, event: Created[Account]) -> None:
        heard.append(event.record.id)

    crm = make_crm(plugins=[flood, well], runtime=Runtime.seeded(3, clock=FixedClock(START)))
    crm.run_pending()
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="a"))
    crm.run_pending()
    assert heard == [account.id]
    assert [(line.subscription, line.state, "LoopDetected" in line.error) for line in crm.delivery.parked()] == [
        ("flood.more", "held", True)
    ]
    assert crm.run_pending() == 0


@pytest.fixture
def restored() -> Iterator[None]:
    """Put back what the test lets a plugin change."""
    before = (decimal.getcontext().copy(), socket.getdefaulttimeout(), sys.getrecursionlimit(), signal.getsignal(signal.SIGHUP))
    zone, named = os.environ.get("TZ"), locale.setlocale(locale.LC_ALL)
    yield
    decimal.setcontext(before[0])
    socket.setdefaulttimeout(before[1])
    sys.setrecursionlimit(before[2])
    signal.signal(signal.SIGHUP, before[3])
    os.environ.pop("TZ", None) if zone is None else os.environ.update(TZ=zone)
    locale.setlocale(locale.LC_ALL, named)
    logging.disable(logging.NOTSET)


def spoil() -> None:
    context = decimal.getcontext()
    context.prec, context.rounding, context.Emax = 3, decimal.ROUND_UP, 5
    context.traps = dict.fromkeys(context.traps, True)


def change_all() -> None:
    spoil()
    socket.setdefaulttimeout(0.5)
    sys.setrecursionlimit(sys.getrecursionlimit() + 1)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.environ["TZ"] = "Asia/Tokyo"


@pytest.mark.usefixtures("restored")
def test_sums_stay_exact_whatever_a_plugin_makes_of_the_decimal_context(make_crm: Any) -> None:
    spoiler = Plugin("spoiler", version="1", requires={"shop": ">=1"})

    @spoiler.hook(before_write, on=Deal)
    def interfere(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
        spoil()
        return changes

    crm = make_crm(plugins=[shop, spoiler])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="a"))
        deal = s.create(Deal(name="d", account=account.ref, amount=Money("1234567.89", "EUR")))
        s.create(Deal(name="e", account=account.ref, amount=Money("0.01", "EUR")))
        s.update(Deal, deal.id, {"amount": {"amount": "7654321.09", "currency": "EUR"}})
    with crm.session(SYSTEM) as s:
        assert s.get(Deal, deal.id).amount == Money("7654321.09", "EUR")
        total = s.execute(select(Deal.amount.sum()).group_by(Deal.amount.currency)).scalar_one()
        found = s.query(Deal).where(Deal.amount > Money("7654321.08", "EUR")).all()
    money = Money("7654321.09", "EUR")
    assert ([d.id for d in found], total) == ([deal.id], Money("7654321.10", "EUR"))
    assert money + Money("0.01", "EUR") == Money("7654321.10", "EUR")
    assert money - Money("0.01", "EUR") == Money("7654321.08", "EUR")
    assert money * Decimal("0.5") == Money("3827160.545", "EUR")
    assert (-money, abs(-money)) == (Money("-7654321.09", "EUR"), money)
    assert sum((p for p in money.allocate([1, 1, 1])), Money(0, "EUR")) == money


@pytest.mark.usefixtures("restored")
def test_what_a_subscriber_changes_of_the_process_is_told_with_its_name(make_crm: Any, caplog: pytest.LogCaptureFixture) -> None:
    spoiler = Plugin("spoiler", version="1")
    spoiler.grants("account:read")

    @spoiler.on(Created[Account])
    def change(s: Session, event: Created[Account]) -> None:
        change_all()

    crm = make_crm(plugins=[spoiler])
    crm.run_pending()
    with crm.session(SYSTEM) as s:
        s.create(Account(name="a"))
    caplog.set_level(logging.WARNING, "crm_core.events.told")
    crm.run_pending()
    told = [r.getMessage() for r in caplog.records if "spoiler.change" in r.getMessage()]
    assert [t.split(", the ")[1] for t in told] == [
        f"{what} of the process changed"
        for what in ("decimal context", "socket timeout", "signal handlers", "recursion limit", "time zone")
    ]
    assert decimal.getcontext().prec == 28, "the thread's own context is put back"


def test_a_hook_that_hangs_is_named_with_its_stack(make_crm: Any, caplog: pytest.LogCaptureFixture) -> None:
    stuck = threading.Event()

    def hang(s: Session) -> None:
        stuck.wait(20)

    fault: list[Callable[[Session], None]] = [hang]
    crm = make_crm(plugins=[rogue(fault)], stuck_after=0.2)
    caplog.set_level(logging.ERROR, "crm_core.hooks.watchdog")

    def create() -> None:
        with crm.session(SYSTEM) as s:
            s.create(Account(name="late"))

    thread = threading.Thread(target=create)
    thread.start()
    end = time.monotonic() + 15
    while not caplog.records and time.monotonic() < end:
        time.sleep(0.02)
    stuck.set()
    thread.join()
    (record,) = caplog.records
    assert record.getMessage().startswith("rogue.interfere of the plugin rogue has run for more than 0.2 seconds")
    assert "stuck.wait(20)" in record.getMessage()
    with crm.session(SYSTEM) as s:
        assert s.query(Account).count() == 1
    crm.close()
    assert "crm-watchdog" not in {t.name for t in threading.enumerate()}


def test_an_event_s_values_are_not_a_subscriber_s_to_change(make_crm: Any) -> None:
    seen: list[Any] = []
    forger, reader = Plugin("forger", version="1"), Plugin("reader", version="1")
    for plugin in (forger, reader):
        plugin.grants("contact:read")

    @forger.on(Created[Contact])
    def forge(s: Session, event: Created[Contact]) -> None:
        cheats: list[Callable[[], Any]] = [
            lambda: event.new.update(name="F"),  # type: ignore[attr-defined]  # the cheat
            lambda: setattr(event, "new", {}),
            lambda: event.new["emails"].clear(),
        ]
        for change in cheats:
            try:
                change()
            except (TypeError, AttributeError):
                continue

    @reader.on(Created[Contact])
    def read(s: Session, event: Created[Contact]) -> None:
        seen.append((event.new["name"], [e.address for e in event.new["emails"]]))

    crm = make_crm(plugins=[forger, reader])
    crm.run_pending()
    with crm.session(SYSTEM) as s:
        s.create(Contact(name="Ann", emails=[Email("ann@example.com")]))
    crm.run_pending()
    assert seen == [("Ann", ["ann@example.com"])]


def test_a_hook_that_fails_costs_the_core_s_other_calls_nothing(make_crm: Any) -> None:
    """The bar's time: p95 of the core's calls while a plugin fails is at most twice that without it."""
    fault: list[Callable[[Session], None]] = [lambda s: None]
    crm = make_crm(plugins=[rogue(fault)], roles=[Role("all").allow(Contact, "read", "create")], quarantine_after=AFTER)

    def timed() -> float:
        times = []
        for _ in range(60):
            started = time.perf_counter()
            with crm.session(SYSTEM) as s:
                s.create(Contact(name="x"))
            times.append(time.perf_counter() - started)
        return sorted(times)[57]

    quiet = timed()
    fault[0] = FAULTS["raises"]
    for _ in range(AFTER):
        with pytest.raises(PluginFailed), crm.session(SYSTEM) as s:
            s.create(Account(name="lost"))
    noisy = timed()
    with crm.session(SYSTEM) as s:
        assert s.execute(select(func.count(Contact.id))).scalar_one() == 120
    figure("R12 time", database=crm.bound.kind, cases=60, result=f"p95 {noisy / quiet:.2f}x", bar="<= 2x", met=noisy <= 2 * quiet)
