"""Which implementations a hook accepts, in which order they run, and that pluggy would do the same."""

from __future__ import annotations

from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter
from typing import Any

import pluggy
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from crm_core.entities.customer import Account, Contact
from crm_core.hooks.core_specs import Change, WriteCtx, before_write
from crm_core.hooks.parts import Impl
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from crm_core.hooks.spec import CollectHook, Ctx, FilterHook, FirstHook, VetoHook
from tests.hooks.host import Host, refused

prices: FilterHook[Ctx, list[int]] = FilterHook("shop.prices")
allowed: VetoHook[Ctx, list[int]] = VetoHook("shop.allowed")
names: CollectHook[Ctx, list[int], str] = CollectHook("shop.names")
seller: FirstHook[Ctx, list[int], str] = FirstHook("shop.seller")


def hooked(plugin: Any, spec: Any, **options: str) -> Any:
    """Call ``plugin.hook`` as one who has no type checker."""
    return plugin.hook(spec, **options)


def shop() -> Plugin:
    plugin = Plugin("shop", version="1.0")
    plugin.hooks(prices, allowed, names, seller)
    return plugin


def answering(name: str) -> Callable[[Ctx, list[int]], str]:
    def answer(ctx: Ctx, value: list[int]) -> str:
        return name

    answer.__name__ = name
    return answer


def vendor(name: str, *fns: str, **options: str) -> Plugin:
    plugin = Plugin(name, version="1.0", requires={"shop": ""})
    for fn in fns:
        hooked(plugin, names, **options)(answering(fn))
    return plugin


def called(*plugins: Plugin) -> list[str]:
    return names(Host(shop(), *plugins).ctx(), [])


# Acceptance


def test_a_misspelt_hook_does_not_load_and_suggests_the_right_name() -> None:
    a = Plugin("a", version="1", requires={"shop": ""})
    a.hook(FilterHook("shop.price"))(lambda ctx, value: value)
    error = refused(lambda: Registry([shop(), a]))
    assert (error.code, error.params["hook"], error.params["suggestion"]) == ("hook_unknown", "shop.price", "shop.prices")
    assert "Did you mean shop.prices" in str(error)


def test_a_hook_given_by_name_instead_of_its_object_does_not_load() -> None:
    a = Plugin("a", version="1", requires={"shop": ""})
    hooked(a, "shop.prices")(lambda ctx, value: value)
    error = refused(lambda: Registry([shop(), a]))
    assert (error.code, error.params["given"]) == ("not_a_hook", "'shop.prices'")


def test_another_object_of_the_same_name_is_not_the_hook() -> None:
    a = Plugin("a", version="1", requires={"shop": ""})
    a.hook(FilterHook("shop.prices"))(lambda ctx, value: value)
    assert refused(lambda: Registry([shop(), a])).code == "hook_unknown"


def test_a_hook_of_a_plugin_that_is_not_required_does_not_load() -> None:
    a = Plugin("a", version="1")
    a.hook(prices)(lambda ctx, value: value)
    error = refused(lambda: Registry([shop(), a]))
    assert (error.code, error.params["other"]) == ("requirement_undeclared", "shop")


async def later(ctx: Any, value: Any) -> Any:
    return value


def piecemeal(ctx: Any, value: Any) -> Any:
    yield value


def keyword_only(ctx: Any, value: Any, *, extra: Any) -> Any:
    return value


def optional(ctx: Any, value: Any, extra: int = 1) -> Any:
    return value


def anything(*args: Any) -> Any:
    return args[1]


def returns_none(ctx: Any, value: Any) -> None: ...
def returns_bool(ctx: Any, value: Any) -> bool:
    return True


@pytest.mark.parametrize(
    ("spec", "fn", "code"),
    [
        (prices, lambda value: value, "wrong_parameters"),
        (prices, lambda ctx, value, more: value, "wrong_parameters"),
        (prices, keyword_only, "wrong_parameters"),
        (prices, len, "wrong_parameters"),
        (prices, later, "not_a_plain_function"),
        (prices, piecemeal, "not_a_plain_function"),
        (prices, returns_none, "hook_filter_returns"),
        (allowed, returns_bool, "hook_veto_returns"),
    ],
)
def test_a_function_that_does_not_fit_its_hook_does_not_load(spec: Any, fn: Any, code: str) -> None:
    a = Plugin("a", version="1", requires={"shop": ""})
    hooked(a, spec)(fn)
    error = refused(lambda: Registry([shop(), a]))
    assert error.code == code
    assert error.params["plugin"] == "a"
    assert "See " in str(error)


