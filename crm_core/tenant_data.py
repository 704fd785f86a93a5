"""What a tenant keeps as data beside its records: roles and plugin settings. Every change is journalled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sqlalchemy import delete, insert, select, update

from .errors import Denied, Invalid, LoadError
from .permissions.role_codec import role_from_json, role_to_json
from .permissions.roles import Role
from .secrets import OF_THE_HOST, secrets_in
from .settings import dump, load

if TYPE_CHECKING:
    from .crm import CRM
    from .permissions.policy import Policy
    from .scope import Scope

S = TypeVar("S")
FRESH_SECONDS = 1.0


class TenantRoles:
    """The roles that tenants define for themselves. Another process sees a change within a second."""

    def __init__(self, crm: CRM) -> None:
        self._crm = crm
        self._known: dict[str, tuple[float, dict[str, Any]]] = {}
        self._in_force: dict[str, dict[str, Any]] = {}
        self._lock = Lock()

    def policy(self, session: Scope) -> Policy:
        """Return what a session's actor may do by the tenant's roles, as its transaction sees them."""
        tenant, found = session.actor.tenant, self._current(session)
        with self._lock:
            if found != self._in_force.get(tenant, {}):
                self._crm.policies.set_tenant_roles(tenant, [role_from_json(d) for d in found.values()])
                self._in_force[tenant] = found
            return self._crm.policies.resolve(session.actor, self._crm.tenants.without(session.actor))

    def _current(self, session: Scope) -> dict[str, Any]:
        """Return the tenant's roles, read again where the last look is older than a second."""
        tenant = session.actor.tenant
        now = self._crm.runtime.clock.monotonic()
        known = self._known.get(tenant)
        if known is not None and now - known[0] < FRESH_SECONDS:
            return known[1]
        table = self._crm.tables.system.role
        rows = session._unit.connection.execute(select(table.c.name, table.c.definition).where(table.c.tenant == tenant))
        found: dict[str, Any] = {row.name: row.definition for row in rows}
        # What a transaction wrote and may yet undo is its own sessions' alone.
        uncertain = session._unit.joined or session._unit.wrote
        if not uncertain or found == (known[1] if known else {}):
            self._known[tenant] = (now, found)
        return found

    def put(self, session: Scope, role: Role) -> None:
        """Define a role in the session's tenant, or define it anew.

        Raises:
            Denied: the actor lacks the permission ``core.roles``.
            Invalid: it names an unknown entity, field or role, or has the name of a role in code.
        """
        _need(session, "core.roles")
        definition = role_to_json(role)
        table, tenant = self._crm.tables.system.role, session.actor.tenant
        with session._unit.atomic() as connection:
            rows = connection.execute(select(table.c.name, table.c.definition).where(table.c.tenant == tenant))
            old = {row.name: row.definition for row in rows}
            roles = old | {role.name: definition}
            self._crm.policies.check_tenant_roles([role_from_json(d) for d in roles.values()])
            self._crm.policies.check_permits([role], self._crm.registry.permissions, Invalid)
            _write(session, table, {"name": role.name}, {"definition": definition})
            before = {"before": known} if (known := old.get(role.name)) else {}
            session.note("core.role_defined.v1", {"role": definition, **before})
        self._forget(session)

    def remove(self, session: Scope, name: str) -> None:
        """Take a role of the tenant away; who had it loses its rights."""
        _need(session, "core.roles")
        table = self._crm.tables.system.role
        mine = (table.c.tenant == session.actor.tenant, table.c.name == name)
        with session._unit.atomic() as connection:
            before = connection.execute(select(table.c.definition).where(*mine).with_for_update()).scalar()
            if before is not None:
                connection.execute(delete(table).where(*mine))
                session.note("core.role_removed.v1", {"role": name, "before": before})
        self._forget(session)

    def _forget(self, session: Scope) -> None:
        tenant = session.actor.tenant
        if tenant in self._known:
            self._known[tenant] = (float("-inf"), self._known[tenant][1])


