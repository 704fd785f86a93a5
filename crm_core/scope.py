"""Scope: who acts in a session, with which rights, in which transaction. The rooms below ask it; the verbs are ``Session``'s."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from .arguments import check_line
from .entities.entity import Entity
from .entities.meta import spec
from .errors import Denied, ReadOnly, Refused
from .hooks.dispatch import HookState
from .permissions.actor import Actor
from .permissions.denial import denied
from .permissions.to_python import holds
from .storage.door import typed_errors

if TYPE_CHECKING:
    from .crm import CRM
    from .custom_fields.defined import TenantFields
    from .entities.codec import Codec
    from .entities.custom import CustomSpec
    from .jobs.progress import Progress
    from .messages import Messages
    from .permissions.directory import User
    from .permissions.facts import SessionFacts
    from .permissions.policy import Policy
    from .permissions.roles import FieldLevel
    from .permissions.shape import Shape
    from .storage.unit import Lease, Unit
    from .storage.writer import Origin


P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")


class once(Generic[T]):  # noqa: N801  # used like property
    """A value computed at the first look. Before Python 3.12 ``cached_property`` holds one lock for all sessions while it computes,
    and what is computed here may wait for another session's transaction."""

    def __init__(self, fn: Callable[[Any], T]) -> None:
        self._fn = fn

    def __get__(self, instance: Any, owner: type[Any]) -> T:
        found = instance.__dict__[self._fn.__name__] = self._fn(instance)
        return found


