"""Rooms: what a CRM is made of, wired together; each room has one role, and a module or package of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from types import NoneType
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Engine, Table

from .arguments import check, check_directory, check_entity, check_many, check_one_of, check_text
from .entities.entity import Entity
from .entities.meta import spec
from .errors import Invalid, LoadError
from .events.event import EventCodec
from .hooks.core_specs import CORE
from .hooks.health import QUARANTINE_AFTER
from .hooks.nesting import Sessions
from .hooks.plugin import Plugin
from .hooks.ports import Ports
from .hooks.registry import Registry
from .ondemand import OnDemand, OnFirstUse
from .permissions.policies import Policies
from .permissions.roles import Role
from .runtime import Runtime
from .safe_mode import wanted
from .storage.engine import open_engine
from .storage.tables import Tables

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .adoption import AdoptedTables
    from .audit.checkpoints import Audit
    from .audit.trail import Trail
    from .automation.engine import Automation
    from .crm import CRM
    from .custom_fields.defined import CustomFields
    from .entities.codec import Codec
    from .entities.fields import FieldSpec
    from .events.delivery import Delivery
    from .events.subscribers import Subscriber
    from .hooks.watchdog import Watchdog
    from .jobs.engine import Jobs
    from .lifecycle import Plugins
    from .lifespan import Lifespans
    from .permissions.directory import Directory
    from .permissions.members import Members
    from .permissions.mirror import Mirror
    from .permissions.shape import Shapes
    from .permissions.shares import Shares
    from .permissions.ungranted import Ungranted
    from .quarantine import Quarantine
    from .scope import Scope
    from .secrets import Resolver
    from .storage.adopted import Adopted
    from .storage.denials import DenialLog
    from .storage.keys.manager import Keys
    from .storage.keys.provider import KeyProvider
    from .storage.links import Links
    from .storage.migrations import Migrations
    from .storage.rollups import Rollups
    from .storage.writer import Writers
    from .tenant_data import TenantRoles, TenantSettings
    from .tenants import Declaring, Tenants


class Rooms:
    """The rooms of one CRM; the verbs, and what the arguments mean, are :class:`CRM`'s.

    What tells at once whether a host's arguments fit is made here; the other rooms, with the modules they need, when they are first used.
    """

    def __init__(
        self,
        bind: str | Engine | AsyncEngine,
        *,
        plugins: Sequence[Plugin] = (),
        roles: Sequence[Role] = (),
        directory: Directory | None = None,
        prefix: str = "crm_",
        schema: str | None = None,
        runtime: Runtime | None = None,
        region: str = "",
        quarantine_after: int | None = QUARANTINE_AFTER,
        refuse_affected_sqlite: bool = False,
        statement_timeout: float | None = None,
        safe_mode: bool | None = None,
        stuck_after: float | None = None,
        audit: Audit | None = None,
        keys: KeyProvider | None = None,
        ports: Sequence[object] = (),
        tenants: Declaring = "open",
        secrets: Resolver | None = None,
        adopt: Mapping[Any, Adopted] | None = None,
    ) -> None:
        check_many(plugins, "a list of plugins")
        check_many(roles, "a list of roles")
        for role in roles:
            check(role, Role, "a Role")
        check_text(prefix, region)
        check(runtime, (Runtime, NoneType), "a Runtime")
        if directory is not None:
            check_directory(directory)
        check(quarantine_after, (int, NoneType), "a number or None")
        self.bound = open_engine(bind, refuse_affected_sqlite=refuse_affected_sqlite, statement_timeout=statement_timeout)
        self.runtime = runtime or Runtime.system()
        self.region = region
        self.safe_mode = wanted(safe_mode)
        self.registry = Registry([] if self.safe_mode else plugins, clock=self.runtime.clock, quarantine_after=quarantine_after)
        entities = self.registry.entities
        self._entities = {spec(e).name: e for e in entities}
        extensions = {e: self.registry.extensions(e) for e in entities}
        schema = schema if self.bound.kind == "postgresql" else None
        self.tables = Tables(entities, extensions, self.registry.links, prefix=prefix, schema=schema, adopt=adopt)
        self._keys = keys
        if keys is not None or self.tables.sealed:
            self.keys  # noqa: B018  # refuses what does not fit
        self.messages = self.registry.messages
        self.events = EventCodec(entities, self.registry.events.values(), self.registry.extensions)
        if self.registry.subscriptions:
            self.subscribers  # noqa: B018  # as above
        self.policies = Policies(self.registry, roles, safe=self.safe_mode)
        self.policies.check_grants(plugin.name for plugin in self.registry.plugins if plugin is not CORE)
        self.policies.check_permits(() if self.safe_mode else roles, self.registry.permissions)
        check_one_of(tenants, "open", "declared")
        self._declaring = tenants
        self.secrets = secrets
        self.watchdog = self._watchdog(stuck_after)
        self._audit = audit
        self.sessions = Sessions()
        self.directory = directory
        self.ports = Ports(self.registry, ports)
        self._codecs = OnDemand(entities, self._codec)
        self._references = OnDemand(entities, self._referring)

    @property
    def url(self) -> str:
        """The database's URL, password included, to open another CRM on it."""
        return self.bound.url.render_as_string(hide_password=False)

    # -- rooms, when they are first used -------------------------------------------------------------------------------------------

    @OnFirstUse
    def adoption(self) -> AdoptedTables:
        """The host's tables that stand for entities."""
        from .adoption import AdoptedTables

        return AdoptedTables(cast("CRM", self))

    @OnFirstUse
    def keys(self) -> Keys:
        """The keys of sealed values: their state, rotation and destruction."""
        from .storage.keys.manager import Keys

        return Keys(cast("CRM", self), self._keys)

    @OnFirstUse
    def migrations(self) -> Migrations:
        """The schema in the database: whether it is up to date, and how it becomes so."""
        from .storage.migrations import Migrations

        return Migrations(self.bound, self.tables, self.registry, self._register)

    @OnFirstUse
    def tenants(self) -> Tenants:
        """The tenants, and what is on in each."""
        from .tenants import Tenants

        return Tenants(cast("CRM", self), self._declaring)

    @OnFirstUse
    def quarantine(self) -> Quarantine:
        """The quarantines that the database keeps."""
        from .quarantine import Quarantine

        return Quarantine(cast("CRM", self))

    @OnFirstUse
    def links(self) -> Links:
        """The relations between records of modules that do not know each other."""
        from .storage.links import Links

        return Links()

    @OnFirstUse
    def shares(self) -> Shares:
        """What is shared record by record."""
        from .permissions.shares import Shares

        return Shares()

    @OnFirstUse
    def denials(self) -> DenialLog:
        """The denials that the journal keeps."""
        from .storage.denials import DenialLog

        return DenialLog(cast("CRM", self))

    @OnFirstUse
    def roles(self) -> TenantRoles:
        """The roles that tenants make themselves."""
        from .tenant_data import TenantRoles

        return TenantRoles(cast("CRM", self))

    @OnFirstUse
    def settings(self) -> TenantSettings:
        """What tenants set."""
        from .tenant_data import TenantSettings

        return TenantSettings(cast("CRM", self))

    @OnFirstUse
    def custom_fields(self) -> CustomFields:
        """The fields that tenants add."""
        from .custom_fields.defined import CustomFields

        return CustomFields(cast("CRM", self))

    @OnFirstUse
    def lifespans(self) -> Lifespans:
        """What plugins keep open as long as the process lives."""
        from .lifespan import Lifespans

        return Lifespans(cast("CRM", self))

    @OnFirstUse
    def shapes(self) -> Shapes:
        """The lens of each policy."""
        from .permissions.shape import Shapes

        return Shapes(cast("CRM", self))

    @OnFirstUse
    def ungranted(self) -> Ungranted:
        """What plugins know that they may not read."""
        from .permissions.ungranted import Ungranted

        return Ungranted()

    @OnFirstUse
    def writer(self) -> Writers:
        """What writes rows and journal."""
        from .storage.writer import Writers

        return Writers(self.tables)

    @OnFirstUse
    def _mirror(self) -> Mirror:
        from .permissions.mirror import Mirror

        return Mirror(cast("CRM", self), self.directory)

    @OnFirstUse
    def rollups(self) -> Rollups:
        """The sums that are kept with every write."""
        from .storage.rollups import Rollups

        return Rollups(cast("CRM", self))

    # -- entities -----------------------------------------------------------------------------------------------------------------

    def table(self, entity: type[Entity]) -> Table:
        """Return the physical table, for the host's own SQL: joins, foreign keys. It is outside the lens."""
        return self.tables.entities[self.codec(entity).entity]

    def entity(self, name: str) -> type[Any]:
        """Return an entity by its name.

        Raises:
            Invalid: this CRM has none of that name.
        """
        found = self._entities.get(name) if isinstance(name, str) else None
        if found is None:
            raise Invalid("unknown_entity", given=str(name)[:60])
        return found

    def named_entity(self, name: str) -> type[Any] | None:
        """Return an entity by its name, or None where this CRM has none of it."""
        return self._entities.get(name)

    def codec(self, entity: type[Any]) -> Codec:
        """Return the generated functions of an entity.

        Raises:
            LoadError: no loaded plugin declares it.
        """
        try:
            return self._codecs[entity]
        except (KeyError, TypeError):
            check_entity(entity)
            raise LoadError("entity_not_loaded", entity=entity.__name__) from None

    def references(self, entity: type[Any]) -> Sequence[tuple[type[Any], FieldSpec]]:
        """Return the fields that point at an entity."""
        check_entity(entity)
        return self._references[entity]

    # -- the directory ------------------------------------------------------------------------------------------------------------

    def members(self, session: Scope) -> Members:
        """Return the users of a session's tenant, as the directory told of them at most a second ago."""
        return self._mirror.members(session.actor.tenant, session._unit)

    def directory_changed(self, tenant: str) -> None:
        """Say that the directory's answer for a tenant changed; the next session asks again."""
        check_text(tenant)
        self._mirror.changed(tenant)

    # -- delivery -----------------------------------------------------------------------------------------------------------------

    @OnFirstUse
    def subscribers(self) -> Sequence[Subscriber]:
        """The plugins' functions that listen to events."""
        from .events.subscribers import subscribers

        return subscribers(self.registry.subscriptions, _synchronous)

    @OnFirstUse
    def delivery(self) -> Delivery:
        """The delivery of events: what is parked, and what to do with it."""
        from .deliveries import Host
        from .events.delivery import Delivery

        return Delivery(Host(cast("CRM", self)))

    @OnFirstUse
    def automation(self) -> Automation:
        """The tenants' rules: what runs them, and tries them on the past."""
        from .automation.engine import Automation

        return Automation(cast("CRM", self))

    @OnFirstUse
    def audit(self) -> Trail:
        """The seals of the journal: made, checkpointed and verified."""
        from .audit.checkpoints import Audit
        from .audit.trail import Trail

        return Trail(cast("CRM", self), self._audit or Audit())

    @OnFirstUse
    def jobs(self) -> Jobs:
        """The plugins' jobs: what is due, what ran, and how to run or cancel one."""
        from .jobs.engine import Jobs

        return Jobs(cast("CRM", self))

    @OnFirstUse
    def plugins(self) -> Plugins:
        """The plugins in the database: install, upgrade, disable, enable and uninstall them."""
        from .lifecycle import Plugins

        return Plugins(cast("CRM", self))

    def _register(self, connection: Connection) -> None:
        self.plugins.register(connection)
        self.delivery.register(connection)
        self.jobs.register(connection)

    def _codec(self, entity: type[Any]) -> Codec:
        from .entities.codec import Codec

        return Codec(entity, self.registry.extensions(entity), self.bound.kind, self.keys.unseal)

    def _referring(self, entity: type[Any]) -> Sequence[tuple[type[Any], FieldSpec]]:
        from .storage.links import referring

        return referring(cast("CRM", self), entity)

    def _watchdog(self, stuck_after: float | None) -> Watchdog | None:
        if stuck_after is None:
            return None
        from .hooks.watchdog import Watchdog

        return Watchdog(self.registry.contributions(), stuck_after)


def _synchronous(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return what delivery calls."""
    if not iscoroutinefunction(fn):
        return fn
    from .asession import synchronous

    return synchronous(fn)