class TenantSettings:
    """The settings that tenants changed, over what the host configured, over the plugins' defaults."""

    def __init__(self, crm: CRM) -> None:
        self._crm = crm

    def get(self, session: Scope, cls: type[S]) -> S:
        """Return a plugin's settings in the session's tenant.

        Raises:
            LoadError: no loaded plugin has settings of this class.
            Invalid: what the tenant keeps does not fit the class any more; the error names the key.
        """
        default, owner = self._of(cls)
        table = self._crm.tables.system.setting
        statement = select(table.c.data).where(table.c.tenant == session.actor.tenant, table.c.plugin == owner)
        data = session._unit.connection.execute(statement).scalar()
        return load(cls, {**dump(default), **data}) if data else cast("S", default)

    def change(self, session: Scope, cls: type[S], changes: Mapping[str, Any]) -> S:
        """Change some settings, given as plain JSON, and return all.

        Raises:
            Denied: the actor lacks the permission ``<plugin>.settings``; or (``secret_of_the_host``) is no system actor and refers to a
                secret by ``env:`` or ``file:``.
            Invalid: a key or value is wrong.
        """
        default, owner = self._of(cls)
        _need(session, f"{owner}.settings")
        table = self._crm.tables.system.setting
        with session._unit.atomic() as connection:
            statement = select(table.c.data).where(table.c.tenant == session.actor.tenant, table.c.plugin == owner)
            before = connection.execute(statement).scalar() or {}
            data = {**before, **changes}
            settings = load(cls, {**dump(default), **data})
            _check_secrets(session, {name: getattr(settings, name) for name in changes})
            changes = {name: dump(settings)[name] for name in changes}
            _write(session, table, {"plugin": owner}, {"data": {**before, **changes}})
            known = {**dump(default), **before}
            olds = {name: known.get(name) for name in changes}
            session.note("core.settings_changed.v1", {"plugin": owner, "changes": changes, "before": olds})
        return settings

    def reset(self, session: Scope, cls: type[S], names: Iterable[str]) -> S:
        """Take settings of the tenant away, so that the host's or the plugin's defaults count again, and return all.

        Raises:
            Denied: the actor lacks the permission ``<plugin>.settings``.
            Invalid: ``settings_invalid``: there is no such key.
        """
        default, owner = self._of(cls)
        _need(session, f"{owner}.settings")
        table = self._crm.tables.system.setting
        plain = dump(default)
        load(cls, {**plain, **{name: plain.get(name) for name in names}})
        with session._unit.atomic() as connection:
            statement = select(table.c.data).where(table.c.tenant == session.actor.tenant, table.c.plugin == owner)
            before = connection.execute(statement).scalar() or {}
            gone = {name: value for name, value in before.items() if name in set(names)}
            data = {name: value for name, value in before.items() if name not in gone}
            settings = load(cls, {**plain, **data})
            if gone:
                _write(session, table, {"plugin": owner}, {"data": data})
                session.note("core.settings_changed.v1", {"plugin": owner, "changes": {name: plain[name] for name in gone}, "before": gone})
        return settings

    def _of(self, cls: type[Any]) -> tuple[Any, str]:
        default, owner = self._crm.registry.settings.get(cls), self._crm.registry.owner(cls)
        if default is None or owner is None:
            raise LoadError("settings_not_loaded", settings=cls.__name__)
        return default, owner


def _check_secrets(session: Scope, changed: Mapping[str, Any]) -> None:
    """Refuse that a user points at the host's own variables and files, and has them sent wherever other settings say."""
    for name, value in changed.items():
        for secret in secrets_in(value):
            if secret.scheme in OF_THE_HOST and not session.actor.is_system:
                raise Denied("secret_of_the_host", key=name, scheme=secret.scheme)


def _need(session: Scope, permission: str) -> None:
    if not session.policy.permits(permission):
        raise Denied(action=permission, entity="")


def _write(session: Scope, table: Any, key: Mapping[str, str], values: Mapping[str, Any]) -> None:
    """Write one row of the tenant, new or again."""
    tenant = session.actor.tenant
    stamped = {**values, "at": session.crm.runtime.clock.now(), "actor": session.actor.id}
    mine = [table.c.tenant == tenant, *(table.c[n] == v for n, v in key.items())]
    connection = session._unit.connection
    if not connection.execute(update(table).where(*mine).values(**stamped)).rowcount:
        connection.execute(insert(table).values(tenant=tenant, **key, **stamped))
