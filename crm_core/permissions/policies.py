"""The policies of one CRM: roles of code and of tenants checked against what is loaded, and put together for each actor once."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import attrs

from ..entities.custom_kind import PREFIX
from ..entities.meta import EntitySpec, extension_fields, spec
from ..errors import CRMError, Invalid, LoadError
from ..messages import closest
from ..ondemand import OnFirstUse
from .actor import Actor
from .binding import bind
from .extends import check_extends, extended
from .off import NOTHING_OFF, Limits, Off
from .policy import BoundGrant, BoundRole, Policy
from .predicates import Rule, everything, nothing
from .roles import ACTIONS, LEVELS, FieldLevel, Role, entity_name

_ALWAYS_READABLE: Final = frozenset({"id", "tenant", "version", "deleted_at"})
_MOST_CACHED: Final = 1000
_log = logging.getLogger(__name__)


class Declared(Protocol):
    """What the loaded plugins declare; ``hooks.registry.Registry`` is one."""

    @property
    def entities(self) -> Sequence[type[Any]]:
        """Every entity."""
        ...

    @property
    def roles(self) -> Sequence[Role]:
        """The roles that plugins bring."""
        ...

    def extensions(self, entity: type[Any]) -> Collection[type[Any]]:
        """Return the loaded extensions of an entity."""
        ...

    def grants(self, plugin: str) -> Collection[str]:
        """Return what a plugin's own code may do beside its entities: ``sales.opportunity:read,update``, ``sales.run_forecast``."""
        ...