@pytest.mark.parametrize(
    ("spec", "fn"), [(prices, optional), (prices, anything), (allowed, returns_none), (names, returns_none), (seller, returns_bool)]
)
def test_a_function_that_fits_its_hook_loads(spec: Any, fn: Any) -> None:
    a = Plugin("a", version="1", requires={"shop": ""})
    assert hooked(a, spec)(fn) is fn
    assert len(Registry([shop(), a]).plan(spec)) == 1


def test_on_is_for_hooks_by_entity_alone() -> None:
    a = Plugin("a", version="1", requires={"shop": ""})
    a.hook(prices, on=Account)(lambda ctx, value: value)
    assert refused(lambda: Registry([shop(), a])).code == "hook_not_by_entity"


def test_an_implementation_for_one_entity_runs_for_that_entity_alone() -> None:
    a = Plugin("a", version="1")
    ran = []

    @a.hook(before_write)
    def for_all(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
        ran.append("all")
        return changes

    @a.hook(before_write, on=Account)
    def for_accounts(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
        ran.append("accounts")
        return changes

    host = Host(a)
    for entity in (Account, Contact):
        before_write(WriteCtx(host, entity, "create"), [])  # type: ignore[arg-type]  # the part of a session that hooks use
    assert ran == ["all", "accounts", "all"]
    assert len(host.registry.plan(before_write, Contact)) == 1


# Order


def test_implementations_run_in_load_order_then_as_declared() -> None:
    assert called(vendor("b", "b1", "b2"), vendor("a", "a1")) == ["b1", "b2", "a1"]


def test_after_and_before_name_a_plugin_or_one_of_its_implementations() -> None:
    assert called(vendor("a", "a1", after="b"), vendor("b", "b1", "b2")) == ["b1", "b2", "a1"]
    assert called(vendor("a", "a1", after="b.b1"), vendor("b", "b1", "b2")) == ["b1", "a1", "b2"]
    assert called(vendor("a", "a1", "a2"), vendor("b", "b1", before="a")) == ["b1", "a1", "a2"]
    assert called(vendor("a", "a1", "a2"), vendor("b", "b1", before="a.a2")) == ["a1", "b1", "a2"]


def test_an_order_relative_to_a_plugin_that_is_not_loaded_says_nothing() -> None:
    assert called(vendor("a", "a1", after="tax"), vendor("b", "b1", before="tax.rounding")) == ["a1", "b1"]


def test_a_plugin_s_dotted_name_is_not_taken_for_an_implementation() -> None:
    assert called(vendor("a", "a1", after="acme.tax"), vendor("acme", "x"), vendor("acme.tax", "tax")) == ["x", "tax", "a1"]


def test_an_order_relative_to_a_misspelt_implementation_does_not_load() -> None:
    error = refused(lambda: called(vendor("a", "a1", after="b.discount"), vendor("b", "discounts")))
    assert (error.code, error.params["suggestion"]) == ("hook_order_unknown", "b.discounts")


def test_implementations_that_each_want_to_be_first_do_not_load() -> None:
    error = refused(lambda: called(vendor("a", "a1", before="b"), vendor("b", "b1", before="c"), vendor("c", "c1", before="a")))
    assert error.code == "hook_circle"
    assert error.params["hook"] == "shop.names"
    assert sorted(set(error.params["chain"].split(" → "))) == ["a.a1", "b.b1", "c.c1"]


# The same as pluggy


def constant(answer: str | None) -> Callable[[Any, Any], str | None]:
    def give(ctx: Any, value: Any) -> str | None:
        return answer

    return give


@st.composite
def plugins_with_wishes(draw: st.DrawFn) -> list[Plugin]:
    """Plugins that implement two hooks several times, with random wishes about the order."""
    made = []
    known = [f"p{n}" for n in range(draw(st.integers(0, 6)))]
    for name in known:
        plugin = Plugin(name, version="1.0", requires={"shop": ""})
        for n in range(draw(st.integers(0, 3))):
            wish = {k: draw(st.sampled_from(["", "", "", "absent", *known])) for k in ("before", "after")}
            for spec in (names, seller):
                hooked(plugin, spec, **wish)(constant(draw(st.sampled_from([None, f"{name}.{n}"]))))
        made.append(plugin)
    return made


def circular(impls: list[Impl]) -> bool:
    graph: TopologicalSorter[Impl] = TopologicalSorter()
    for one in impls:
        for two in impls:
            if one is not two and (one.after == two.plugin or two.before == one.plugin):
                graph.add(one, two)
    try:
        graph.prepare()
    except CycleError:
        return True
    return False


@given(plugins_with_wishes())
@settings(max_examples=300)
def test_pluggy_over_our_registry_gives_the_same_results_in_the_same_order(plugins: list[Plugin]) -> None:
    if circular([impl for p in plugins for impl in p.definitions.impls if impl.hook is names]):
        event("circular")
        assert refused(lambda: Host(shop(), *plugins)).code == "hook_circle"
        return
    host = Host(shop(), *plugins)
    event(f"{len(host.registry.plan(names))} implementations")
    relay, ctx = host.registry.manager.hook, host.ctx()
    assert names(ctx, []) == getattr(relay, names.name)(ctx=ctx, value=[])
    assert seller(ctx, []) == getattr(relay, seller.name)(ctx=ctx, value=[])
    order = [impl for _, impl in host.registry.plan(names)]
    for n, impl in enumerate(order):
        assert all(other.plugin != impl.before for other in order[:n] if other is not impl)
        assert all(other.plugin != impl.after for other in order[n:] if other is not impl)


spec_marker, impl_marker = pluggy.HookspecMarker("peer"), pluggy.HookimplMarker("peer")


class PeerSpec:
    @spec_marker
    def names(self, ctx: Any, value: Any) -> Any: ...

    @spec_marker(firstresult=True)
    def seller(self, ctx: Any, value: Any) -> Any: ...


PLACES: dict[str, tuple[dict[str, bool], dict[str, str]]] = {
    "first": ({"tryfirst": True}, {"before": "anchor.front"}),
    "middle": ({}, {"after": "anchor.front", "before": "anchor.back"}),
    "last": ({"trylast": True}, {"after": "anchor.back"}),
}


def peer_plugin(answer: str | None, place: str) -> object:
    class Peer:
        def names(self, ctx: Any, value: Any) -> Any:
            return answer

        def seller(self, ctx: Any, value: Any) -> Any:
            return answer

    options: Any = PLACES[place][0]
    for method in (Peer.names, Peer.seller):
        impl_marker(**options)(method)

    return Peer()


def our_plugin(name: str, answer: str | None, place: str) -> Plugin:
    plugin = Plugin(name, version="1.0", requires={"shop": ""})
    for spec in (names, seller):
        hooked(plugin, spec, **PLACES[place][1])(constant(answer))
    return plugin


def anchor() -> Plugin:
    def front(ctx: Any, value: Any) -> None: ...
    def back(ctx: Any, value: Any) -> None: ...

    plugin = Plugin("anchor", version="1.0", requires={"shop": ""})
    for spec in (names, seller):
        plugin.hook(spec, before="anchor.back")(front)
        plugin.hook(spec)(back)
    return plugin


@given(st.lists(st.tuples(st.none() | st.sampled_from("abcdef"), st.sampled_from(list(PLACES))), max_size=8))
@settings(max_examples=300)
def test_plain_pluggy_with_tryfirst_and_trylast_gives_what_before_and_after_give(parts: list[tuple[str | None, str]]) -> None:
    peer = pluggy.PluginManager("peer")
    peer.add_hookspecs(PeerSpec)
    for answer, place in parts:
        peer.register(peer_plugin(answer, place))
    ours = [our_plugin(f"p{n}", *part) for n, part in enumerate(parts)]
    # pluggy calls who came last first, except among those that try to be last.
    loaded = [p for p, (_, place) in zip(ours, parts, strict=True) if place == "last"]
    loaded = [p for p, (_, place) in reversed(list(zip(ours, parts, strict=True))) if place != "last"] + loaded
    ctx = Host(shop(), anchor(), *loaded).ctx()
    assert names(ctx, []) == peer.hook.names(ctx=ctx, value=[])
    assert seller(ctx, []) == peer.hook.seller(ctx=ctx, value=[])
