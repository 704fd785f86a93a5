"""Roles that extend others: whom they take along, and circles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..errors import CRMError
from ..messages import closest

if TYPE_CHECKING:
    from .policy import BoundRole


def extended(names: Iterable[str], roles: Mapping[str, BoundRole]) -> frozenset[str]:
    """Return roles with all that they extend."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(above for above in roles[name].extends if above in roles)
    return frozenset(found)


def check_extends(new: Mapping[str, BoundRole], roles: Mapping[str, BoundRole], error: type[CRMError]) -> None:
    """Refuse roles that extend unknown ones, or each other in a circle.

    Raises:
        CRMError: ``role_unknown``, ``role_circle``; of the class *error*.
    """
    for role in new.values():
        for name in role.extends:
            if name not in roles:
                raise error("role_unknown", role=role.name, extends=name[:60], suggestion=closest(name, roles))
    for role in new.values():
        path = _circle(role.name, roles, [])
        if path:
            raise error("role_circle", chain=" -> ".join(path))


def _circle(name: str, roles: Mapping[str, BoundRole], path: list[str]) -> list[str]:
    if name in path:
        return [*path[path.index(name) :], name]
    for above in roles[name].extends:
        found = _circle(above, roles, [*path, name])
        if found:
            return found
    return []
