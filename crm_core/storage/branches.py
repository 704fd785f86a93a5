"""A plugin's branch of the schema's history: its revisions, and where a database is among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .revisions.history import Revision, frozen, order
from .revisions.steps import Step, declared, digest
from .tables import Tables

if TYPE_CHECKING:
    from ..hooks.plugin import Plugin


HEADS = "heads"


class Branch:
    """The revisions of one plugin: those it froze, or, before it froze any, what it declares today."""

    def __init__(self, plugin: Plugin, tables: Tables) -> None:
        self.name = plugin.name
        self.requires = set(plugin.requires) | ({"core"} - {plugin.name})
        self.revisions = frozen(plugin.package) if plugin.package else []
        self.frozen = bool(self.revisions)
        if not self.frozen:
            steps = declared(tables, plugin.name)
            self.revisions = [Revision(digest(steps), steps)]

    def position(self, revision: str | None) -> int | None:
        """Return how many revisions a database at *revision* has; None where this code does not know it.

        A database made from the declared schema is where the frozen revision of the same content is.
        """
        if revision is None:
            return 0
        steps: list[Step] = []
        for number, known in enumerate(self.revisions, 1):
            steps += known.steps
            if revision in (known.id, digest(steps)):
                return number
        return 0 if not self.frozen and revision.startswith("declared.") else None

    def target(self, to: str | Mapping[str, str]) -> int:
        """Return how many revisions *to* stands for; a branch without frozen ones knows only its head.

        Args:
            to: a revision, or where each plugin is to be; none of those that it does not name.
        """
        if not isinstance(to, str):
            return self.position(to.get(self.name)) or 0
        if to == HEADS or not self.frozen:
            return len(self.revisions)
        return sum(r.order <= order(to) for r in self.revisions)
