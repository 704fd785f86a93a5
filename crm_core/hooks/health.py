"""Which plugins keep failing, and the quarantine they are then put in: what of theirs may rest does, what protects stays in force.

A function is watched only from a failure to its next success. Until then a plan holds the plugins' own functions, so that a plugin
that works costs nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from ..errors import CRMError
from ..messages import wordless
from ..runtime import Clock

if TYPE_CHECKING:
    from .dispatch import Plan
    from .parts import Impl

QUARANTINE_AFTER = 20
_log = logging.getLogger(__name__)


class Resting(Protocol):
    """A function that may rest: an implementation of a hook, or a subscriber."""

    @property
    def plugin(self) -> str: ...
    @property
    def name(self) -> str: ...


@attrs.frozen
class PluginHealth:
    """How a plugin is.

    Attributes:
        plugin, version: which.
        since: when it was quarantined; None where it runs.
        function: the function that failed last and did not succeed since, or that brought it into quarantine.
        failures: how often that function failed, one time after another.
        reason: what it did wrong last: the class of what it raised; the rest is in the log.
    """

    plugin: str
    version: str
    since: datetime | None = None
    function: str = ""
    failures: int = 0
    reason: str = ""


class Health:
    """The health of one CRM's plugins, in this process.

    Args:
        versions: of the plugins, by name.
        clock: the CRM's.
        after: how many failures in a row of one function bring its plugin into quarantine; None: none do.
        changed: called when a plan must be compiled anew.

    Attributes:
        lock: held while anything here changes.
        words: whether the log may have what an error says; not where the CRM has sealed values.
    """

    def __init__(self, versions: Mapping[str, str], clock: Clock, after: int | None, changed: Callable[[], None]) -> None:
        self.lock = threading.Lock()
        self.words = True
        self._versions = versions
        self._clock = clock
        self._after = after
        self._changed = changed
        self._failing: dict[Resting, PluginHealth] = {}
        self._quarantined: dict[str, PluginHealth] = {}

    def rests(self, plugin: str) -> bool:
        """Say whether a plugin is in quarantine."""
        return plugin in self._quarantined

    def report(self) -> list[PluginHealth]:
        """Return how each plugin is, in load order."""
        with self.lock:
            failing = sorted(self._failing.values(), key=lambda f: f.failures)
            known = {f.plugin: f for f in failing} | self._quarantined
        return [known.get(plugin) or PluginHealth(plugin, version) for plugin, version in self._versions.items()]

    def failed(self, part: Resting, error: BaseException, reason: str) -> None:
        """Count a failure. An error that a plugin raises on purpose (a CRMError) is none, and neither is one of the database."""
        if self._after is None or isinstance(error, CRMError) or _is_of_database(error):
            return
        with self.lock:
            before = self._failing.get(part)
            failures = 1 + (before.failures if before else 0)
            found = PluginHealth(part.plugin, self._versions[part.plugin], None, part.name, failures, reason)
            self._failing[part] = found
            if failures >= self._after and part.plugin not in self._quarantined:
                self._quarantined[part.plugin] = attrs.evolve(found, since=self._clock.now())
                told = (part.plugin, part.name, failures, "" if self.words else f": {wordless(error)}")
                _log.error("%s is quarantined: %s failed %d times in a row%s", *told, exc_info=error if self.words else None)
            self._changed()

    def succeeded(self, part: Resting) -> None:
        """Forget the failures of a function that works again."""
        if part in self._failing:
            with self.lock:
                self._failing.pop(part, None)
                self._changed()

    def release(self, plugin: str) -> None:
        """End a quarantine and forget the plugin's failures."""
        with self.lock:
            self._quarantined.pop(plugin, None)
            self._failing = {part: f for part, f in self._failing.items() if f.plugin != plugin}
            self._changed()

    def watched(self, impl: Impl) -> Plan:
        """Return what runs for an implementation: itself; nothing where it rests; if it failed last, itself and a look at how it went."""
        if impl.can_rest and impl.plugin in self._quarantined:
            return ()
        if impl not in self._failing:
            return ((impl.fn, impl),)

        def passed(ctx: Any, value: Any) -> Any:
            self.succeeded(impl)
            return value

        def answered(ctx: Any, value: Any) -> Any:
            answer = impl.fn(ctx, value)
            self.succeeded(impl)
            return answer

        # What a filter returns is checked before the next function is called, and may be refused.
        return ((impl.fn, impl), (passed, impl)) if impl.hook.kind == "filter" else ((answered, impl),)


def _is_of_database(error: BaseException) -> bool:
    from sqlalchemy.exc import DBAPIError, TimeoutError

    return isinstance(error, DBAPIError | TimeoutError)
