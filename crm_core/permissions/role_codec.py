"""Roles as plain JSON: what a tenant's administrators write, and what is compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import Invalid, LoadError
from .codec import from_json, to_json
from .predicates import Rule, everything
from .roles import Role, entity_name


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
