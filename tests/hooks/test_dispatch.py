"""How the four kinds of hooks run, and what happens when an implementation does not behave."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from crm_core.errors import CRMError, Denied, Invalid, LoopDetected, PluginFailed, Refused
from crm_core.hooks.dispatch import MAX_DEPTH
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.spec import CollectHook, Ctx, FilterHook, FirstHook, Hook, VetoHook
from tests.hooks.host import Host, Line

prices: FilterHook[Ctx, list[Line]] = FilterHook("shop.prices")
note: FilterHook[Ctx, str | list[Line]] = FilterHook("shop.note", per="item")
seller: FirstHook[Ctx, Line, str] = FirstHook("shop.seller")
duplicates: CollectHook[Ctx, list[Line], str] = CollectHook("shop.duplicates")
may_sell: VetoHook[Ctx, list[Line]] = VetoHook("shop.may_sell")
HOOKS: list[Hook[Any, Any]] = [prices, note, seller, duplicates, may_sell]


def shop() -> Plugin:
    plugin = Plugin("shop", version="1.0")
    plugin.hooks(*HOOKS)
    return plugin


def vendor(name: str, spec: Any, *fns: Callable[..., Any]) -> Plugin:
    plugin = Plugin(name, version="1.0", requires={"shop": ">=1"})
    hook: Any = plugin.hook
    for fn in fns:
        hook(spec)(fn)
    return plugin


def dearer(ctx: Ctx, lines: list[Line]) -> list[Line]:
    return [Line(line.price + 1) for line in lines]


def double(ctx: Ctx, lines: list[Line]) -> list[Line]:
    return [Line(line.price * 2) for line in lines]


def broken(ctx: Ctx, lines: Any) -> Any:
    raise KeyError("a customer's name")


def test_a_filter_sends_the_value_through_a_chain_in_load_order() -> None:
    host = Host(shop(), vendor("a", prices, dearer), vendor("b", prices, double))
    assert [line.price for line in prices(host.ctx(), [Line(1), Line(5)])] == [4, 12]


def test_a_filter_nobody_implements_gives_back_the_very_value() -> None:
    lines = [Line(1)]
    assert prices(Host(shop()).ctx(), lines) is lines


def test_a_filter_per_item_takes_a_single_value() -> None:
    def louder(ctx: Ctx, text: str) -> str:
        return text + "!"

    assert note(Host(shop(), vendor("a", note, louder, louder)).ctx(), "hi") == "hi!!"


def test_first_stops_at_the_first_answer_that_is_not_none() -> None:
    asked = []

    def silent(ctx: Ctx, line: Line) -> str | None:
        asked.append("silent")
        return None

    def ann(ctx: Ctx, line: Line) -> str | None:
        return "ann"

    def never(ctx: Ctx, line: Line) -> str | None:
        raise AssertionError("asked although the answer was known")

    host = Host(shop(), vendor("a", seller, silent, ann, never))
    assert seller(host.ctx(), Line(1)) == "ann"
    assert asked == ["silent"]
    assert seller(Host(shop(), vendor("a", seller, silent)).ctx(), Line(1)) is None


def test_collect_gives_all_answers_that_are_not_none_in_order() -> None:
    def named(name: str | None) -> Callable[[Ctx, list[Line]], str | None]:
        def answer(ctx: Ctx, lines: list[Line]) -> str | None:
            return name

        return answer

    host = Host(shop(), vendor("a", duplicates, named("x"), named(None)), vendor("b", duplicates, named(""), named("y")))
    assert duplicates(host.ctx(), []) == ["x", "", "y"]


def test_all_refusals_of_all_implementations_are_reported_together() -> None:
    def cheap(ctx: Ctx, lines: list[Line]) -> None:
        for line in lines:
            if line.price < 2:
                ctx.refuse(line, "a.too_cheap", field="price", least=2)

    def odd(ctx: Ctx, lines: list[Line]) -> None:
        for line in lines:
            if line.price % 2:
                ctx.refuse(line, "b.odd")

    host = Host(shop(), vendor("a", may_sell, cheap), vendor("b", may_sell, odd))
    with pytest.raises(Refused) as caught:
        may_sell(host.ctx(), [Line(4), Line(1), Line(3)])
    assert {(d.row, d.code, d.field, d.params.get("least"), d.params["plugin"]) for d in caught.value.details} == {
        (1, "a.too_cheap", "price", 2, "a"),
        (1, "b.odd", "", None, "b"),
        (2, "b.odd", "", None, "b"),
    }
    assert caught.value.params == {"hook": "shop.may_sell", "count": 3}
    may_sell(host.ctx(), [Line(4)])


def test_refusals_can_be_had_without_an_error_each_with_its_record() -> None:
    def cheap(ctx: Ctx, lines: list[Line]) -> None:
        ctx.refuse(lines[1], "a.too_cheap")

    lines = [Line(4), Line(1)]
    (refusal,) = may_sell.refusals(Host(shop(), vendor("a", may_sell, cheap)).ctx(), lines)
    assert refusal.record is lines[1]
    assert refusal.by.name == "a.cheap"


def test_a_context_used_twice_forgets_the_refusals_of_before() -> None:
    def cheap(ctx: Ctx, lines: list[Line]) -> None:
        if lines[0].price < 2:
            ctx.refuse(lines[0], "a.too_cheap")

    ctx = Host(shop(), vendor("a", may_sell, cheap)).ctx()
    assert len(may_sell.refusals(ctx, [Line(1)])) == 1
    assert may_sell.refusals(ctx, [Line(2)]) == []


@pytest.mark.parametrize("spec", HOOKS, ids=lambda h: h.kind + "-" + h.per)
def test_an_implementation_that_raises_is_named_and_what_it_raised_is_kept(spec: Any) -> None:
    host = Host(shop(), vendor("acme.loyalty", spec, broken))
    with pytest.raises(PluginFailed) as caught:
        spec(host.ctx(), [Line(1)])
    assert caught.value.params["plugin"] == "acme.loyalty"
    assert caught.value.params["hook"] == spec.name
    assert caught.value.params["function"] == "acme.loyalty.broken"
    assert caught.value.params["where"].startswith(__file__)
    assert isinstance(caught.value.__cause__, KeyError)
    assert "acme.loyalty" in str(caught.value)


def test_what_a_plugin_raised_may_be_personal_and_is_not_in_the_message() -> None:
    with pytest.raises(PluginFailed) as caught:
        prices(Host(shop(), vendor("a", prices, broken)).ctx(), [Line(1)])
    assert "a customer's name" not in str(caught.value)
    assert "KeyError" in str(caught.value)


@pytest.mark.parametrize("spec", HOOKS, ids=lambda h: h.kind + "-" + h.per)
def test_a_typed_error_of_a_plugin_passes_unchanged(spec: Any) -> None:
    raised = Denied(action="x")

    def denies(ctx: Ctx, value: Any) -> Any:
        raise raised

    with pytest.raises(Denied) as caught:
        spec(Host(shop(), vendor("a", spec, denies)).ctx(), [Line(1)])
    assert caught.value is raised


class Own(BaseException):
    """A kind of the plugin's own."""


