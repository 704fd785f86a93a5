"""Notices: what a user is told now, on whatever screen is open."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import Protocol, Self, runtime_checkable
from weakref import WeakSet

import attrs

_WAITING = 100


@attrs.frozen(kw_only=True)
class Notice:
    """Something a user is told; *link* is where a click leads, *kind* what a screen may sort by."""

    title: str
    text: str = ""
    link: str = ""
    kind: str = ""


@runtime_checkable
class Notifier(Protocol):
    """Tells users."""

    def notify(self, user: str, notice: Notice) -> None:
        """Tell a user of the tenant; one who is not there misses it.

        Raises:
            Unavailable: ``port_failed``.
        """
        ...

    def scoped(self, tenant: str, plugin: str) -> Notifier:
        """Return the notifier of a tenant, for what a plugin has to say."""
        ...


class _Listeners:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.queues: dict[tuple[str, str], WeakSet[queue.Queue[Notice]]] = {}


class LiveNotifier:
    """Tells whoever listens in this process: a server-sent event or a web socket of the host's, a test."""

    def __init__(self, *, tenant: str = "main", listeners: _Listeners | None = None) -> None:
        self._tenant = tenant
        self._listeners = listeners or _Listeners()

    def listen(self, tenant: str, user: str) -> queue.Queue[Notice]:
        """Return a queue that gets what the user is told from now on, for as long as somebody holds it; of more than 100, the latest."""
        made: queue.Queue[Notice] = queue.Queue(_WAITING)
        with self._listeners.lock:
            self._listeners.queues.setdefault((tenant, user), WeakSet()).add(made)
        return made

    def notify(self, user: str, notice: Notice) -> None:
        """Tell a user."""
        with self._listeners.lock:
            listening = self._listeners.queues.get((self._tenant, user))
            for each in listening or ():
                while each.full():  # who listens may have taken some meanwhile
                    with suppress(queue.Empty):
                        each.get_nowait()
                each.put_nowait(notice)
            if listening is not None and not listening:
                del self._listeners.queues[self._tenant, user]

    def scoped(self, tenant: str, plugin: str) -> Self:
        """Return the notifier of a tenant."""
        return type(self)(tenant=tenant, listeners=self._listeners)
