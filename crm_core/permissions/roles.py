"""Roles: what an actor who has one may do, to which records, and which fields they see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Self

from ..arguments import check
from ..classes import frozen
from ..entities.meta import spec
from ..errors import LoadError
from ..messages import closest
from .predicates import Rule, everything

FieldLevel = Literal["none", "masked", "read", "write"]
LEVELS: Final[Mapping[str, int]] = {"none": 0, "masked": 1, "read": 2, "write": 3}
ACTIONS: Final = ("read", "create", "update", "delete", "export", "assign")


@frozen(eq=False)
class Grant:
    """A widening: *actions* on the records of *entity* where *where* holds, seeing *fields* only at their levels."""

    entity: type[Any] | str
    actions: tuple[str, ...]
    where: Rule
    fields: Mapping[str, FieldLevel]


@frozen(eq=False)
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
