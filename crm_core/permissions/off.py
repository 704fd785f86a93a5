"""Off: the plugins that do not work for an actor, and what is left of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from .roles import LEVELS, FieldLevel


class Off(NamedTuple):
    """The plugins that do not work for an actor.

    Attributes:
        gone: those that are off in its tenant: nothing of theirs exists there, the fields that they add to others' records included.
        disabled: those that are off everywhere, since they do harm or are uninstalled: what they keep is read, and nobody changes it.
    """

    gone: frozenset[str] = frozenset()
    disabled: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.gone or self.disabled)

    def forbids(self, action: str, entity: str) -> bool:
        """Say whether an action on an entity's records is out of the question."""
        owner = entity.rpartition(".")[0]
        return owner in self.gone or (owner in self.disabled and action in _CHANGING) or self.has(action)

    def has(self, permission: str) -> bool:
        """Say whether a permission is one that a plugin asks for which is gone."""
        return any(permission.startswith(f"{plugin}.") for plugin in self.gone)

    def level(self, plugin: str) -> FieldLevel:
        """Return the most that is allowed with fields of a plugin."""
        return "none" if plugin in self.gone else "read" if plugin in self.disabled else "write"


Limits = Mapping[str, Mapping[str, FieldLevel]]
"""By entity and column, the most that is allowed with fields of plugins that are off."""

NOTHING_OFF: Final = Off()
_CHANGING = frozenset({"create", "update", "delete", "assign"})


def limited(levels: Mapping[str, FieldLevel], limits: Mapping[str, FieldLevel]) -> dict[str, FieldLevel]:
    """Return the levels of fields, none above its limit."""
    narrowed = {column: min(levels.get(column, "write"), most, key=LEVELS.__getitem__) for column, most in limits.items()}
    return {**levels, **narrowed}
