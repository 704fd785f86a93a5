"""Roles in safe mode, where no plugin is loaded: what cannot be checked allows nothing and narrows to nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import attrs

from ..errors import LoadError
from .predicates import nothing
from .roles import Grant, Restriction, Role, entity_name


def fitting(roles: Iterable[Role], entities: Collection[str], bind: Callable[[Role], object]) -> tuple[list[Role], frozenset[str]]:
    """Return the roles with what is left of them, and the names of those of which nothing may be left.

    A grant about an absent entity or field goes. A restriction that asks for an absent field shuts what it narrows. A role that builds
    on an absent one goes as a whole, since that one may have narrowed it.

    Args:
        roles: the host's.
        entities: the names of those that are there.
        bind: checks a role against them; raises LoadError.
    """
    left = {role.name: _reduced(role, entities, bind) for role in roles}
    gone: set[str] = set()
    while lost := {name for name, role in left.items() if name not in gone and not set(role.extends) <= left.keys() - gone}:
        gone |= lost
    return [role for name, role in left.items() if name not in gone], frozenset(gone)


def _reduced(role: Role, entities: Collection[str], bind: Callable[[Role], object]) -> Role:
    def fits(grant: Grant | None = None, restriction: Restriction | None = None) -> bool:
        trial = Role("trial")
        trial.grants += [grant] if grant else []
        trial.restrictions += [restriction] if restriction else []
        try:
            bind(trial)
        except LoadError:
            return False
        return True

    def known(grant: Grant) -> Grant:
        levels: dict[str, Any] = {n: v for n, v in grant.fields.items() if fits(attrs.evolve(grant, fields={n: v}))}
        return attrs.evolve(grant, fields=levels)

    left = Role(role.name, label=role.label, extends=role.extends)
    left.grants = [known(g) for g in role.grants if fits(attrs.evolve(g, fields={}))]
    narrowed = [r for r in role.restrictions if entity_name(r.entity) in entities]
    left.restrictions = [r if fits(restriction=r) else attrs.evolve(r, where=nothing) for r in narrowed]
    left.permissions = set(role.permissions)
    return left
