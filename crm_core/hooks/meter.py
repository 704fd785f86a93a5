"""What the plugins' functions cost: calls, errors and time of each, while somebody measures; nothing otherwise."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from ..errors import CRMError

if TYPE_CHECKING:
    from ..runtime import Clock
    from .nesting import Named
    from .registry import Registry


@attrs.define
class Cost:
    """What one function cost.

    Attributes:
        plugin, name: whose, and which: ``acme.loyalty.award``.
        task: the hook it implements, else what it is: ``subscriber``, ``actiondef``, ``job``, ``panel``.
        calls: how often it was called.
        errors: how often it raised what is no CRMError.
        seconds, longest: the wall clock's time in it, and in its longest call; what it calls is included.
    """

    plugin: str
    name: str
    task: str
    calls: int = 0
    errors: int = 0
    seconds: float = 0.0
    longest: float = 0.0


class Meter:
    """Measures the plugins' functions of one CRM, in all threads of the process.

    Args:
        clock: measures durations.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._costs: dict[tuple[str, str], Cost] = {}
        self._lock = threading.Lock()

    def report(self) -> list[Cost]:
        """Return what each function cost until now, the dearest first."""
        with self._lock:
            return sorted((attrs.evolve(c) for c in self._costs.values()), key=lambda c: (-c.seconds, c.name))

    def around(self, part: Named) -> Callable[..., Any]:
        """Return a part's function with a look at the clock before and after it."""

        def call(*args: Any) -> Any:
            begun = self._clock.monotonic()
            failed = False
            try:
                return part.fn(*args)
            except BaseException as error:
                failed = not isinstance(error, CRMError)
                raise
            finally:
                self._add(part, self._clock.monotonic() - begun, failed)

        return call

    def _add(self, part: Named, seconds: float, failed: bool) -> None:
        with self._lock:
            cost = self._costs.setdefault((part.name, part.task), Cost(part.plugin, part.name, part.task))
            cost.calls += 1
            cost.errors += failed
            cost.seconds += seconds
            cost.longest = max(cost.longest, seconds)


@contextmanager
def measured(registry: Registry, clock: Clock) -> Iterator[Meter]:
    """Measure until the block ends; what measures already goes on measuring, and is what is returned."""
    if registry.meter is not None:
        yield registry.meter
        return
    registry.meter = meter = Meter(clock)
    registry.health.replan()
    try:
        yield meter
    finally:
        registry.meter = None
        registry.health.replan()
