"""Which plugins keep failing, and the quarantine they are then put in: what of theirs may rest does, what protects stays in force.

Failures are counted by tenant, so that the data of one puts nobody else's hooks to rest. A function is watched only from a failure to
its next success. Until then a plan holds the plugins' own functions, so that a plugin that works costs nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..classes import frozen
from ..errors import CRMError
from ..logs import facts
from ..messages import wordless
from ..runtime import Clock

if TYPE_CHECKING:
    from .dispatch import Plan
    from .parts import Impl

QUARANTINE_AFTER = 20
SPREAD = 3
"""In how many tenants a function brings its plugin into quarantine, with no success in between, until the plugin rests in all."""

EVERYWHERE = ""
_log = logging.getLogger(__name__)


class Resting(Protocol):
    """A function that may rest: an implementation of a hook, or a subscriber."""

    @property
    def plugin(self) -> str: ...
    @property
    def name(self) -> str: ...


@frozen
class PluginHealth:
    """How a plugin is.

    Attributes:
        plugin, version: which.
        since: when it was quarantined; None where it runs.
        function: the function that failed last and did not succeed since, or that brought it into quarantine.
        failures: how often that function failed, one time after another, in one tenant.
        reason: what it did wrong last: the class of what it raised; the rest is in the log.
        tenants: where it rests; empty where it rests in all tenants, or runs.
    """

    plugin: str
    version: str
    since: datetime | None = None
    function: str = ""
    failures: int = 0
    reason: str = ""
    tenants: tuple[str, ...] = ()


class Rest(NamedTuple):
    """The quarantine of a plugin in one tenant, or EVERYWHERE; the attributes as in :class:`PluginHealth`."""

    plugin: str
    tenant: str
    version: str
    since: datetime
    function: str
    failures: int
    reason: str


class Health:
    """The health of one CRM's plugins: what this process saw fail, and the quarantines that it or others began.

    Args:
        versions: of the plugins, by name.
        clock: the CRM's.
        after: how many failures in a row of one function, in one tenant, bring its plugin into quarantine there; None: none do.
        changed: called when a plan must be compiled anew.

    Attributes:
        lock: held while anything here changes.
        unkept: quarantines that the database does not know of yet.
        words: whether the log may have what an error says; not where the CRM has sealed values.
        suspended: tenants in which everything rests.
        closed: the tenants in which a plugin is off, by plugin.
        disabled: plugins that somebody switched off everywhere.
        unguarded: those of them whose vetoes on others' records are off as well.
    """

    def __init__(self, versions: Mapping[str, str], clock: Clock, after: int | None, changed: Callable[[], None]) -> None:
        self.lock = threading.Lock()
        self.unkept: tuple[Rest, ...] = ()
        self.words = True
        self.suspended: frozenset[str] = frozenset()
        self.closed: Mapping[str, frozenset[str]] = {}
        self.disabled: frozenset[str] = frozenset()
        self.unguarded: frozenset[str] = frozenset()
        self._versions = versions
        self._clock = clock
        self._after = after
        self._changed = changed
        self._failing: dict[Resting, dict[str, PluginHealth]] = {}
        self._resting: dict[tuple[str, str], Rest] = {}
        self._spread: dict[Resting, set[str]] = {}

    def rests(self, plugin: str, tenant: str = EVERYWHERE) -> bool:
        """Say whether a plugin does not work in a tenant, or in any: it is in quarantine or off, or the tenant is suspended."""
        quarantined = (plugin, EVERYWHERE) in self._resting or (plugin, tenant) in self._resting
        return quarantined or tenant in self.suspended or self.is_off(plugin, tenant)

    def is_off(self, plugin: str, tenant: str) -> bool:
        """Say whether somebody switched a plugin off, in a tenant or everywhere."""
        return plugin in self.disabled or tenant in self.closed.get(plugin, ())

    @property
    def any_rests(self) -> bool:
        """Whether any plugin does not work somewhere."""
        return bool(self._resting or self.suspended or self.closed or self.disabled)

    def close(self, suspended: frozenset[str], closed: Mapping[str, frozenset[str]]) -> None:
        """Say which tenants are suspended, and which plugins are off where."""
        with self.lock:
            self.suspended = suspended
            if closed != self.closed:
                self.closed = closed
                self._changed()

    def disable(self, plugins: frozenset[str], unguarded: frozenset[str] = frozenset()) -> None:
        """Say which plugins are switched off everywhere, and which of them with their vetoes on others' records."""
        with self.lock:
            if (plugins, unguarded) != (self.disabled, self.unguarded):
                self.disabled, self.unguarded = plugins, unguarded
                self._changed()

    def report(self) -> list[PluginHealth]:
        """Return how each plugin is, in load order."""
        with self.lock:
            failing = sorted((h for tenants in self._failing.values() for h in tenants.values()), key=lambda h: h.failures)
            known = {h.plugin: h for h in failing}
            for rest in sorted(self._resting.values(), key=lambda r: (r.tenant == EVERYWHERE, r.since)):
                tenants = tuple(sorted(t for p, t in self._resting if p == rest.plugin)) if rest.tenant else ()
                known[rest.plugin] = PluginHealth(rest.plugin, rest.version, rest.since, rest.function, rest.failures, rest.reason, tenants)
        return [known.get(plugin) or PluginHealth(plugin, version) for plugin, version in self._versions.items()]

    def failed(self, part: Resting, error: BaseException, reason: str, tenant: str, at_hand: Any = None) -> None:
        """Count a failure. An error that a plugin raises on purpose (a CRMError) is none, and neither is one of the database.

        Of the records and events *at_hand* the log tells nothing personal.
        """
        if self._after is None or isinstance(error, CRMError) or _is_of_database(error):
            return
        with self.lock:
            counted = self._failing.setdefault(part, {})
            failures = 1 + (counted[tenant].failures if tenant in counted else 0)
            found = counted[tenant] = PluginHealth(part.plugin, self._versions[part.plugin], None, part.name, failures, reason)
            if failures >= self._after and not self.rests(part.plugin, tenant):
                from ..masking import masked, personal

                spread = self._spread.setdefault(part, set())
                spread.add(tenant)
                self._rest(found, EVERYWHERE if len(spread) >= SPREAD else tenant, masked(error, personal(at_hand) if self.words else None))
            self._changed()

    def _rest(self, found: PluginHealth, tenant: str, error: BaseException) -> None:
        rest = Rest(found.plugin, tenant, found.version, self._clock.now(), found.function, found.failures, found.reason)
        self._resting[rest.plugin, tenant] = rest
        self.unkept = (*self.unkept, rest)
        where = f"in tenant {tenant!r}" if tenant else "in all tenants"
        told = (rest.plugin, where, rest.function, rest.failures, "" if self.words else f": {wordless(error)}")
        extra = facts("plugin_quarantined", plugin=rest.plugin, tenant=tenant, function=rest.function, failures=rest.failures)
        _log.error("%s is quarantined %s: %s failed %d times in a row%s", *told, exc_info=error, extra=extra)

    def succeeded(self, part: Resting, tenant: str) -> None:
        """Forget the failures in a tenant of a function that works there again."""
        if part in self._failing:
            with self.lock:
                self._spread.pop(part, None)
                if self._failing[part].pop(tenant, None) is not None:
                    if not self._failing[part]:
                        del self._failing[part]
                    self._changed()

    def release(self, plugin: str) -> None:
        """End a plugin's quarantines and forget its failures."""
        with self.lock:
            self.unkept = tuple(r for r in self.unkept if r.plugin != plugin)
            self._end([key for key in self._resting if key[0] == plugin])
            for part in [p for p in self._failing if p.plugin == plugin]:
                del self._failing[part]

    def is_over(self, rest: Rest) -> bool:
        """Say whether a quarantine was another version's of a plugin, which is none of this one's."""
        return self._versions.get(rest.plugin, rest.version) != rest.version

    def learn(self, kept: Iterable[Rest]) -> None:
        """Take over what the database knows: quarantines that others began or ended."""
        if self._after is None:
            return
        rests = {(r.plugin, r.tenant): r for r in kept if self._versions.get(r.plugin) == r.version}
        with self.lock:
            rests |= {(r.plugin, r.tenant): r for r in self.unkept}
            if rests.keys() != self._resting.keys():
                self._end([key for key in self._resting if key not in rests])
                self._resting = rests
                self._changed()

    def _end(self, keys: Iterable[tuple[str, str]]) -> None:
        for plugin, tenant in keys:
            del self._resting[plugin, tenant]
            for part in [p for p in self._failing if p.plugin == plugin]:
                self._spread.pop(part, None)
                self._failing[part] = {t: h for t, h in self._failing[part].items() if tenant not in (t, EVERYWHERE)}
                if not self._failing[part]:
                    del self._failing[part]
        self._changed()

    def kept(self, rests: Iterable[Rest]) -> None:
        """Note that the database knows of quarantines."""
        with self.lock:
            self.unkept = tuple(r for r in self.unkept if r not in rests)

    def replan(self) -> None:
        """Have every hook's plan compiled anew."""
        with self.lock:
            self._changed()

    def watched(self, impl: Impl, fn: Callable[[Any, Any], Any]) -> Plan:
        """Return what runs for an implementation: *fn*, which is or measures it; nothing where it rests or is off, unless it protects
        what is others'; if it failed last or rests in some tenants, *fn* where it may run, and a look at how it went."""
        resting = frozenset(t for p, t in self._resting if p == impl.plugin) if impl.can_rest else frozenset()
        tenants = resting | self.closed.get(impl.plugin, frozenset())
        guards = impl.guards_others and impl.plugin not in self.unguarded
        if EVERYWHERE in tenants or (impl.plugin in self.disabled and not guards):
            return ()
        if impl not in self._failing and not tenants:
            return ((fn, impl),)

        def passed(ctx: Any, value: Any) -> Any:
            if ctx.session.hooks.tenant not in tenants:
                self.succeeded(impl, ctx.session.hooks.tenant)
            return value

        def answered(ctx: Any, value: Any) -> Any:
            tenant = ctx.session.hooks.tenant
            if tenant in tenants:
                return value if impl.hook.kind == "filter" else None
            answer = fn(ctx, value)
            if impl.hook.kind != "filter" and not impl.hook._misfit(answer):
                self.succeeded(impl, tenant)
            return answer

        # What a filter returns is checked before the next function is called, and may be refused.
        return ((answered, impl), (passed, impl)) if impl.hook.kind == "filter" else ((answered, impl),)


def _is_of_database(error: BaseException) -> bool:
    from sqlalchemy.exc import DBAPIError, TimeoutError

    return isinstance(error, DBAPIError | TimeoutError)
