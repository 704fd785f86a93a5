"""When a plugin is put into quarantine, what rests then and what does not, and that a plugin that works costs nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from crm_core.errors import Denied, PluginFailed, Refused
from crm_core.hooks.health import QUARANTINE_AFTER
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.spec import CollectHook, Ctx, FilterHook, FirstHook, Hook, VetoHook
from tests.hooks.host import Host, Line

prices: FilterHook[Ctx, list[Line]] = FilterHook("shop.prices")
note: FilterHook[Ctx, str | list[Line]] = FilterHook("shop.note", per="item")
seller: FirstHook[Ctx, list[Line], str | list[Line]] = FirstHook("shop.seller")
duplicates: CollectHook[Ctx, list[Line], str | list[Line]] = CollectHook("shop.duplicates")
may_sell: VetoHook[Ctx, list[Line]] = VetoHook("shop.may_sell")
RESTING: list[Hook[Any, Any]] = [prices, note, seller, duplicates]
ANSWER = {"shop.prices": [Line(1)], "shop.note": "hi"}


def shop() -> Plugin:
    plugin = Plugin("shop", version="1.0")
    plugin.hooks(*RESTING, may_sell)
    return plugin


def vendor(name: str, **fns: tuple[Any, Callable[..., Any]]) -> Plugin:
    plugin = Plugin(name, version="2.0", requires={"shop": ">=1"})
    for title, (spec, fn) in fns.items():
        fn.__name__ = title
        plugin.hook(spec)(fn)  # type: ignore[no-untyped-call]  # spec is any kind of hook
    return plugin


class Moody:
    """An implementation that does what it is told next."""

    def __init__(self) -> None:
        self.mood: Callable[[Any], Any] = self.fails
        self.calls = 0

    def fails(self, value: Any) -> Any:
        raise KeyError("broken")

    def made(self) -> Callable[[Ctx, Any], Any]:
        def implementation(ctx: Ctx, value: Any) -> Any:
            self.calls += 1
            return self.mood(value)

        return implementation


def fail(host: Host, spec: Any, times: int, error: type[Exception] = PluginFailed) -> None:
    for _ in range(times):
        with pytest.raises(error):
            spec(host.ctx(), [Line(1)])


@pytest.mark.parametrize("spec", RESTING, ids=lambda h: h.kind + "-" + h.per)
def test_what_fails_again_and_again_is_left_out_and_others_run_on(spec: Any) -> None:
    moody = Moody()

    def works(ctx: Ctx, value: Any) -> Any:
        return ANSWER.get(spec.name, "b")

    host = Host(shop(), vendor("a", broken=(spec, moody.made())), vendor("b", works=(spec, works)))
    fail(host, spec, QUARANTINE_AFTER)
    assert spec(host.ctx(), [Line(1)]) in (ANSWER.get(spec.name), "b", ["b"])
    assert moody.calls == QUARANTINE_AFTER
    _, found, other = host.registry.health.report()
    assert (found.plugin, found.version, found.function, found.failures, found.reason) == (
        "a",
        "2.0",
        "a.broken",
        QUARANTINE_AFTER,
        "KeyError",
    )
    assert found.since is not None
    assert (other.plugin, other.since, other.failures) == ("b", None, 0)


def test_a_plugin_in_quarantine_rests_as_a_whole_but_its_vetoes_stay_in_force() -> None:
    def dearer(ctx: Ctx, lines: Any) -> Any:
        raise AssertionError("it rests")

    def refuses(ctx: Ctx, lines: Any) -> None:
        ctx.refuse(lines[0], "a.no")

    host = Host(shop(), vendor("a", broken=(duplicates, Moody().made()), dearer=(prices, dearer), no=(may_sell, refuses)))
    fail(host, duplicates, QUARANTINE_AFTER)
    lines = [Line(1)]
    assert prices(host.ctx(), lines) is lines
    with pytest.raises(Refused):
        may_sell(host.ctx(), lines)


def test_a_veto_that_fails_goes_on_failing_its_call_closed() -> None:
    host = Host(shop(), vendor("a", broken=(may_sell, Moody().made())))
    fail(host, may_sell, 3 * QUARANTINE_AFTER)
    assert [h.failures for h in host.registry.health.report()] == [0, 0]


@pytest.mark.parametrize("spec", RESTING, ids=lambda h: h.kind + "-" + h.per)
def test_one_success_in_between_begins_the_count_anew(spec: Any) -> None:
    moody = Moody()
    host = Host(shop(), vendor("a", moody=(spec, moody.made())))
    for _ in range(3):
        moody.mood = moody.fails
        fail(host, spec, QUARANTINE_AFTER - 1)
        moody.mood = lambda value: value
        spec(host.ctx(), [Line(1)])
    moody.mood = moody.fails
    fail(host, spec, QUARANTINE_AFTER - 1)
    assert host.registry.health.report()[1].since is None
    assert host.registry.health.report()[1].failures == QUARANTINE_AFTER - 1


@pytest.mark.parametrize("spec", RESTING, ids=lambda h: h.kind + "-" + h.per)
def test_an_answer_of_another_type_than_declared_counts_as_a_failure(spec: Any) -> None:
    moody = Moody()
    moody.mood = lambda value: [1]
    host = Host(shop(), vendor("a", moody=(spec, moody.made())))
    fail(host, spec, QUARANTINE_AFTER)
    (_, found) = host.registry.health.report()
    assert found.since is not None
    assert found.reason.startswith("answer")


def test_a_filter_that_returns_nonsense_fails_though_it_does_not_raise() -> None:
    moody = Moody()
    moody.mood = lambda lines: None
    host = Host(shop(), vendor("a", moody=(prices, moody.made())))
    fail(host, prices, QUARANTINE_AFTER)
    (_, found) = host.registry.health.report()
    assert found.since is not None
    assert found.reason == "returned NoneType instead of a list of 1"


@pytest.mark.parametrize(
    ("error", "seen"), [(Denied(action="x"), Denied), (OperationalError("SELECT", None, Exception("deadlock")), PluginFailed)]
)
def test_what_a_plugin_says_on_purpose_and_what_the_database_does_is_not_its_failure(error: Exception, seen: Any) -> None:
    def raises(ctx: Ctx, value: Any) -> Any:
        raise error

    host = Host(shop(), vendor("a", raises=(prices, raises)))
    fail(host, prices, 2 * QUARANTINE_AFTER, seen)
    assert host.registry.health.report()[1].failures == 0


def test_the_failure_of_an_inner_plugin_is_not_counted_against_the_outer_one() -> None:
    def asks(ctx: Ctx, lines: Any) -> Any:
        duplicates(ctx, lines)
        return lines

    host = Host(shop(), vendor("outer", asks=(prices, asks)), vendor("inner", broken=(duplicates, Moody().made())))
    fail(host, prices, QUARANTINE_AFTER)
    assert [h.plugin for h in host.registry.health.report() if h.since] == ["inner"]
    prices(host.ctx(), [Line(1)])


def test_two_functions_that_fail_by_turns_are_counted_each_for_itself() -> None:
    one, two = Moody(), Moody()
    host = Host(shop(), vendor("a", one=(duplicates, one.made()), two=(prices, two.made())))
    fail(host, duplicates, QUARANTINE_AFTER - 1)
    fail(host, prices, QUARANTINE_AFTER - 2)
    (_, found) = host.registry.health.report()
    assert (found.since, found.function, found.failures) == (None, "a.one", QUARANTINE_AFTER - 1)


def test_a_released_plugin_runs_again_with_its_count_at_nothing() -> None:
    moody = Moody()
    host = Host(shop(), vendor("a", moody=(prices, moody.made())))
    fail(host, prices, QUARANTINE_AFTER)
    host.registry.health.release("a")
    assert host.registry.health.report()[1].since is None
    fail(host, prices, QUARANTINE_AFTER)
    assert host.registry.health.report()[1].since is not None


def test_the_plan_of_a_plugin_that_works_holds_its_own_functions_also_after_a_failure() -> None:
    moody = Moody()
    fn = moody.made()
    host = Host(shop(), vendor("a", moody=(prices, fn)))
    assert [each for each, _ in prices.plan(host.ctx())] == [fn]
    fail(host, prices, 1)
    assert [each for each, _ in prices.plan(host.ctx())] != [fn]
    moody.mood = lambda lines: lines
    prices(host.ctx(), [Line(1)])
    assert [each for each, _ in prices.plan(host.ctx())] == [fn]


def test_threads_that_fail_at_once_put_a_plugin_to_rest_once_and_for_all() -> None:
    moody = Moody()
    plugin = vendor("a", moody=(prices, moody.made()))
    host = Host(shop(), plugin)
    sessions = [Host(shop(), plugin) for _ in range(8)]
    for session in sessions:
        session.registry = host.registry
        session.hooks.registry = host.registry

    def hammer(session: Host) -> None:
        for _ in range(50):
            try:
                prices(session.ctx(), [Line(1)])
            except PluginFailed:
                continue

    threads = [threading.Thread(target=hammer, args=(s,)) for s in sessions]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    calls = moody.calls
    assert calls < QUARANTINE_AFTER + len(threads)
    lines = [Line(1)]
    assert prices(host.ctx(), lines) is lines
    assert moody.calls == calls
