"""What lives as long as the process: clients and threads of plugins, started in order and stopped in reverse."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from .errors import CRMError, PluginFailed
from .logs import facts
from .masking import masked
from .messages import wordless
from .permissions.actor import Actor
from .session import Session

if TYPE_CHECKING:
    from .crm import CRM
    from .hooks.parts import Lifespan

TURN = 1.0
"""Seconds between two looks at what is switched off; the database is asked every ten."""
PATIENCE = 5.0
_log = logging.getLogger(__name__)


@attrs.frozen
class Running:
    """What a plugin's lifespan gets: the way into the CRM from its own threads, as its own actor."""

    _crm: CRM
    plugin: str

    def session(self, tenant: str, *, reason: str, write: bool = True) -> AbstractContextManager[Session]:
        """Open a session of a tenant as the plugin's own actor, with the grants it declares; *reason* stands in the journal.

        Raises:
            Denied: the plugin may not do what is asked in it.
        """
        return self._crm.session(Actor.service(self.plugin, tenant=tenant), reason=reason, write=write)

    def port(self, port: type[Any], *, tenant: str) -> Any:
        """Return the host's implementation of a port, as :meth:`Session.port` does."""
        return self._crm.ports.of(port, tenant, self.plugin)


class Lifespans:
    """The lifespans of one CRM. A thread of ours follows what other processes switch on and off, in a process that does nothing too."""

    def __init__(self, crm: CRM) -> None:
        self._crm = crm
        self._open: dict[Lifespan, AbstractContextManager[None]] | None = None
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._follower: threading.Thread | None = None

    def start(self) -> None:
        """Start those of all plugins that are not disabled; a second call does nothing.

        Raises:
            PluginFailed: one did not start; those that had started are stopped again.
        """
        with self._lock:
            if self._open is not None:
                return
            self._crm.quarantine.look()
            self._open = {}
        try:
            self.settle()
        except BaseException:
            self.stop()
            raise
        if self._crm.registry.lifespans and not self._crm.bound.shared:  # a database in memory has no other processes
            self._over = threading.Event()
            self._follower = threading.Thread(target=self._follow, args=[self._over], name="crm-lifespans", daemon=True)
            self._follower.start()

    def settle(self) -> None:
        """Once started: stop those of plugins that are disabled now, and start those of others that do not run.

        Raises:
            PluginFailed: one did not start, or did not stop.
        """
        with self._lock:
            if self._open is None:
                return
            off = self._crm.registry.health.disabled
            self._close([part for part in self._open if part.plugin in off])
            for part in self._crm.registry.lifespans:
                if part.plugin not in off and part not in self._open:
                    span = _spanned(part, Running(self._crm, part.plugin))
                    span.__enter__()
                    self._open[part] = span

    def stop(self) -> None:
        """Stop them, the last first, each though another fails; a second call does nothing.

        Raises:
            PluginFailed: one did not stop.
        """
        self._over.set()
        if self._follower is not None:
            self._follower.join(PATIENCE)  # a database that does not answer must not keep the process; what it still does is nothing
        with self._lock:
            try:
                self._close(list(self._open or ()))
            finally:
                self._open = None

    def _follow(self, over: threading.Event) -> None:
        while not over.wait(TURN):
            try:
                self._crm.quarantine.look()
                self.settle()
            except Exception as e:  # the next turn tries again
                words, plugin = self._crm.registry.health.words, e.params.get("plugin", "") if isinstance(e, CRMError) else ""
                extra = facts("lifespan_failed", plugin=plugin, error=type(e).__name__)
                told = "" if words else f": {wordless(e)}"
                _log.error("a lifespan of %s did not follow%s", plugin, told, exc_info=e if words else masked(e, None), extra=extra)

    def _close(self, parts: Sequence[Lifespan]) -> None:
        with ExitStack() as closing:
            for part in parts:
                closing.push((self._open or {}).pop(part))


@contextmanager
def _spanned(part: Lifespan, running: Running) -> Iterator[None]:
    generator = part.fn(running)
    _step(part, lambda: next(generator))
    try:
        yield
    finally:
        _step(part, lambda: _finish(generator))


def _finish(generator: Iterator[None]) -> None:
    if next(generator, generator) is not generator:
        raise RuntimeError("a lifespan yields once")


def _step(part: Lifespan, work: Callable[[], object]) -> None:
    try:
        work()
    except CRMError:
        raise
    except Exception as e:
        reason = "it did not yield" if isinstance(e, StopIteration) else type(e).__name__
        raise PluginFailed(plugin=part.plugin, hook=part.task, function=part.name, where=part.where, reason=reason) from e
