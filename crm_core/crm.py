"""CRM: what a host creates. It owns its engine, plugins, roles, clock and caches; nothing is global."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from .arguments import check_many, check_text
from .entities.entity import Entity
from .entities.fields import Ref
from .permissions.actor import Actor
from .rooms import Rooms

if TYPE_CHECKING:
    from .asession import AsyncCRMSession
    from .events.wake import Worker
    from .hooks.health import PluginHealth
    from .hooks.meter import Meter
    from .inbound import Request, Response
    from .paging import Part
    from .permissions.explain import Explanation
    from .session import Session
    from .view360 import View360

E = TypeVar("E", bound=Entity)
R = TypeVar("R")


class CRM(Rooms):
    """A customer relationship management inside a host application.

    Args:
        bind: the host's engine (sync or async), a URL for one of our own, or ``django://default`` for Django's connection.
        plugins: the modules the host picks; requirements are checked, order does not matter.
        roles: the host's roles, beside those that plugins bring.
        directory: tells of other users; without one, only ownership works in rules.
        prefix: of all tables' names.
        schema: the PostgreSQL schema of all tables; SQLite has none, and there it says nothing.
        runtime: clock, ids and randomness; ``Runtime.seeded(...)`` makes a run repeatable.
        region: the country (ISO 3166) that phone numbers without a country code belong to.
        quarantine_after: how many failures in a row of one of its functions put a plugin into quarantine (see :meth:`plugins_health`);
            None: none do.
        refuse_affected_sqlite: refuse, rather than warn of, a SQLite whose WAL files can lose commits (before 3.51.3).
        statement_timeout: seconds that each statement of a session's own transaction may take before the database ends it with
            ``Unavailable``, code ``statement_timeout``; None: any. Transactions that a session joins keep the host's limits; migrations,
            delivery and the rebuilding of rollups have none. SQLite is asked by the connection's progress handler, which is taken
            off afterwards.
        safe_mode: start without the plugins, to read the core's records while one of them is broken: see :mod:`crm_core.safe_mode`.
            None: as the environment says (``CRM_SAFE_MODE=1``).
        stuck_after: seconds after which a plugin's function that does not return is named in the log, with its stack, by a thread that
            looks; nothing can interrupt it. None: nobody looks.
        audit: who signs the journal's checkpoints and where they go; see :mod:`crm_core.audit`.
        keys: where the root keys are, such as ``FileKeys("crm.keys")``: sealed fields, and what is personal in the journal, are
            encrypted under keys that it wraps. Entities with sealed fields need it.
        ports: the ways to the outside that plugins may use, such as ``DirectoryFiles("files")``; see :mod:`crm_core.ports`.
        tenants: ``declared`` refuses the sessions of tenants that ``crm.tenants.create`` did not make; ``open``: none need be made.
        secrets: reads the secrets that settings refer to by a scheme of the host's; see :class:`crm_core.Secret`.
        adopt: tables of the host that stand for entities; see :mod:`crm_core.adoption`.

    Raises:
        LoadError: a plugin, role or entity does not fit; the message says which and what to do.
    """

    # -- sessions -----------------------------------------------------------------------------------------------------------------

    def session(
        self,
        actor: Actor,
        *,
        on: Any = None,
        idempotency_key: str | None = None,
        reason: str | None = None,
        request: str | None = None,
        write: bool = True,
    ) -> AbstractContextManager[Session]:
        """Open a session: one actor, one tenant, one transaction that commits on leaving and rolls back on an exception.

        Args:
            on: the host's SQLAlchemy Connection or ORM Session, or a raw sqlite3 or psycopg connection: the session joins its
                transaction and never ends it. Each call is done wholly or not at all; what earlier calls did before an exception
                is the host's to keep or to roll back.
            idempotency_key: what is done under a key is done once; a second run gets the first one's results, errors that were
                caught included. An exception that leaves the session undoes all of it, also in a host's transaction.
            reason, request: for the journal: why, and the host's request id.
            write: False opens a reading session that refuses writes and does not hold the write lock.

        Raises:
            Invalid: *reason* or *request* is no printable text of at most 255 characters.
            Unavailable: the database is locked, full or gone; nothing was changed.
            CommitOutcomeUnknown: the connection broke, or the disk failed, during COMMIT; ask :meth:`outcome`.
            NeedsAwait: the engine is asynchronous and an event loop runs: use :meth:`asession`.
        """
        from .opening import opened

        return opened(self, actor, on=on, idempotency_key=idempotency_key, reason=reason, request=request, write=write)

    @asynccontextmanager
    async def asession(
        self,
        actor: Actor,
        *,
        on: Any = None,
        idempotency_key: str | None = None,
        reason: str | None = None,
        request: str | None = None,
        write: bool = True,
    ) -> AsyncIterator[AsyncCRMSession]:
        """Open a session on an AsyncEngine, or on the host's AsyncConnection or AsyncSession; use it with ``await s.run(work)``."""
        from .asession import opened

        host = getattr(on, "sync_session", None) or getattr(on, "sync_connection", None) or on
        manager = self.session(actor, on=host, idempotency_key=idempotency_key, reason=reason, request=request, write=write)
        async with opened(self, manager) as session:
            yield session

    async def run(self, work: Callable[[CRM], R]) -> R:
        """Make database calls outside a session on an AsyncEngine: ``await crm.run(lambda c: c.migrations.check())``."""
        return await self.bound.run(lambda: work(self))

    def transact(self, actor: Actor, work: Callable[[Session], R], *, retries: int = 3, idempotency_key: str | None = None) -> R:
        """Run *work* in a session, again as a whole after deadlocks, serialization failures and a busy database.

        Args:
            retries: how many times more, with growing pauses that start at 50 ms.
        """
        from .opening import transacted

        return transacted(self, actor, work, retries, idempotency_key)

    def outcome(self, idempotency_key: str, *, tenant: str = "main") -> dict[str, Any] | None:
        """Tell after a broken commit what is committed under a key: who, when, and each call's result; None where nothing is."""
        from .storage.idempotency import outcome

        check_text(idempotency_key, tenant)
        with self.bound.begin(write=False) as connection:
            return outcome(connection, self.tables, tenant, idempotency_key)

    # -- the schema ---------------------------------------------------------------------------------------------------------------

    def migrate(self) -> None:
        """Bring the schema up to date, for scripts and tests; new subscriptions begin here, and data migrations run."""
        self.migrations.upgrade()
        self.jobs.migrate()

    # -- for people and screens ---------------------------------------------------------------------------------------------------

    def describe(self, entity: type[Entity], actor: Actor) -> dict[str, Any]:
        """Describe an entity for a form as :meth:`Session.describe` does, in a session of its own.

        A database in memory has one connection, on which that session would commit what the host left open: there it goes by the
        roles of the tenant that were last read. Where a session is open, ask that one.

        Raises:
            Unavailable, SchemaBehind, NeedsAwait: the tenant's own roles cannot be read.
        """
        from .describe import describe_apart

        return describe_apart(self, entity, actor)

    def json_schema(self, entity: type[Entity], locale: str = "en") -> dict[str, Any]:
        """Return the JSON Schema of an entity's plain form, with titles, and the labels of options as ``x-labels``, in a language."""
        from .describe import json_schema

        return json_schema(self, entity, locale)

    def labels(self, locale: str = "en") -> dict[str, str]:
        """Return what all that has a name is called in a language, by message id: what a front end loads once."""
        from .labels import words

        return words(self.messages, self.registry.plugins, locale)

    def to_json(self, record: Entity | Part[Any] | Sequence[Entity] | View360 | None, *, expand: Sequence[str] = ()) -> Any:
        """Turn records, or a view of one, into plain JSON; references named in *expand* become what they point at, where it was loaded."""
        from .describe import to_json

        check_many(expand, "a list of references")
        return to_json(self, record, expand)

    def from_json(self, entity: type[E], data: Mapping[str, Any]) -> E:
        """Build a new record of plain JSON, such as a request's body: what :meth:`to_json` writes, without the system fields.

        Raises:
            Invalid: unknown, missing or unreadable fields, all at once.
        """
        from .describe import from_json

        found: E = from_json(self, entity, data)
        return found

    def explain(self, actor: Actor, action: str, entity: type[Entity] | Entity | Ref[Any], id: str | None = None) -> Explanation:
        """Tell which rules let an actor do something to a record, or which failed; the record itself, or its entity and *id*."""
        from .permissions.explain import explain_record

        return explain_record(self, actor, action, entity, id)

    # -- plugins that fail --------------------------------------------------------------------------------------------------------

    def plugins_health(self) -> list[PluginHealth]:
        """Tell which plugins fail, and which are in quarantine since when and why.

        A plugin whose hook implementation or subscriber fails ``quarantine_after`` times in a row in a tenant is put into quarantine
        there, and in all tenants when that happened in three: its filters and collectors are left out and its subscribers' events
        wait, while its vetoes, restriction rules and field policies stay in force. The database keeps it, so a restart does not end
        it: :meth:`release`, ``crm plugins resume``, or another version of the plugin does.
        """
        return self.registry.health.report()

    def release(self, plugin: str) -> None:
        """End a plugin's quarantine: its hooks run again, and its subscribers go on with the first event that waits.

        Other processes on this database follow within ten seconds.

        Raises:
            LoadError: no such plugin is loaded, and none of that name was in quarantine.
        """
        check_text(plugin)
        if not self.quarantine.release(plugin):
            self.registry.plugin(plugin)

    def measured(self) -> AbstractContextManager[Meter]:
        """Measure in a block what the plugins' functions cost: ``with crm.measured() as meter: ...; meter.report()``."""
        from .hooks.meter import measured

        return measured(self.registry, self.runtime.clock)

    # -- the process ---------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start what plugins keep open as long as the process lives; :meth:`close` stops it.

        Raises:
            PluginFailed: one did not start; those that had started are stopped again.
        """
        self.lifespans.start()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start in a block what plugins keep open, and stop it at its end; the CRM stays open."""
        self.start()
        try:
            yield
        finally:
            self.lifespans.stop()

    def answer(self, request: Request, *, tenant: str = "main") -> Response:
        """Answer a call that came in for a plugin's route; errors of ours become problem documents (RFC 9457)."""
        from .inbound import answer

        return answer(self, request, tenant)

    def screens(self, actor: Actor) -> dict[str, Any]:
        """Return the forms, lists and files that plugins bring for front ends, as far as the actor may see them, in their language."""
        from .screens import screens

        return screens(self, actor)

    # -- delivery -----------------------------------------------------------------------------------------------------------------

    def run_pending(self, *, limit: int | None = None, on: Any = None) -> int:
        """Run the rules whose time came, and deliver committed events to their subscribers; return how many deliveries succeeded.

        Args:
            limit: stop after this many.
            on: deliver inside the host's open transaction, what it wrote itself included; for tests that roll back.
        """
        from .deliveries import run_pending

        return run_pending(self, limit, on)

    def worker(self) -> Worker:
        """Return a worker that delivers whenever something was committed, and runs jobs: ``start()`` it in a thread, or ``run()`` it."""
        from .deliveries import worker

        return worker(self)

    def close(self) -> None:
        """Stop what plugins started, close the connections of an engine of our own, and stop watching."""
        if "lifespans" in vars(self):
            self.lifespans.stop()
        if self.watchdog is not None:
            self.watchdog.stop()
        self.bound.dispose()