class Policies:
    """The roles of one CRM, checked; makes and keeps the policies of its actors.

    Attributes:
        roles: as they were written, plugins' first; without those that tenants define.

    Raises:
        LoadError: ``role_taken``, ``role_unknown`` (in ``extends``), ``role_circle``, ``role_entity``, ``role_field``, ``role_masked``,
            ``bad_grant``, or what a rule raises.
    """

    def __init__(self, declared: Declared, roles: Iterable[Role] = (), *, safe: bool = False) -> None:
        self._declared = declared
        self._specs: dict[str, EntitySpec] = {spec(e).name: spec(e) for e in declared.entities}
        self._seen_with = {name: s.seen_with for name, s in self._specs.items() if s.seen_with is not None}
        self._safe = safe
        self._gone: frozenset[str] = frozenset()
        if safe:
            from .safe import fitting

            roles, self._gone = fitting(roles, self._specs, lambda role: self._bind(role, LoadError))
        self.roles = (*declared.roles, *roles)
        self._roles = self._bound(self.roles, {}, LoadError)
        self._tenants: dict[str, dict[str, BoundRole]] = {}
        self._cache: dict[tuple[str, frozenset[str]], Policy] = {}
        self._resolved: dict[tuple[str, frozenset[str]], Policy] = {}
        self._less: dict[tuple[Policy, Off], Policy] = {}
        self._warned: set[str] = set()

    @OnFirstUse
    def _system(self) -> Policy:
        return Policy((), sees_all=True)

    def resolve(self, actor: Actor, off: Off = NOTHING_OFF) -> Policy:
        """Return what an actor may do. Role names this CRM does not know give no rights, and are logged once.

        In safe mode who has a role that may be an absent plugin's has no rights at all: it may have narrowed the others.

        Args:
            off: the plugins that do not work for the actor.
        """
        policy = self._resolve(actor)
        if not off:
            return policy
        found = self._less.get((policy, off))
        if found is None:
            _make_room(self._less)
            found = self._less[policy, off] = attrs.evolve(policy, off=off, limits=self._limits(off))
        return found

    def _limits(self, off: Off) -> Limits:
        """Return the levels of the fields that plugins which are off add to others' records."""
        found: dict[str, dict[str, FieldLevel]] = {}
        for name, facts in self._specs.items():
            for extension in self._declared.extensions(facts.entity):
                level = off.level(extension.__crm_extends__[1])
                if level != "write":
                    found.setdefault(name, {}).update({f.column: level for f in extension_fields(extension).values()})
        return found

    def _resolve(self, actor: Actor) -> Policy:
        if actor.is_system:
            return self._system
        if actor.plugin:
            own = {name for name, found in self._specs.items() if found.plugin == actor.plugin}
            return self._kept(("plugin:", frozenset({actor.plugin})), lambda: (self._service(actor.plugin),), own)
        known = self._resolved.get((actor.tenant, actor.roles))
        return known or self._of_roles(actor.tenant, actor.roles)

    def _of_roles(self, tenant: str, roles: frozenset[str]) -> Policy:
        own = self._tenants.get(tenant, {})
        unknown = roles - self._roles.keys() - own.keys()
        for name in sorted(unknown - self._warned)[: _MOST_CACHED - len(self._warned)]:
            self._warned.add(name)
            _log.warning("no role is named %r: who has it, as in tenant %r, gets nothing by it", name, tenant)
        if self._safe and any("." in name or name in self._gone for name in unknown):
            return Policy(())
        names = extended(roles & (self._roles.keys() | own.keys()), {**self._roles, **own})
        found = self._kept(
            (tenant if names & own.keys() else "", names),
            lambda: tuple(own.get(n) or self._roles[n] for n in sorted(names)),
        )
        _make_room(self._resolved)
        self._resolved[tenant, roles] = found
        return found

    def names(self, tenant: str) -> Collection[str]:
        """Return the names of the roles that a tenant has: the host's, the plugins' and its own."""
        return {*self._roles, *self._tenants.get(tenant, ())}

    def check_grants(self, plugins: Iterable[str]) -> None:
        """Check what plugins declare that their own code may do.

        Raises:
            LoadError: ``bad_grant``, ``grant_unknown``.
        """
        for plugin in plugins:
            self._service(plugin)

    def check_permits(self, roles: Iterable[Role], known: Collection[str], error: type[CRMError] = LoadError) -> None:
        """Check that somebody declares what roles permit.

        Raises:
            LoadError: ``role_action``; for a tenant's role, Invalid.
        """
        for role in roles:
            for permission in sorted(role.permissions.difference(known)):
                raise error("role_action", role=role.name, action=permission[:120], suggestion=closest(permission, known))

    def check_tenant_roles(self, roles: Iterable[Role]) -> None:
        """Check what is to become a tenant's roles.

        Raises:
            Invalid: as the class raises LoadError.
        """
        self._bound(roles, self._roles, Invalid)

    def set_tenant_roles(self, tenant: str, roles: Iterable[Role]) -> list[Invalid]:
        """Put a tenant's roles, kept as data, in force in place of those it had; return what is wrong with them.

        A role that does not fit any more (a plugin or field is gone, a name was taken) fails closed: it allows nothing, and what it
        restricts is shut for those who have it. The tenant's other roles, and everybody else, go on.
        """
        problems: list[Invalid] = []
        bound: dict[str, BoundRole] = {}
        for role in roles:
            if role.name in self._roles:
                problems.append(Invalid("role_taken", role=role.name))
                continue
            try:
                bound[role.name] = self._bind(role, Invalid)
            except Invalid as e:
                problems.append(e)
                bound[role.name] = _shut(role)
        try:
            check_extends(bound, {**self._roles, **bound}, Invalid)
        except Invalid as e:
            problems.append(e)
        self._tenants[tenant] = bound
        for cache in (self._cache, self._resolved):
            for key in [k for k in cache if k[0] == tenant]:
                del cache[key]
        return problems

    def _kept(self, key: tuple[str, frozenset[str]], roles: Callable[[], tuple[BoundRole, ...]], keeps: Collection[str] = ()) -> Policy:
        """Return the policy of *key*, made of *roles* the first time; *keeps* are the entities whose rows its actor keeps, seen or not."""
        found = self._cache.get(key)
        if found is None:
            _make_room(self._cache)
            pointed = {name: fields for name, fields in self._seen_with.items() if name not in keeps}
            found = self._cache[key] = Policy(roles(), seen_with=pointed)
        return found

    # -- checking roles -----------------------------------------------------------------------------------------------------------

    def _bound(self, roles: Iterable[Role], known: Mapping[str, BoundRole], error: type[CRMError]) -> dict[str, BoundRole]:
        bound: dict[str, BoundRole] = {}
        for role in roles:
            if role.name in bound or role.name in known:
                raise error("role_taken", role=role.name)
            bound[role.name] = self._bind(role, error)
        check_extends(bound, {**known, **bound}, error)
        return bound

    def _bind(self, role: Role, error: type[CRMError]) -> BoundRole:
        def grant(entity: type[Any] | str, actions: Iterable[str], where: Rule) -> BoundGrant:
            found = self._entity(role.name, entity, error)
            rule = bind(where, found, error=error, extensions=self._declared.extensions)
            return BoundGrant(found.name, frozenset(actions), rule)

        return BoundRole(
            role.name,
            role.extends,
            tuple(grant(g.entity, g.actions, g.where) for g in role.grants),
            tuple(grant(r.entity, r.actions, r.where) for r in role.restrictions),
            self._field_levels(role, error),
            frozenset(role.permissions),
        )

    def _entity(self, role: str, entity: type[Any] | str, error: type[CRMError]) -> EntitySpec:
        name = entity_name(entity)
        found = self._specs.get(name)
        if found is None or (isinstance(entity, type) and found.entity is not entity):
            raise error("role_entity", role=role, entity=name[:60], suggestion=closest(name, self._specs))
        return found

    def _field_levels(self, role: Role, error: type[CRMError]) -> dict[str, dict[str, FieldLevel]]:
        levels: dict[str, dict[str, FieldLevel]] = {}
        for grant in role.grants:
            entity = self._entity(role.name, grant.entity, error)
            for name, level in grant.fields.items():
                if name.startswith(PREFIX):  # which a tenant has or has not
                    levels.setdefault(entity.name, {})[name] = level
                    continue
                field = entity.field(name, self._declared.extensions(entity.entity))
                if field is None or name in _ALWAYS_READABLE:
                    raise error("role_field", role=role.name, entity=entity.name, field=name[:60], suggestion=closest(name, entity.fields))
                if level == "masked" and field.kind not in ("str", "text"):
                    raise error("role_masked", role=role.name, entity=entity.name, field=name, kind=field.kind)
                own = levels.setdefault(entity.name, {})
                own[field.column] = min(own.get(field.column, level), level, key=LEVELS.__getitem__)
        return levels

    # -- plugins' own actors ------------------------------------------------------------------------------------------------------

    def _service(self, plugin: str) -> BoundRole:
        """Return the rights of a plugin's service actor: its own entities and permissions, and its declared grants."""
        own = [BoundGrant(name, None, everything) for name, found in self._specs.items() if found.plugin == plugin]
        for grant in self._declared.grants(plugin):
            if not re.fullmatch(r"[^\s:]+:[^:]+|[^\s:.]+(\.[^\s:.]+)+", grant):
                raise LoadError("bad_grant", plugin=plugin, grant=grant[:120])
        declared = [g for g in self._declared.grants(plugin) if ":" in g]
        others = frozenset(g for g in self._declared.grants(plugin) if ":" not in g)
        return BoundRole(
            f"plugin:{plugin}", grants=(*own, *(self._granted(plugin, g) for g in declared)), permissions=others, namespace=f"{plugin}."
        )

    def _granted(self, plugin: str, grant: str) -> BoundGrant:
        entity, _, actions = grant.partition(":")
        names = frozenset(a.strip() for a in actions.split(","))
        unknown = (
            [(entity, self._specs)] if entity not in self._specs else [(a, ACTIONS) for a in names if a not in ACTIONS and "." not in a]
        )
        for name, known in unknown:
            verbs: dict[str, Any] = {"actions": list(ACTIONS)} if known is ACTIONS else {}
            raise LoadError("grant_unknown", plugin=plugin, grant=grant[:120], unknown=name[:60], suggestion=closest(name, known), **verbs)
        return BoundGrant(entity, names, everything)


def _make_room(cache: dict[Any, Policy]) -> None:
    while len(cache) >= _MOST_CACHED:
        cache.pop(next(iter(cache)), None)


def _shut(role: Role) -> BoundRole:
    closed = (BoundGrant(entity_name(r.entity), frozenset(r.actions), nothing) for r in role.restrictions)
    return BoundRole(role.name, role.extends, restrictions=tuple(closed))
