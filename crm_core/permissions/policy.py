"""A policy: what the roles of one actor give together.

An actor may do an action to a record of their tenant where **one** of their roles allows it (or the record is shared with them for
that action) and **every** restriction of their roles holds. What no role allows is denied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import attrs

from ..classes import define, frozen
from ..entities.custom_kind import PREFIX
from .off import NOTHING_OFF, Limits, Off, limited
from .predicates import Rule, Seen, Shared, all_of, any_of, everything, nothing
from .roles import ACTIONS, LEVELS, FieldLevel, entity_name

SHAREABLE: Final = tuple(action for action in ACTIONS if action != "create")


@frozen(eq=False)
class BoundGrant:
    """A grant whose rule was checked against its entity. ``actions`` None means all, also those plugins declare."""

    entity: str
    actions: frozenset[str] | None
    rule: Rule

    def covers(self, action: str, entity: str) -> bool:
        """Say whether this is about *action* on *entity*."""
        return self.entity == entity and (self.actions is None or action in self.actions)


@frozen(eq=False)
class BoundRole:
    """A role in one CRM: its rules checked, its entities by name, its fields by column."""

    name: str
    extends: tuple[str, ...] = ()
    grants: tuple[BoundGrant, ...] = ()
    restrictions: tuple[BoundGrant, ...] = ()
    levels: Mapping[str, Mapping[str, FieldLevel]] = attrs.field(factory=dict)
    permissions: frozenset[str] = frozenset()
    namespace: str = ""

    def allows(self, action: str, entity: str) -> bool:
        """Say whether the role allows *action* on some record of *entity*."""
        return any(g.covers(action, entity) for g in self.grants)

    def permits_alone(self, permission: str) -> bool:
        """Say whether the role allows *permission* about no record in particular, and so about every one."""
        return permission in self.permissions or bool(self.namespace and permission.startswith(self.namespace))

    def permits(self, permission: str) -> bool:
        """Say whether the role allows *permission*, on its own or on some entity."""
        return self.permits_alone(permission) or any(g.actions is not None and permission in g.actions for g in self.grants)


@define(eq=False)
class Policy:
    """What one set of roles gives. All actors with these roles share it, so it is the key of the lens's shapes.

    Attributes:
        roles: the roles, those they extend included.
        sees_all: the policy of a system actor: everything.
        off: plugins that do not work for the actor, whatever the roles say.
        limits: the most that is allowed with what those add to others' records.
        seen_with: of each entity whose rows are seen with what they point at, its fields that hold the id and name the entity.
    """

    roles: tuple[BoundRole, ...]
    sees_all: bool = False
    off: Off = NOTHING_OFF
    limits: Limits = attrs.field(factory=dict)
    seen_with: Mapping[str, tuple[str, str]] = attrs.field(factory=dict)
    _rules: dict[tuple[str, type[Any] | str], Rule] = attrs.field(factory=dict, init=False, repr=False)
    _levels: dict[type[Any] | str, dict[str, FieldLevel]] = attrs.field(factory=dict, init=False, repr=False)

    def rule(self, action: str, entity: type[Any] | str) -> Rule:
        """Return for which records of *entity* the action is allowed; ``nothing`` where no role allows it."""
        found = self._rules.get((action, entity))
        if found is None:
            found = self._rules[action, entity] = self._rule(action, entity_name(entity))
        return found

    def _rule(self, action: str, entity: str) -> Rule:
        if self.off and self.off.forbids(action, entity):
            return nothing
        if self.sees_all:
            return everything
        grants = [g.rule for role in self.roles for g in role.grants if g.covers(action, entity)]
        if not grants:
            return nothing
        allowed = any_of([*grants, Shared(action, entity)] if action in SHAREABLE else grants)
        restricted = [r.rule for role in self.roles for r in role.restrictions if r.covers(action, entity)]
        return all_of([allowed, *restricted, self.pointed(action, entity)])

    def pointed(self, action: str, entity: str) -> Rule:
        """Return what must hold of the record that one of *entity* points at: that it is seen, where the one is seen with the other."""
        if self.sees_all or action == "create" or entity not in self.seen_with:  # whoever creates must see it, too
            return everything
        readable = sorted({g.entity for role in self.roles for g in role.grants if g.covers("read", g.entity)} - self.seen_with.keys())
        return Seen(*self.seen_with[entity], tuple((name, self.rule("read", name)) for name in readable))

    @property
    def asked(self) -> Collection[tuple[str, type[Any] | str]]:
        """The actions, each with its entity, that somebody asked a rule for."""
        return self._rules.keys()

    def is_everything(self, rule: Rule) -> bool:
        """Say whether a rule holds for every record of the tenant."""
        return rule == everything

    def is_nothing(self, rule: Rule) -> bool:
        """Say whether a rule holds for no record."""
        return rule == nothing

    def fields(self, entity: type[Any] | str) -> dict[str, FieldLevel]:
        """Return the levels of fields (by column) that are not simply writable.

        Of several roles the widest level counts, among those that allow reading the entity for reading, among those that allow
        creating (updating) it for writing: who reads everything through one role and may change one field through another, does just
        that. Where creating and updating differ, the narrower counts.
        """
        found = self._levels.get(entity)
        if found is None:
            name = entity_name(entity)
            reading = self._widest("read", name)
            writing = [self._widest(a, name) for a in ("create", "update") if any(r.allows(a, name) for r in self.roles)]
            listed = sorted({c for role in self.roles for c in role.levels.get(name, ()) if not c.startswith(PREFIX)})
            levels = {c: _narrowed(reading.get(c, "write"), [w.get(c, "write") for w in writing]) for c in listed}
            levels = limited(levels, self.limits.get(name, {}))
            found = self._levels[entity] = {c: level for c, level in levels.items() if level != "write"}
        return found

    def custom_level(self, entity: type[Any] | str, column: str) -> FieldLevel:
        """Return the level of a field that a tenant defined, as ``fields`` those of the others."""
        name = entity_name(entity)
        writing = [self._widest(a, name) for a in ("create", "update") if any(r.allows(a, name) for r in self.roles)]
        return _narrowed(self._widest("read", name).get(column, "write"), [w.get(column, "write") for w in writing])

    def _widest(self, action: str, entity: str) -> dict[str, FieldLevel]:
        """Return per column the widest level of the roles that allow the action; missing is ``write``."""
        concerned = [role.levels.get(entity, {}) for role in self.roles if role.allows(action, entity)]
        columns = {c for levels in concerned for c in levels}
        return {c: max((levels.get(c, "write") for levels in concerned), key=LEVELS.__getitem__) for c in columns}

    def permits(self, permission: str) -> bool:
        """Say whether a permission that a plugin declares is given, on its own or on some entity."""
        return not self._is_off(permission) and (self.sees_all or any(role.permits(permission) for role in self.roles))

    def permits_alone(self, permission: str) -> bool:
        """Say whether a permission is given about no record in particular, and so about every one."""
        return not self._is_off(permission) and (self.sees_all or any(role.permits_alone(permission) for role in self.roles))

    def _is_off(self, permission: str) -> bool:
        return bool(self.off) and self.off.has(permission)


def _narrowed(reading: FieldLevel, writing: Iterable[FieldLevel]) -> FieldLevel:
    return "read" if reading == "write" and any(level != "write" for level in writing) else reading
