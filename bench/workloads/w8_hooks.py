"""W8: what calling a hook costs, for 0, 1, 5 and 20 implementations that each add one to a number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from timeit import repeat
from typing import Any

from bench.measure import Measure
from bench.workloads import Scale

COUNTS = (0, 1, 5, 20)
CALLS = 20_000


def run(system: str, scale: Scale) -> Iterator[Measure]:
    """Measure one way to call hooks: ``ours``, ``loop``, ``pluggy`` or ``blinker``; the best of many runs, in microseconds."""
    for count in COUNTS:
        call = _CALLERS[system](count)
        best = min(repeat(call, number=CALLS, repeat=scale.count * 3)) / CALLS * 1e6
        yield Measure("W8", f"{count} implementations", best, best, {})


def _adder() -> Callable[[Any, int], int]:
    def add(ctx: Any, value: int) -> int:
        return value + 1

    return add


def _loop(count: int) -> Callable[[], object]:
    """The limit: a plain loop over a tuple."""
    functions = tuple(_adder() for _ in range(count))

    def call() -> int:
        value = 0
        for function in functions:
            value = function(None, value)
        return value

    return call


def _ours(count: int) -> Callable[[], object]:
    """As the core calls its own hooks: behind ``if plan``."""
    from types import SimpleNamespace

    from crm_core import Ctx, FilterHook, Plugin
    from crm_core.hooks.dispatch import HookState, filter_
    from crm_core.hooks.registry import Registry

    hook: FilterHook[Ctx, int] = FilterHook("bench.count", per="item")
    owner = Plugin("bench", version="1")
    owner.hooks(hook)
    plugins = [owner]
    for n in range(count):
        plugin = Plugin(f"bench.n{n}", version="1", requires={"bench": ">=1"})
        plugin.hook(hook)(_typed())
        plugins.append(plugin)
    ctx: Any = Ctx(SimpleNamespace(hooks=HookState(Registry(plugins))))  # type: ignore[arg-type]  # all that dispatch asks of a session
    plan = hook.plan(ctx)

    def call() -> object:
        return filter_(plan, ctx, 0, batch=False) if plan else 0

    return call


def _typed() -> Callable[..., int]:
    from crm_core import Ctx

    def add(ctx: Ctx, value: int) -> int:
        return value + 1

    return add


def _pluggy(count: int) -> Callable[[], object]:
    import pluggy  # type: ignore[import-untyped,unused-ignore]  # in the peers' environment mypy does not look

    spec, impl = pluggy.HookspecMarker("bench"), pluggy.HookimplMarker("bench")

    class Spec:
        @spec
        def count(self, ctx: Any, value: int) -> int: ...  # type: ignore[empty-body]  # a specification

    manager = pluggy.PluginManager("bench")
    manager.add_hookspecs(Spec)
    for _ in range(count):

        class Plugin:
            @impl
            def count(self, ctx: Any, value: int) -> int:
                return value + 1

        manager.register(Plugin())
    hook = manager.hook.count
    return lambda: hook(ctx=None, value=0)


def _blinker(count: int) -> Callable[[], object]:
    from blinker import Signal  # type: ignore[import-not-found,unused-ignore]  # in the peers' environment

    signal = Signal()
    receivers = [_adder() for _ in range(count)]
    for receiver in receivers:
        signal.connect(receiver)

    def call(kept: Any = receivers) -> object:
        return signal.send(None, value=0)

    return call


_CALLERS: dict[str, Callable[[int], Callable[[], object]]] = {"loop": _loop, "ours": _ours, "pluggy": _pluggy, "blinker": _blinker}