@typed_errors
class Scope:
    """One actor in one transaction.

    Attributes:
        actor: who acts; all reads and writes are this actor's.
        crm: the CRM it belongs to.
        plugin: whose code runs, for the journal; empty in the host's own.
    """

    def __init__(
        self,
        crm: CRM,
        actor: Actor,
        lease: Lease,
        *,
        plugin: str = "",
        reason: str | None = None,
        request: str | None = None,
        chain: tuple[str, ...] = (),
        hooks: HookState | None = None,
    ) -> None:
        self.crm = crm
        self.actor = actor
        self._lease = lease
        self.plugin = plugin
        self.reason = reason
        self.request = request
        self.chain = chain
        self.hooks = hooks or HookState(crm.registry, actor.tenant)

    # -- who ----------------------------------------------------------------------------------------------------------------------

    @property
    def _unit(self) -> Unit:
        """The transaction.

        Raises:
            ReadOnly: ``session_closed``: the elevation that this session belongs to is over.
        """
        return self._lease.unit

    @once
    def policy(self) -> Policy:
        """What the actor's roles allow."""
        if self.actor.kind == "user":
            return self.crm.roles.policy(self)
        return self.crm.policies.resolve(self.actor, self.crm.tenants.without(self.actor))

    @once
    def shape(self) -> Shape:
        """The lens that fits the actor's rules."""
        return self.crm.shapes.of(self.policy)

    @once
    def facts(self) -> SessionFacts:
        """What rules need to know besides a record: the actor, the directory, related records, shares."""
        from .permissions.facts import SessionFacts

        return SessionFacts(self, self.crm.members(self))

    @property
    def people(self) -> Mapping[str, User]:
        """The users of the tenant by id, as the directory knows them; empty where the host gave no directory."""
        return self.crm.members(self).users

    @once
    def binds(self) -> dict[str, Any]:
        """The actor's values for the lens."""
        from .permissions.custom_sql import SEEN
        from .permissions.to_sql import binds

        self.crm.members(self)  # the directory's mirror is in place before a statement reads it
        custom = self.custom.seen(self.policy)
        return {**binds(self.actor), "crm_now": self.crm.runtime.clock.now(), SEEN: custom}

    @property
    def custom(self) -> TenantFields:
        """The custom fields of the tenant, as the transaction sees them."""
        unit = self._unit
        stamp = unit.epoch if unit.defines else -1
        known: tuple[int, TenantFields] | None = self.__dict__.get("_custom")
        if known is None or known[0] != stamp:
            if known is not None:
                self.__dict__.pop("binds", None)
            known = self.__dict__["_custom"] = (stamp, self.crm.custom_fields.of(self))
        return known[1]

    def codec(self, entity: type[Any]) -> Codec:
        """Return the functions of an entity, with the custom fields of the tenant."""
        return self.custom.codec(entity)

    def readable_custom(self, entity: type[Any]) -> Mapping[str, CustomSpec]:
        """Return the custom fields of an entity that the actor may read, as ``custom.<name>``."""
        return self.custom.readable(self.policy, entity)

    def levels(self, entity: type[Any]) -> dict[str, FieldLevel]:
        """Return the levels of an entity's fields that are not simply writable for the actor, custom ones among them."""
        return self.custom.levels(self.policy, entity)

    @property
    def messages(self) -> Messages:
        """The catalogues of this CRM."""
        return self.crm.messages

    def derive(self, *, actor: Actor | None = None, plugin: str = "", reason: str | None = None, lease: Lease | None = None) -> Self:
        """Return a session in the same transaction for another actor or plugin; it ends with *lease*, else with this one."""
        return type(self)(
            self.crm, actor or self.actor, lease or self._lease, plugin=plugin or self.plugin, reason=reason or self.reason,
            request=self.request, chain=self.chain, hooks=self.hooks,
        )  # fmt: skip

    def origin(self) -> Origin:
        """Say who writes, for the journal."""
        from .storage.writer import Origin

        behalf = self.actor.on_behalf_of
        running = self.hooks.running
        return Origin(
            tenant=self.actor.tenant,
            at=self.crm.runtime.clock.now(),
            actor=self.actor.id,
            on_behalf_of=behalf.id if behalf else None,
            plugin=running.plugin if running else self.plugin,
            reason=self.reason,
            request=self.request,
            chain=self.chain,
        )

    def port(self, port: Callable[..., P]) -> P:
        """Return the host's implementation of a port, for the running plugin in this tenant; see :mod:`crm_core.ports`.

        Raises:
            Denied: ``port_undeclared``: no plugin's code is running, or its plugin did not say that it needs the port.
        """
        running = self.hooks.running
        found: P = self.crm.ports.of(port, self.actor.tenant, running.plugin if running else self.plugin)
        return found

    def elevated(self, reason: str) -> AbstractContextManager[Self]:
        """Open a session with the grants that the running plugin declares, to see or change more than the actor may.

        The journal keeps the reason. What it returns goes to the caller through :meth:`seen`.

        Raises:
            Denied: no plugin's code is running.
            Invalid: *reason* is no printable text of at most 255 characters.
        """
        check_line(reason=reason)
        running = self.hooks.running
        plugin = running.plugin if running else self.plugin
        if not plugin:
            raise Denied("elevated_outside_plugin", reason=reason)
        return self._elevate(plugin, reason)

    @contextmanager
    def _elevate(self, plugin: str, reason: str) -> Iterator[Self]:
        if not self._unit.write:
            raise ReadOnly("elevated_needs_write", plugin=plugin)
        service = Actor.service(plugin, tenant=self.actor.tenant, on_behalf_of=self.actor)
        with self._lease.inner() as lease:
            inner = self.derive(actor=service, plugin=plugin, reason=reason, lease=lease)
            inner.note("core.elevated.v1", {"plugin": plugin, "reason": reason})
            yield inner

    @contextmanager
    def _elevated_core(self, reason: str) -> Iterator[Self]:
        """Open a session with full rights in the tenant for the core's own cascades."""
        with self._lease.inner() as lease:
            yield self.derive(actor=Actor.system("core", tenant=self.actor.tenant, on_behalf_of=self.actor), reason=reason, lease=lease)

    # -- permissions --------------------------------------------------------------------------------------------------------------

    def permitted(self, action: str, record: Entity) -> bool:
        """Evaluate the rule of an action on the values of a record at hand."""
        codec = self.codec(type(record))
        rule = self.policy.rule(action, type(record))
        return self.policy.is_everything(rule) or holds(rule, codec.values(record), self.facts)

    def foresee(self, records: Sequence[Entity], *actions: str) -> None:
        """Read at once what the rules of *actions* will ask about records of one entity."""
        if records:
            self.facts.foresee([self.policy.rule(action, type(records[0])) for action in actions], records)

    def permitted_stored(self, action: str, record: Entity) -> bool:
        """Evaluate the rule of an action on a living record as it is stored, whatever the caller's copy says.

        Of a record that the actor may not read nothing is allowed, as of one that is not there.
        """
        values = self.facts.related(spec(type(record)).name, record.id)
        return values is not None and all(holds(self.policy.rule(a, type(record)), values, self.facts) for a in ("read", action))

    def permitted_among(self, action: str, records: Sequence[Entity]) -> list[Entity]:
        """Return those of some stored records of one entity that the actor may do *action* to."""
        if not records:
            return []
        entity = type(records[0])
        rule = self.policy.rule(action, entity)
        if self.policy.is_everything(rule):
            return list(records)
        stored = self.facts.stored(rule, spec(entity).name, [record.id for record in records])
        return [record for record in records if record.id in stored and holds(rule, stored[record.id], self.facts)]

    def check_action(self, permission: str, record: Entity | None) -> Denied | None:
        """Say why the actor may not use an action, or None where they may."""
        if record is None:
            return None if self.policy.permits(permission) else denied(self, permission)
        if self.policy.permits_alone(permission) or self.permitted_stored(permission, record):
            return None
        return denied(self, permission, spec(type(record)).name)

    def _denied(self, call: str, *, action: str, entity: str) -> Denied:
        """Make the error of a denied call that is no method of a session, and note it."""
        error = Denied(action=action, entity=entity)
        self._unit.denials.note(self, error, call)
        return error

    def note(self, kind: str, payload: Mapping[str, Any], *, entity: str = "core", record: str | None = None) -> None:
        """Append a row of the core's own to the journal: an elevation, a share, an export."""
        from .storage.writer import JournalRow

        with self._unit.atomic() as connection:
            event_id = self.crm.runtime.ids.new()
            row = JournalRow(entity, record or event_id, 0, kind, {"id": event_id, **payload})
            self.crm.writer(connection).journal(connection, self.origin(), [row])

    @property
    def job(self) -> Progress:
        """The run of the job that works in this session: its progress, its checkpoint.

        Raises:
            Refused: ``no_job``: none does.
        """
        if self._unit.job is None:
            raise Refused("no_job")
        return self._unit.job

    # -- idempotency --------------------------------------------------------------------------------------------------------------

    def _keyed(self, name: str, given: Any, work: Callable[[], R], *, returns: Any = None) -> R:
        keyed = self._unit.keyed
        return work() if keyed is None else keyed.call(name, given, work, returns=returns)
