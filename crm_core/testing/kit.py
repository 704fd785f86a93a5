"""Kit: a CRM in one transaction that is rolled back, in which sessions act and subscribers deliver as if it were committed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection

from ..events.event import Event
from ..events.journal import read
from ..events.sequencer import sequence
from ..permissions.actor import Actor
from ..runtime import FixedClock
from .factory import Factory
from .jobs import rehearse

if TYPE_CHECKING:
    from ..crm import CRM
    from ..entities.entity import Entity
    from ..session import Session

E = TypeVar("E", bound="Entity")
V = TypeVar("V", bound=Event[Any])
START = datetime(2026, 1, 1, 9, tzinfo=UTC)
SETUP = Actor.system("test", tenant="main")


class Undone(Exception):
    """Ends the kit's sessions, so that nothing of them stays."""


class Kit:
    """What a test works with; ``open_kit`` or the fixture ``crm_kit`` makes it.

    Attributes:
        crm: the CRM.
        connection: the open transaction; it is rolled back at the end.
        actor: who acts: a system actor until :meth:`act_as` says otherwise.
    """

    def __init__(self, crm: CRM, connection: Connection, stack: ExitStack, factory: Factory | None = None) -> None:
        self.crm = crm
        self.connection = connection
        self.actor: Actor = SETUP
        self.factory = factory or Factory()
        self._stack = stack
        self._open: dict[Actor, Session] = {}

    @property
    def clock(self) -> FixedClock:
        """The clock, which stands until it is told to ``advance``.

        Raises:
            TypeError: the CRM has a clock of its own: give it ``runtime=Runtime.seeded(1)``.
        """
        clock = self.crm.runtime.clock
        if not isinstance(clock, FixedClock):
            raise TypeError("the clock of this CRM runs by itself: give it runtime=Runtime.seeded(1)")
        return clock

    @property
    def session(self) -> Session:
        """The session of who acts, open until the test ends."""
        return self.session_of(self.actor)

    def session_of(self, actor: Actor) -> Session:
        """Return an actor's session without making it the one who acts."""
        found = self._open.get(actor)
        if found is None:
            found = self._open[actor] = self._stack.enter_context(self.crm.session(actor, on=self.connection))
        return found

    def act_as(self, *roles: str, tenant: str = "main", user: str = "", locale: str = "en") -> Actor:
        """Let somebody with these roles act from now on: ``kit.session`` is theirs. Without roles, a system actor does.

        Args:
            user: the id; where not said, the roles' names, so that actors with the same roles are the same.
        """
        if not roles and not user:
            self.actor = Actor.system("test", tenant=tenant)
        else:
            self.actor = Actor(user or "+".join(sorted(roles)), roles=frozenset(roles), tenant=tenant, locale=locale)
        return self.actor

    def make(self, entity: type[E], **fields: Any) -> E:
        """Store a valid record with these fields, all else filled in; see :class:`Factory`. A system actor does it."""
        return self.factory.make(self.session_of(Actor.system("test", tenant=self.actor.tenant)), entity, **fields)

    def deliver(self) -> int:
        """Deliver what happened so far to its subscribers, in this transaction; return how many deliveries succeeded."""
        return self.crm.run_pending(on=self.connection)

    def run_job(self, name: str) -> None:
        """Run a job or a data migration now, in the tenant of who acts and in this transaction; what it raises is raised.

        ``crm.jobs.run`` has transactions of its own, which do not see this one.

        Raises:
            NotFound: ``job_unknown``.
        """
        rehearse(self.crm, name, self.connection, tenant=self.actor.tenant)

    @property
    def events(self) -> list[Event[Any]]:
        """All events since the kit was opened, in order: domain events, and the Created, Updated, Deleted and Restored of records."""
        while sequence(self.connection, self.crm.tables):
            pass
        found: list[Event[Any]] = []
        position = 0
        while entries := read(self.connection, self.crm.tables, after=position):
            found += [self.crm.events.decode(e) for e in entries if not e.kind.startswith("core.")]
            position = entries[-1].position or 0
        return found

    def recorded(self, event: type[V]) -> list[V]:
        """Return the events of one class, in order."""
        return [e for e in self.events if isinstance(e, event)]


@contextmanager
def open_kit(crm: CRM, *, factory: Factory | None = None) -> Iterator[Kit]:
    """Open a kit on a CRM whose tables are in place; leaving it rolls back all that was done."""
    with suppress(Undone), crm.bound.begin(unlimited=True) as connection, ExitStack() as stack:
        yield Kit(crm, connection, stack, factory)
        raise Undone
