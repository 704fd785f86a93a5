"""Rooms: what a CRM is made of, wired together; each room has one role, and a module or package of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import NoneType
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Engine, Table

from .adoption import AdoptedTables
from .arguments import check, check_directory, check_entity, check_many, check_text
from .asession import synchronous
from .custom_fields.defined import CustomFields
from .entities.codec import Codec
from .entities.entity import Entity
from .entities.fields import FieldSpec
from .entities.meta import spec
from .errors import Invalid, LoadError
from .events.event import EventCodec
from .events.subscription import subscribers
from .hooks.health import QUARANTINE_AFTER
from .hooks.nesting import Sessions
from .hooks.plugin import Plugin
from .hooks.ports import Ports
from .hooks.registry import Registry
from .hooks.watchdog import Watchdog
from .lifespan import Lifespans
from .ondemand import OnDemand
from .permissions.actor import Directory
from .permissions.mirror import Mirror
from .permissions.policies import Policies
from .permissions.roles import Role
from .permissions.shape import Shapes
from .permissions.shares import Shares
from .permissions.ungranted import Ungranted
from .quarantine import Quarantine
from .runtime import Runtime
from .safe_mode import wanted
from .secrets import Resolver
from .storage.denials import DenialLog
from .storage.engine import open_engine
from .storage.keys.manager import Keys
from .storage.links import Links, referring
from .storage.migrations import Migrations
from .storage.rollups import Rollups
from .storage.tables import Tables
from .storage.writer import Writers
from .tenant_data import TenantRoles, TenantSettings
from .tenants import Declaring, Tenants

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .audit.checkpoints import Audit
    from .audit.trail import Trail
    from .automation.engine import Automation
    from .crm import CRM
    from .events.delivery import Delivery
    from .jobs.engine import Jobs
    from .lifecycle import Plugins
    from .permissions.members import Members
    from .scope import Scope
    from .storage.adopted import Adopted
    from .storage.keys.provider import KeyProvider


class Rooms:
    """The rooms of one CRM; the verbs, and what the arguments mean, are :class:`CRM`'s."""

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
        crm = cast("CRM", self)
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
        self.adoption = AdoptedTables(crm)
        self.keys = Keys(crm, keys)
        self.messages = self.registry.messages
        self.events = EventCodec(entities, self.registry.events.values(), self.registry.extensions)
        self.subscribers = subscribers(self.registry.subscriptions, synchronous)
        self.policies = Policies(self.registry, roles, safe=self.safe_mode)
        self.ungranted = Ungranted()
        self.policies.check_grants(plugin.name for plugin in self.registry.plugins)
        self.policies.check_permits(() if self.safe_mode else roles, self.registry.permissions)
        self.migrations = Migrations(self.bound, self.tables, self.registry, self._register)
        self.tenants = Tenants(crm, tenants)
        self.secrets = secrets
        self.quarantine = Quarantine(crm)
        self.watchdog = None if stuck_after is None else Watchdog(self.registry.contributions(), stuck_after)
        self._audit = audit
        self.sessions = Sessions()
        self.links = Links()
        self.shares = Shares()
        self.denials = DenialLog(crm)
        self.roles = TenantRoles(crm)
        self.settings = TenantSettings(crm)
        self.custom_fields = CustomFields(crm)
        self.directory = directory
        self._mirror = Mirror(crm, directory)
        self.ports = Ports(self.registry, ports)
        self.lifespans = Lifespans(crm)
        self._codecs = OnDemand(entities, lambda e: Codec(e, self.registry.extensions(e), self.bound.kind, self.keys.unseal))
        self._references = OnDemand(entities, lambda e: referring(crm, e))
        self.shapes = Shapes(crm)
        self.writer = Writers(self.tables)

    @property
    def url(self) -> str:
        """The database's URL, password included, to open another CRM on it."""
        return self.bound.url.render_as_string(hide_password=False)

    @cached_property
    def rollups(self) -> Rollups:
        """The sums that are kept with every write."""
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

    @cached_property
    def delivery(self) -> Delivery:
        """The delivery of events: what is parked, and what to do with it."""
        from .deliveries import Host
        from .events.delivery import Delivery

        return Delivery(Host(cast("CRM", self)))

    @cached_property
    def automation(self) -> Automation:
        """The tenants' rules: what runs them, and tries them on the past."""
        from .automation.engine import Automation

        return Automation(cast("CRM", self))

    @cached_property
    def audit(self) -> Trail:
        """The seals of the journal: made, checkpointed and verified."""
        from .audit.checkpoints import Audit
        from .audit.trail import Trail

        return Trail(cast("CRM", self), self._audit or Audit())

    @cached_property
    def jobs(self) -> Jobs:
        """The plugins' jobs: what is due, what ran, and how to run or cancel one."""
        from .jobs.engine import Jobs

        return Jobs(cast("CRM", self))

    @cached_property
    def plugins(self) -> Plugins:
        """The plugins in the database: install, upgrade, disable, enable and uninstall them."""
        from .lifecycle import Plugins

        return Plugins(cast("CRM", self))

    def _register(self, connection: Connection) -> None:
        self.plugins.register(connection)
        self.delivery.register(connection)
        self.jobs.register(connection)