@pytest.mark.parametrize("stop", [BaseException, SystemExit, Own, BaseExceptionGroup("many", [Own()])], ids=repr)
def test_what_a_plugin_raises_to_end_more_than_itself_is_its_failure(stop: Any) -> None:
    def stops(ctx: Ctx, lines: list[Line]) -> list[Line]:
        raise stop

    with pytest.raises(PluginFailed) as caught:
        prices(Host(shop(), vendor("a", prices, stops)).ctx(), [])
    assert caught.value.params["plugin"] == "a"


def test_a_signal_that_ends_the_process_ends_it_also_within_a_plugin() -> None:
    def interrupted(ctx: Ctx, lines: list[Line]) -> list[Line]:
        signal.raise_signal(signal.SIGUSR1)
        return lines

    before = signal.signal(signal.SIGUSR1, lambda number, frame: sys.exit(0))
    try:
        with pytest.raises(SystemExit):
            prices(Host(shop(), vendor("a", prices, interrupted)).ctx(), [])
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, pytest.fail.Exception])
def test_what_stops_the_process_a_task_or_a_test_is_not_swallowed(stop: type[BaseException]) -> None:
    def stops(ctx: Ctx, lines: list[Line]) -> list[Line]:
        raise stop

    host = Host(shop(), vendor("a", prices, stops))
    with pytest.raises(stop):
        prices(host.ctx(), [])
    assert host.hooks.running is None


def test_the_innermost_plugin_is_the_one_named() -> None:
    def asks(ctx: Ctx, lines: list[Line]) -> list[Line]:
        seller(ctx, lines[0])
        return lines

    host = Host(shop(), vendor("outer", prices, asks), vendor("inner", seller, broken))
    with pytest.raises(PluginFailed) as caught:
        prices(host.ctx(), [Line(1)])
    assert caught.value.params["plugin"] == "inner"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (lambda ctx, lines: None, "NoneType"),
        (lambda ctx, lines: lines[1:], "a list of 1"),
        (lambda ctx, lines: [*lines, lines[0]], "a list of 3"),
        (lambda ctx, lines: tuple(lines), "tuple"),
        (lambda ctx, lines: (line for line in lines), "generator"),
    ],
)
def test_a_filter_of_batches_that_does_not_return_a_list_of_equal_length_fails(bad: Any, said: str) -> None:
    with pytest.raises(PluginFailed, match=said) as caught:
        prices(Host(shop(), vendor("a", prices, bad)).ctx(), [Line(1), Line(2)])
    assert "a list of 2" in str(caught.value)


def test_a_filter_per_item_that_forgets_to_return_fails() -> None:
    def forgets(ctx: Ctx, text: Any) -> Any: ...

    with pytest.raises(PluginFailed, match="None"):
        note(Host(shop(), vendor("a", note, forgets)).ctx(), "hi")


