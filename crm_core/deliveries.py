"""What a CRM lends to the delivery of events: transactions, sessions for subscribers, and what those may see of an event."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from types import NoneType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, RootTransaction

from .arguments import check
from .automation.engine import taken
from .events.delivery import Delivery
from .events.event import Event, EventCodec
from .events.wake import Worker, notify
from .logs import facts
from .masking import masked
from .messages import wordless
from .permissions.actor import Actor
from .session import Session
from .storage.join import joined
from .storage.savepoint import savepoint
from .storage.unit import Lease, Unit

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from .crm import CRM
    from .events.subscribers import Subscriber
    from .hooks.health import Health
    from .runtime import Runtime
    from .storage.tables import Tables


class _Announced(threading.local):
    """The transaction of each thread that was announced last."""

    last: RootTransaction | None = None


class Host:
    """A CRM as ``events.delivery`` knows it.

    Args:
        jobs: what is due by the clock includes the plugins' jobs.
    """

    def __init__(self, crm: CRM, *, jobs: bool = True) -> None:
        self._crm = crm
        self._jobs = jobs
        self.runtime: Runtime = crm.runtime
        self.tables: Tables = crm.tables
        self.event_codec: EventCodec = crm.events
        self.subscribers: Sequence[Subscriber] = (*crm.subscribers, crm.automation.idle)
        self.waits: bool = crm.safe_mode
        self.health: Health = crm.registry.health
        self._announced = _Announced()

    def begin(self, *, write: bool = True) -> AbstractContextManager[Connection]:
        """Open a transaction of its own."""
        return self._crm.bound.begin(write, unlimited=True)

    def listening(self, connection: Connection, *, anew: bool = False) -> Sequence[Subscriber]:
        """Return the subscribers; automation waits for what its active rules are about. None listens where a plugin's data is gone."""
        self._crm.quarantine.look(connection)
        if anew:
            self._crm.plugins.learn(connection)
        if self._crm.plugins.any_gone:
            return ()
        return (*self._crm.subscribers, self._crm.automation.listening(connection))

    def tick(self) -> int:
        """Run the rules and jobs whose time came, each in a transaction of its own; one that fails is tried again at the next tick."""
        self._crm.quarantine.keep()
        if self._crm.watchdog is not None:
            self._crm.watchdog.watch()
        with self.begin(write=False) as connection:
            slots = [s for s in self._crm.automation.due(connection) if not self.health.rests("core", s.tenant)]
        for slot in slots:
            try:
                with self.begin() as connection:
                    actor = Actor.service("core", tenant=slot.tenant)
                    with self.open_session(connection, actor, chain=()) as session:
                        self._crm.automation.run_slot(session, slot)
            except Exception as e:
                if not taken(e):
                    words = self._crm.registry.health.words
                    told = "" if words else f": {wordless(e)}"
                    extra = facts("rule_failed", tenant=slot.tenant, rule=slot.rule, at=slot.at.isoformat(), error=type(e).__name__)
                    _log.warning("rule %s failed at %s%s", slot.rule, slot.at, told, exc_info=e if words else masked(e, None), extra=extra)
        return len(slots) + (self._crm.jobs.run_due() if self._jobs else 0)

    def seal(self) -> None:
        """Seal the journal's new rows."""
        self._crm.audit.seal(wait=False)

    @contextmanager
    def open_session(self, connection: Connection | None, actor: Actor, *, chain: tuple[str, ...]) -> Iterator[Session]:
        """Open a subscriber's session: on a part of delivery's transaction, or on one of its own that its first write begins."""

        def begin() -> AbstractContextManager[Connection]:
            return self.begin() if connection is None else savepoint(connection)

        look = self._crm.bound.looking if connection is None else None
        with Unit(begin, write=True, joined=connection is not None, url=self._crm.bound.url, look=look, alone=True) as unit:
            session = Session(self._crm, actor, Lease(unit), plugin=actor.plugin, chain=chain)
            with self._crm.sessions.entered(session.hooks):
                yield session
            if unit.wrote:
                self._announce(unit.connection)

    def _announce(self, connection: Connection) -> None:
        """Announce what a transaction has for the journal, once."""
        transaction = connection.get_transaction()
        if transaction is not self._announced.last:
            self._announced.last = transaction
            notify(connection, self.tables)

    def service_actor(self, plugin: str, *, tenant: str, on_behalf_of: str) -> Actor:
        """Return the plugin's service actor, on behalf of whoever caused the event."""
        return _service(plugin, tenant, on_behalf_of)

    def project(self, session: Session, event: Event[Any]) -> Event[Any]:
        """Return the event without the fields of its record that the session's actor may not read."""
        entity = event.record.entity
        policy = session.policy
        names = session.codec(entity).fields
        if policy.is_nothing(policy.rule("read", entity)):
            return event.without(names)
        levels = session.levels(entity)
        hidden = [n for n, level in levels.items() if level in ("none", "masked") and n in names]
        return event.without([*hidden, *(n for n in event.custom_names() if n not in names)])


def run_pending(crm: CRM, limit: int | None, on: Any) -> int:
    """Deliver what is due; the arguments are those of :meth:`CRM.run_pending`."""
    check(limit, (int, NoneType), "a number or None")
    if on is None:
        return crm.delivery.run_pending(limit=limit)
    with joined(crm.bound, on) as connection:
        return crm.delivery.run_pending(limit=limit, on=connection)


def worker(crm: CRM) -> Worker:
    """Make a worker; jobs run in a thread of their own, so that no event waits for a long one."""
    beside = bool(crm.registry.jobs) and not crm.bound.shared and not crm.safe_mode
    delivery = Delivery(Host(crm, jobs=False)) if beside else crm.delivery
    engine = crm.bound.synchronous().engine
    return Worker(delivery, engine, crm.tables, crm.runtime, jobs=crm.jobs.run_due if beside else None)


@lru_cache(maxsize=4_096)
def _service(plugin: str, tenant: str, on_behalf_of: str) -> Actor:
    return Actor.service(plugin, tenant=tenant, on_behalf_of=_actor(on_behalf_of, tenant))


def _actor(id: str, tenant: str) -> Actor:
    kind, _, name = id.partition(":")
    if kind == "system":
        return Actor.system(name, tenant=tenant)
    return Actor.service(name, tenant=tenant) if kind == "plugin" else Actor(id, tenant=tenant)
