"""How hooks run: compiled plans, one implementation at a time, every failure named after its plugin.

pluggy aborts the whole call on one exception and names nobody, so these loops go over its implementations themselves. They are
written out four times because a shared loop would cost more than an implementation; callers guard them with ``if plan:``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from ..classes import define
from ..errors import CRMError, LoopDetected, PluginFailed, Unavailable
from .stops import is_the_hosts

if TYPE_CHECKING:
    from .declared import Check
    from .nesting import Named
    from .parts import Contribution, Impl
    from .refusals import Refusal
    from .registry import Registry
    from .spec import Ctx

Plan: TypeAlias = "tuple[tuple[Callable[[Any, Any], Any], Impl], ...]"
"""A hook's implementations in the order they run, each with its function unpacked for speed."""

MAX_DEPTH = 12


def _frames() -> list[Contribution | None]:
    return [None] * MAX_DEPTH


@define(eq=False)
class HookState:
    """What runs in a session now; the session and its elevated ones share one.

    Attributes:
        registry: the CRM's plugins.
        tenant: of the session.
        frames: who runs, outermost first; only the first ``depth`` count.
        depth: how many plugin functions call each other.
        handles: whether a subscriber runs, in delivery's transaction.
    """

    registry: Registry
    tenant: str = "main"
    frames: list[Contribution | None] = attrs.field(factory=_frames, init=False)
    depth: int = attrs.field(default=0, init=False)
    handles: bool = attrs.field(default=False, init=False)

    @property
    def running(self) -> Contribution | None:
        """The plugin function that runs now, or None outside of plugins."""
        return self.frames[self.depth - 1] if self.depth else None

    def function(self, part: Named) -> Callable[..., Any]:
        """Return a part's function, measured while somebody measures."""
        meter = self.registry.meter
        return part.fn if meter is None else meter.around(part)


class _Misbehaved(Exception):
    """An implementation did not raise, but what it returned cannot be used."""


def run(state: HookState, part: Contribution, *args: Any) -> Any:
    """Run one plugin function that is not a hook's: an action, a subscriber, a job, a panel.

    Raises:
        Unavailable: ``plugin_disabled``.
        PluginFailed: it raised something that is not a CRMError.
        LoopDetected: too many plugin functions call each other.
    """
    if part.plugin in state.registry.health.disabled:
        raise Unavailable("plugin_disabled", plugin=part.plugin)
    depth = state.depth
    try:
        if depth == MAX_DEPTH:
            raise _loop(state)
        state.frames[depth] = part
        state.depth = depth + 1
        return state.function(part)(*args)
    except CRMError:
        raise
    except BaseException as cause:
        raise _failed(state, part, cause, args) from _hidden(cause, args)
    finally:
        state.depth = depth


def filter_(plan: Plan, ctx: Ctx, value: Any, check: Check | None = None, *, batch: bool = True) -> Any:
    """Send *value* through the chain; with *batch*, lists of equal length come back."""
    state = ctx.session.hooks
    depth = state.depth
    size = len(value) if batch else 0
    try:
        if depth == MAX_DEPTH:
            raise _loop(state)
        state.depth = depth + 1
        frames = state.frames
        for fn, impl in plan:
            frames[depth] = impl
            value = fn(ctx, value)
            if batch:
                if type(value) is not list or len(value) != size:
                    raise _Misbehaved(f"returned {_shape(value)} instead of a list of {size}")
            elif value is None:
                raise _Misbehaved("returned None instead of the value")
            if check is not None and (wrong := check(value)):
                raise _Misbehaved(f"answer{wrong}")
        return value
    except CRMError:
        raise
    except BaseException as cause:
        raise _failed(state, state.frames[depth], cause, value) from _hidden(cause, value)
    finally:
        state.depth = depth


def first(plan: Plan, ctx: Ctx, value: Any, check: Check | None = None) -> Any:
    """Return the first answer that is not None; who comes later is not asked."""
    state = ctx.session.hooks
    depth = state.depth
    try:
        if depth == MAX_DEPTH:
            raise _loop(state)
        state.depth = depth + 1
        frames = state.frames
        for fn, impl in plan:
            frames[depth] = impl
            answer = fn(ctx, value)
            if answer is not None:
                if check is not None and (wrong := check(answer)):
                    raise _Misbehaved(f"answer{wrong}")
                return answer
        return None
    except CRMError:
        raise
    except BaseException as cause:
        raise _failed(state, state.frames[depth], cause, value) from _hidden(cause, value)
    finally:
        state.depth = depth


def collect(plan: Plan, ctx: Ctx, value: Any, check: Check | None = None) -> list[Any]:
    """Return all answers that are not None, in order."""
    state = ctx.session.hooks
    depth = state.depth
    answers = []
    try:
        if depth == MAX_DEPTH:
            raise _loop(state)
        state.depth = depth + 1
        frames = state.frames
        for fn, impl in plan:
            frames[depth] = impl
            answer = fn(ctx, value)
            if answer is not None:
                if check is not None and (wrong := check(answer)):
                    raise _Misbehaved(f"answer{wrong}")
                answers.append(answer)
        return answers
    except CRMError:
        raise
    except BaseException as cause:
        raise _failed(state, state.frames[depth], cause, value) from _hidden(cause, value)
    finally:
        state.depth = depth


def veto(plan: Plan, ctx: Ctx, value: Any) -> list[Refusal]:
    """Ask all implementations and return every refusal, in order."""
    state = ctx.session.hooks
    depth = state.depth
    outer, ctx._refusals = ctx._refusals, []
    try:
        if depth == MAX_DEPTH:
            raise _loop(state)
        state.depth = depth + 1
        frames = state.frames
        for fn, impl in plan:
            frames[depth] = impl
            answer = fn(ctx, value)
            if answer is not None:
                raise _Misbehaved(f"returned {_shape(answer)}; a veto speaks through ctx.refuse alone")
        return ctx._refusals
    except CRMError:
        raise
    except BaseException as cause:
        raise _failed(state, state.frames[depth], cause, value) from _hidden(cause, value)
    finally:
        state.depth = depth
        ctx._refusals = outer


def _shape(value: Any) -> str:
    return f"a list of {len(value)}" if type(value) is list else type(value).__name__


def _loop(state: HookState) -> LoopDetected:
    return LoopDetected(chain=" → ".join(f"{part.name} ({part.task})" for part in state.frames if part))


def _failed(state: HookState, part: Contribution | None, cause: BaseException, at_hand: Any) -> PluginFailed:
    assert part is not None
    if is_the_hosts(cause, part.fn):
        raise cause
    if part.can_rest:
        state.registry.health.failed(part, cause, _reason(cause), state.tenant, at_hand)
    return PluginFailed(plugin=part.plugin, hook=part.task, function=part.name, where=part.where, reason=_reason(cause))


def _hidden(cause: BaseException, at_hand: Any) -> BaseException:
    """Return the exception without what is personal in *at_hand*."""
    from ..masking import masked, personal

    return masked(cause, personal(at_hand))


def _reason(cause: BaseException) -> str:
    """Name the exception; its text may hold personal data, so only our own is shown. The rest is in ``__cause__``."""
    return str(cause) if isinstance(cause, _Misbehaved) else type(cause).__name__