@pytest.mark.parametrize("answer", [False, True, "no", []])
def test_a_veto_that_returns_something_fails_since_its_answer_would_be_ignored(answer: Any) -> None:
    def says(ctx: Ctx, lines: Any):  # type: ignore[no-untyped-def]  # an annotation would be refused at load
        return answer

    with pytest.raises(PluginFailed, match="refuse"):
        may_sell(Host(shop(), vendor("a", may_sell, says)).ctx(), [])


@pytest.mark.parametrize("spec", [prices, seller, duplicates], ids=lambda h: h.kind)
def test_a_refusal_in_another_kind_of_hook_is_an_error_since_nobody_would_hear_it(spec: Any) -> None:
    def refuses(ctx: Ctx, value: Any) -> Any:
        ctx.refuse(value, "a.no")

    with pytest.raises(CRMError, match=r"a\.refuses") as caught:
        spec(Host(shop(), vendor("a", spec, refuses)).ctx(), [Line(1)])
    assert caught.value.code == "refusal_outside_veto"


def test_a_refusal_of_something_else_than_an_item_is_about_the_whole_call() -> None:
    def refuses(ctx: Ctx, lines: list[Line]) -> None:
        ctx.refuse("the order", "a.no")

    with pytest.raises(Refused) as caught:
        may_sell(Host(shop(), vendor("a", may_sell, refuses)).ctx(), [Line(1), Line(2)])
    assert [(d.row, d.entity) for d in caught.value.details] == [(None, "str")]


def test_a_veto_that_asks_the_same_veto_keeps_its_own_refusals() -> None:
    def outer(ctx: Ctx, lines: list[Line]) -> None:
        ctx.refuse(lines[0], "a.first")
        if len(lines) > 1:
            assert [r.code for r in may_sell.refusals(ctx, lines[1:])] == ["a.first"]
            ctx.refuse(lines[1], "a.second")

    lines = [Line(1), Line(2)]
    refusals = may_sell.refusals(Host(shop(), vendor("a", may_sell, outer)).ctx(), lines)
    assert [(r.code, r.record) for r in refusals] == [("a.first", lines[0]), ("a.second", lines[1])]


def test_elevated_rights_are_those_of_the_plugin_that_runs() -> None:
    def peeks(ctx: Ctx, lines: list[Line]) -> list[Line]:
        with ctx.elevated("find duplicates"):
            pass
        return lines

    host = Host(shop(), vendor("a", prices, dearer), vendor("b", prices, peeks))
    prices(host.ctx(), [Line(1)])
    assert host.elevations == [("b", "find duplicates")]


def test_a_hook_that_calls_itself_is_cut_and_the_chain_is_shown() -> None:
    calls = []

    def again(ctx: Ctx, lines: list[Line]) -> list[Line]:
        calls.append(1)
        seller(ctx, lines[0])
        return lines

    def back(ctx: Ctx, line: Line) -> str:
        prices(ctx, [line])
        return "ann"

    host = Host(shop(), vendor("a", prices, again), vendor("b", seller, back))
    with pytest.raises(LoopDetected) as caught:
        prices(host.ctx(), [Line(1)])
    chain = caught.value.params["chain"].split(" → ")
    assert chain[:3] == ["a.again (shop.prices)", "b.back (shop.seller)", "a.again (shop.prices)"]
    assert len(chain) == MAX_DEPTH == 2 * len(calls)
    assert host.hooks.running is None


@pytest.mark.parametrize("spec", HOOKS, ids=lambda h: h.kind + "-" + h.per)
def test_every_kind_of_hook_is_cut_where_it_calls_itself(spec: Any) -> None:
    def again(ctx: Ctx, value: Any) -> Any:
        return spec(ctx, value)

    host = Host(shop(), vendor("a", spec, again))
    with pytest.raises(LoopDetected):
        spec(host.ctx(), [Line(1)])
    assert host.hooks.depth == 0


def test_a_loop_in_one_session_leaves_others_alone() -> None:
    def again(ctx: Ctx, lines: list[Line]) -> list[Line]:
        return prices(ctx, lines)

    one, two = Host(shop(), vendor("a", prices, again)), Host(shop(), vendor("b", prices, dearer))
    with pytest.raises(LoopDetected):
        prices(one.ctx(), [Line(1)])
    assert prices(two.ctx(), [Line(1)])[0].price == 2


def test_a_chain_of_hooks_that_ends_in_time_is_no_loop() -> None:
    def shrink(ctx: Ctx, lines: list[Line]) -> list[Line]:
        return [*lines[:1], *(prices(ctx, lines[1:]) if lines[1:] else [])]

    assert len(prices(Host(shop(), vendor("a", prices, shrink)).ctx(), [Line(n) for n in range(MAX_DEPTH)])) == MAX_DEPTH


def test_a_crm_error_keeps_its_details_on_the_way_through() -> None:
    def invalid(ctx: Ctx, lines: list[Line]) -> list[Line]:
        raise Invalid("bad_currency", given="XXX")

    with pytest.raises(Invalid, match="XXX"):
        prices(Host(shop(), vendor("a", prices, invalid)).ctx(), [])
