"""Whether a plugin's function runs beneath: what it opens beside the transaction that it works in would wait for that for ever.

Walking a deep stack takes longer than a small statement, so it is walked only where the thread's last session says that a plugin runs in
it: that session may have gone to another thread.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import CRMError
from . import dispatch

if TYPE_CHECKING:
    from .registry import Registry


class Named(Protocol):
    """A plugin's function: a hook's implementation, a subscriber, an action, a job, a panel."""

    @property
    def plugin(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def fn(self) -> Callable[..., Any]: ...


class Sessions(threading.local):
    """The session that each thread opened last and has not left, by what runs in it."""

    last: dispatch.HookState | None = None

    @contextmanager
    def entered(self, state: dispatch.HookState) -> Iterator[None]:
        """Note a session while it is open; an error that leaves it knows the words of its CRM's plugins."""
        before, self.last = self.last, state
        try:
            yield
        except CRMError as error:
            error._told_by(state.registry.messages)
            raise
        finally:
            self.last = before

    @property
    def inside(self) -> bool:
        """Whether a session is open in this thread."""
        return self.last is not None

    def running(self, registry: Registry) -> Named | None:
        """Return the function of a plugin of this CRM that runs beneath the caller, on this thread's stack; None where there is none."""
        last = self.last
        return _on_stack(registry) if last is not None and (last.depth or last.handles) else None


def handle(state: dispatch.HookState, part: Named, *args: Any) -> None:
    """Call a subscriber, in delivery's transaction."""
    state.handles = True
    try:
        state.function(part)(*args)
    finally:
        state.handles = False


# Where a plugin's function is called inside a transaction; each has a local ``state``.
_CALLS = {fn.__code__ for fn in (dispatch.run, dispatch.filter_, dispatch.first, dispatch.collect, dispatch.veto, handle)}


def _on_stack(registry: Registry) -> Named | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code in _CALLS:
            state: dispatch.HookState = frame.f_locals["state"]
            if state.registry is registry:
                return state.running or frame.f_locals["part"]
        frame = frame.f_back
    return None
