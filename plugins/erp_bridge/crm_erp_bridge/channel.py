"""Channel: one bridge at work for one tenant: its connector, its sessions, its lease."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

from crm_core import CRM, Actor, Session

from .breaker import Breaker
from .bridge import Bridge
from .connector import AuthFailed, Connector, CursorExpired, EntityCaps, NotOffered, SchemaChanged, Throttled, Unavailable
from .lease import hold, release
from .ledger import SeenFile
from .mapping import Stream
from .plugin import plugin
from .settings import Settings

P = ParamSpec("P")
T = TypeVar("T")
_SAID = (AuthFailed, Throttled, CursorExpired, SchemaChanged, NotOffered)


class Channel:
    """What a run needs; its transactions are short, and none is open while the ERP is asked."""

    def __init__(self, crm: CRM, bridge: Bridge, connector: Connector, tenant: str, breaker: Breaker) -> None:
        self.crm = crm
        self.bridge = bridge
        self.connector = connector
        self.tenant = tenant
        self.breaker = breaker
        self.holder = crm.runtime.ids.new()

    @property
    def name(self) -> str:
        """The bridge's."""
        return self.bridge.name

    @property
    def scopes(self) -> list[str]:
        """The ERP's organisations that are this tenant."""
        return self.bridge.scopes_of(self.tenant)

    @property
    def streams(self) -> Sequence[Stream]:
        """All streams, parents first."""
        return list(self.bridge.mapping.streams.values())

    def caps(self, stream: Stream) -> EntityCaps:
        """Return what the ERP can do with a stream's records."""
        return self.connector.entities.get(stream.entity, EntityCaps())

    def now(self) -> datetime:
        """Return the CRM's time."""
        return self.crm.runtime.clock.now()

    @contextmanager
    def session(self, reason: str, *, fenced: bool = True) -> Iterator[Session]:
        """Open a transaction as the bridge's own actor; a fenced one renews the lease, and fails where it was lost."""
        with self.crm.session(Actor.service(plugin.name, tenant=self.tenant), reason=reason) as opened:
            session = opened.derive(plugin=plugin.name)
            if fenced:
                hold(session, self.name, self.holder)
            yield session

    @contextmanager
    def leased(self) -> Iterator[None]:
        """Hold the lease for a whole run."""
        with self.session("lease"):
            pass
        try:
            yield
        finally:
            with self.session("lease", fenced=False) as session:
                release(session, self.name, self.holder)

    def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask the ERP, through the breaker. What is no answer of the ERP counts as unavailable where it is the network's.

        Raises:
            AuthFailed, Throttled, Unavailable, CursorExpired, SchemaChanged, NotOffered: as the connector says.
        """
        self.breaker.check(self.now())
        try:
            found = work(*args, **kwargs)
        except _SAID as e:
            if not isinstance(e, Throttled):
                self.breaker.succeeded()
            raise
        except Unavailable:
            self.breaker.failed(self.now())
            raise
        except OSError as e:
            self.breaker.failed(self.now())
            raise Unavailable(reason=type(e).__name__) from e
        self.breaker.succeeded()
        return found

    def patiently(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask for something that changes nothing: a short wait that the ERP asks for is waited out, up to ``longest_wait_seconds``.

        Raises:
            AuthFailed, Throttled, Unavailable, CursorExpired, SchemaChanged, NotOffered: as :meth:`call`.
        """
        waited = timedelta(0)
        while True:
            try:
                return self.call(work, *args, **kwargs)
            except Throttled as e:
                pause = max(e.after, timedelta(milliseconds=100))
                waited += pause
                with self.session("settings", fenced=False) as session:
                    longest = timedelta(seconds=session.settings(Settings).longest_wait_seconds)
                if waited > longest:
                    raise
                time.sleep(pause.total_seconds())


class Remembered:
    """The bridge's memory of used-up files, for its connector."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def known(self, marks: Sequence[str]) -> AbstractSet[str]:
        """Return those of *marks* that are used up."""
        keys = {f"{self._channel.name}:{mark}": mark for mark in marks}
        with self._channel.session("used-up files", fenced=False) as session:
            found: set[str] = set()
            for start in range(0, len(keys), 500):
                some = list(keys)[start : start + 500]
                found |= {keys[row.key] for row in session.query(SeenFile).where(SeenFile.key.in_(some)).all()}
        return found
