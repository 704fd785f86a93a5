"""Roles: what an actor who has one may do, to which records, and which fields they see. In code, and as data per tenant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Self

import attrs

from ..arguments import check
from ..entities.meta import spec
from ..errors import Invalid, LoadError
from ..messages import closest
from .codec import from_json, to_json
from .predicates import Rule, everything

FieldLevel = Literal["none", "masked", "read", "write"]
LEVELS: Final[Mapping[str, int]] = {"none": 0, "masked": 1, "read": 2, "write": 3}
ACTIONS: Final = ("read", "create", "update", "delete", "export", "assign")


@attrs.frozen(eq=False)
class Grant:
    """A widening: *actions* on the records of *entity* where *where* holds, seeing *fields* only at their levels."""

    entity: type[Any] | str
    actions: tuple[str, ...]
    where: Rule
    fields: Mapping[str, FieldLevel]


@attrs.frozen(eq=False)
class Restriction:
    """A narrowing: *actions* on the records of *entity* only where *where* holds, whatever other roles allow."""

    entity: type[Any] | str
    actions: tuple[str, ...]
    where: Rule


class Role:
    """A named set of rights. A definition without state; two roles are never equal.

    Rights add up: an actor may do what one of their roles allows. Restrictions of any of their roles hold on top.
    ``extends`` names roles whose rights this one includes.

    Raises:
        LoadError: ``role_action`` or ``role_level``, an action or level that does not exist; ``role_name``, ``role_extends``.
    """

    def __init__(self, name: str, *, label: str = "", extends: Sequence[str] = ()) -> None:
        if not isinstance(name, str) or not 0 < len(name) <= 255 or not name.isprintable():
            raise LoadError("role_name", role=str(name)[:60])
        if isinstance(extends, str):
            raise LoadError("role_extends", role=name)
        self.name = name
        self.label = label or name
        self.extends = tuple(extends)
        self.grants: list[Grant] = []
        self.restrictions: list[Restriction] = []
        self.permissions: set[str] = set()

    def allow(
        self, entity: type[Any] | str, *actions: str, where: Rule = everything, fields: Mapping[str, FieldLevel] | None = None
    ) -> Self:
        """Allow *actions* on the records of *entity* where *where* holds.

        Actions are read, create, update, delete, export, assign, and the permissions that plugins declare (``acme.loyalty.redeem``).
        ``assign`` lets an update give a record away to an owner whose records the actor may not change. Fields not listed are writable
        where the action is allowed; the levels listed hold for the whole role, whichever grant lists them.
        """
        check(where, Rule, "a rule like owner, or F('owner') == '3'")
        self._check(actions, fields or {})
        self.grants.append(Grant(entity, tuple(actions), where, dict(fields or {})))
        return self

    def restrict(self, entity: type[Any] | str, *actions: str, where: Rule) -> Self:
        """Narrow *actions* on *entity* to the records where *where* holds, whatever this and other roles allow."""
        check(where, Rule, "a rule like owner, or F('owner') == '3'")
        self._check(actions, {})
        self.restrictions.append(Restriction(entity, tuple(actions), where))
        return self

    def permit(self, *permissions: str) -> Self:
        """Allow an action or another permission, whichever record it is about: ``sales.win``, ``sales.settings``."""
        for permission in permissions:
            if "." not in permission:
                raise LoadError("role_action", role=self.name, action=permission, suggestion="")
        self.permissions.update(permissions)
        return self

    def _check(self, actions: Iterable[str], fields: Mapping[str, str]) -> None:
        actions = list(actions)
        for action in actions or [""]:
            if action not in ACTIONS and not (isinstance(action, str) and "." in action):
                raise LoadError(
                    "role_action", role=self.name, action=str(action)[:60], suggestion=closest(action, ACTIONS), actions=list(ACTIONS)
                )
        for field, level in fields.items():
            if not isinstance(level, str) or level not in LEVELS:
                raise LoadError("role_level", role=self.name, field=field, level=str(level)[:60])

    def __repr__(self) -> str:
        return f"Role({self.name!r})"


def entity_name(entity: type[Any] | str) -> str:
    """Return the name of an entity, given by class or by name."""
    return entity if isinstance(entity, str) else spec(entity).name


def role_to_json(role: Role) -> dict[str, Any]:
    """Return a role as plain JSON, its entities by name."""
    return {
        "name": role.name,
        "label": role.label,
        "extends": list(role.extends),
        "allow": [
            {"entity": entity_name(g.entity), "actions": list(g.actions), "where": to_json(g.where), "fields": dict(g.fields)}
            for g in role.grants
        ],
        "restrict": [{"entity": entity_name(r.entity), "actions": list(r.actions), "where": to_json(r.where)} for r in role.restrictions],
        "permit": sorted(role.permissions),
    }


def role_from_json(data: Any) -> Role:
    """Read a role that a tenant's administrator wrote.

    Raises:
        Invalid: ``role_json`` says which key is wrong; else as :class:`Role` and ``from_json`` do.
    """
    known = {"name": str, "label": str, "extends": list, "allow": list, "restrict": list, "permit": list}
    given = _checked(data, known, required={"name"}, where="role")
    texts = [*given.get("extends", ()), *given.get("permit", ())]
    if not all(isinstance(t, str) for t in texts):
        raise Invalid("role_json", where="extends, permit", expected="lists of names", given="")
    try:
        role = Role(given["name"], label=given.get("label", ""), extends=given.get("extends", ()))
        role.permit(*given.get("permit", ()))
        for item in given.get("allow", ()):
            known = {"entity": str, "actions": list, "where": dict, "fields": dict}
            one = _checked(item, known, required={"entity", "actions"}, where="allow")
            role.allow(one["entity"], *one["actions"], where=_rule(one), fields=one.get("fields"))
        for item in given.get("restrict", ()):
            one = _checked(item, {"entity": str, "actions": list, "where": dict}, required={"entity", "actions", "where"}, where="restrict")
            role.restrict(one["entity"], *one["actions"], where=_rule(one))
    except LoadError as e:
        raise Invalid(e.code, **e.params) from None
    return role


def _rule(item: Mapping[str, Any]) -> Rule:
    return from_json(item["where"]) if "where" in item else everything


def _checked(data: Any, keys: Mapping[str, type], *, required: set[str], where: str) -> Mapping[str, Any]:
    good = isinstance(data, dict) and required <= data.keys() <= keys.keys() and all(isinstance(v, keys[k]) for k, v in data.items())
    if not good:
        given = ", ".join(str(k)[:60] for k in list(data)[:10]) if isinstance(data, dict) else type(data).__name__
        raise Invalid("role_json", where=where, expected=", ".join(f"{k} ({kind.__name__})" for k, kind in keys.items()), given=given)
    checked: Mapping[str, Any] = data
    return checked
