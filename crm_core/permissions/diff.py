"""What a change of roles does: who gains and who loses which records, fields and permissions, on the records as they stand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from ..entities.meta import spec
from ..errors import Invalid
from .policies import Policies
from .policy import Policy
from .predicates import Rule, all_of
from .role_codec import role_from_json, role_to_json
from .roles import ACTIONS, Role
from .to_sql import SqlEnv, to_sql

if TYPE_CHECKING:
    from ..crm import CRM
    from ..hooks.registry import Registry
    from ..session import Session
    from .actor import Actor

SHOWN_IDS = 1_000


@attrs.frozen
class RecordChange:
    """What one user gains and loses of one action on one entity.

    Attributes:
        gained, lost: how many of the records there are now; for ``create``, how many they could make alike.
        gained_ids, lost_ids: which, at most 1,000 of each, in order of ids.
    """

    user: str
    entity: str
    action: str
    gained: int
    lost: int
    gained_ids: tuple[str, ...] = ()
    lost_ids: tuple[str, ...] = ()


@attrs.frozen
class FieldChange:
    """How one user's level for one field changes: ``none``, ``masked``, ``read`` or ``write``."""

    user: str
    entity: str
    field: str
    old: str
    new: str


@attrs.frozen
class PermissionChange:
    """A permission about no record in particular that one user gains, or loses."""

    user: str
    permission: str
    gained: bool


@attrs.frozen
class PolicyDiff:
    """All that changes.

    Attributes:
        users: how many users were compared.
    """

    users: int
    records: tuple[RecordChange, ...]
    fields: tuple[FieldChange, ...]
    permissions: tuple[PermissionChange, ...]

    def __bool__(self) -> bool:
        return bool(self.records or self.fields or self.permissions)


@attrs.frozen
class _Declared:
    """What the plugins declare, but for their roles: those are among the roles compared."""

    registry: Registry
    roles: Sequence[Role] = ()

    @property
    def entities(self) -> Sequence[type[Any]]:
        return self.registry.entities

    def extensions(self, entity: type[Any]) -> Collection[type[Any]]:
        return self.registry.extensions(entity)

    def grants(self, plugin: str) -> Collection[str]:
        return self.registry.grants(plugin)


def diff(crm: CRM, old: Iterable[Role], new: Iterable[Role], *, tenant: str = "main", ids: bool = False) -> PolicyDiff:
    """Compare two sets of roles, plugins' included, for every user that the CRM's directory knows, with the tenant's own roles in both.

    Raises:
        Invalid: ``policy_no_directory``; ``policy_nobody``, the directory names no user of the tenant who has an actor.
        LoadError: a role does not fit this CRM's entities.
    """
    if crm.directory is None:
        raise Invalid("policy_no_directory")
    before, after = (Policies(_Declared(crm.registry), roles) for roles in (old, new))
    records: list[RecordChange] = []
    fields: list[FieldChange] = []
    permissions: list[PermissionChange] = []
    actors = [a for u in crm.directory.users(tenant) if (a := crm.directory.actor(tenant, u.id)) is not None]
    if not actors:
        raise Invalid("policy_nobody", tenant=tenant, known=[t.name for t in crm.tenants.list() if t.name != tenant])
    for policies in (before, after):
        policies.set_tenant_roles(tenant, _tenants_own(crm, tenant))
    for actor in sorted(actors, key=lambda a: a.id):
        one, two = before.resolve(actor), after.resolve(actor)
        with crm.session(actor, write=False) as session:
            for entity in crm.registry.entities:
                records += _records(session, entity, one, two, ids)
                fields += _fields(actor, entity, one, two)
        permissions += _permissions(actor, one, two)
    return PolicyDiff(len(actors), tuple(records), tuple(fields), tuple(permissions))


def snapshot(crm: CRM) -> list[dict[str, Any]]:
    """Return the roles of a CRM, plugins' included, as plain JSON: what :func:`from_snapshot` reads."""
    return [role_to_json(role) for role in crm.policies.roles]


def from_snapshot(data: Any) -> list[Role]:
    """Read roles that :func:`snapshot` returned.

    Raises:
        Invalid: ``role_json`` and what else can be wrong with a role.
    """
    if not isinstance(data, list):
        raise Invalid("role_json", where="roles", expected="a list of roles", given=type(data).__name__)
    return [role_from_json(item) for item in data]


def _tenants_own(crm: CRM, tenant: str) -> list[Role]:
    from sqlalchemy import select

    table = crm.tables.system.role
    with crm.bound.begin(write=False) as connection:
        return [role_from_json(d) for d in connection.execute(select(table.c.definition).where(table.c.tenant == tenant)).scalars()]


def _records(session: Session, entity: type[Any], one: Policy, two: Policy, ids: bool) -> Iterator[RecordChange]:
    name = spec(entity).name
    granted = {a for policy in (one, two) for role in policy.roles for g in (*role.grants, *role.restrictions) for a in g.actions or ()}
    for action in (*ACTIONS, *sorted(granted - set(ACTIONS))):
        old, new = one.rule(action, entity), two.rule(action, entity)
        if old == new:
            continue
        gained, lost = (_matching(session, entity, all_of([a, ~b]), ids) for a, b in ((new, old), (old, new)))
        if gained[0] or lost[0]:
            yield RecordChange(session.actor.id, name, action, gained[0], lost[0], gained[1], lost[1])


def _matching(session: Session, entity: type[Any], rule: Rule, ids: bool) -> tuple[int, tuple[str, ...]]:
    """Count the records for which a rule holds; whoever sees them."""
    from sqlalchemy import func, select

    crm, system = session.crm, session.crm.tables.system
    table = crm.tables.entities[entity]
    env = SqlEnv(table, crm.tables.named, system.member, system.team_member, system.share, "in")
    living = [table.c.tenant == session.actor.tenant, table.c.deleted_at.is_(None), to_sql(rule, env)]
    connection, binds = session._unit.connection, session.binds
    count = int(connection.execute(select(func.count()).select_from(table).where(*living), binds).scalar_one())
    if not (ids and count):
        return count, ()
    which = select(table.c.id).where(*living).order_by(table.c.id).limit(SHOWN_IDS)
    return count, tuple(connection.execute(which, binds).scalars())


def _fields(actor: Actor, entity: type[Any], one: Policy, two: Policy) -> Iterator[FieldChange]:
    """Compare the levels of fields, where the user reads or read any record of them."""
    if one.is_nothing(one.rule("read", entity)) or two.is_nothing(two.rule("read", entity)):
        return
    old, new = one.fields(entity), two.fields(entity)
    for field in sorted(old.keys() | new.keys()):
        levels = old.get(field, "write"), new.get(field, "write")
        if levels[0] != levels[1]:
            yield FieldChange(actor.id, spec(entity).name, field, *levels)


def _permissions(actor: Actor, one: Policy, two: Policy) -> Iterator[PermissionChange]:
    known = {p for policy in (one, two) for role in policy.roles for p in role.permissions}
    for permission in sorted(known):
        if one.permits_alone(permission) != two.permits_alone(permission):
            yield PermissionChange(actor.id, permission, two.permits_alone(permission))
