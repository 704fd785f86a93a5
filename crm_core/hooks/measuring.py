"""What a plugin is measured by: the figures that it declares, what they are grouped by, and the sums that are kept of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..permissions.predicates import Rule, everything

if TYPE_CHECKING:
    from ..entities.entity import Entity
    from .definitions import Definitions
    from .measures import Better, Dimension, Facts, Figure, Measure, Rollup, Source


class Measuring:
    """The verbs of a plugin with which it declares figures."""

    name: str
    definitions: Definitions

    def measure(
        self,
        key: str,
        entity: type[Entity],
        *,
        label: str,
        formula: str,
        unit: str,
        of: Any = None,
        where: Rule = everything,
        at: str | None = None,
        weight: str | None = None,
        better: Better = "higher",
        absolute: bool = False,
    ) -> Measure:
        """Declare a figure that adds up over records of *entity*; the arguments are those of :class:`Measure`."""
        from .measures import Measure

        found = Measure(self.name, key, entity, label, formula, unit, of, where, at, weight, better, absolute)
        self.definitions.open.figures.append(found)
        return found

    def source(
        self, *, label: str, unit: str, dimensions: Mapping[str, str] | None = None, better: Better = "higher", at: str | None = None
    ) -> Callable[[Facts], Source]:
        """Make the decorated function, which yields facts, a measure; its docstring is the formula. See :class:`Source`."""

        from .measures import Source

        def declare(fn: Facts) -> Source:
            found = Source(self.name, fn, label, _first_line(fn), unit, dict(dimensions or {}), better, at)
            self.definitions.open.figures.append(found)
            return found

        return declare

    def dimension(self, key: str, entity: type[Entity], of: Any, *, label: str) -> Dimension:
        """Declare what records of *entity* can be grouped by: a field's name, or an expression of its columns."""
        from .measures import Dimension

        found = Dimension(self.name, key, entity, of, label)
        self.definitions.open.dimensions.append(found)
        return found

    def rollup(self, key: str, entity: type[Entity], *, by: Sequence[str], of: str | None = None) -> Rollup:
        """Keep sums of an entity's records with every write, for reports that ask by these fields; see :class:`Rollup`."""
        from .measures import Rollup

        found = Rollup(self.name, key, entity, tuple(by), of)
        self.definitions.open.rollups.append(found)
        return found

    def metric(
        self, *of: Measure | Source, label: str, unit: str, better: Better = "higher"
    ) -> Callable[[Callable[..., Figure]], Callable[..., Figure]]:
        """Make the decorated function of the measures *of* a figure of that name; its docstring is the formula. See :class:`Metric`."""

        from .measures import Metric

        def declare(fn: Callable[..., Figure]) -> Callable[..., Figure]:
            self.definitions.open.figures.append(Metric(self.name, fn, label, _first_line(fn), unit, of, better))
            return fn

        return declare


def _first_line(fn: Callable[..., Any]) -> str:
    return (fn.__doc__ or "").strip().partition("\n")[0]
