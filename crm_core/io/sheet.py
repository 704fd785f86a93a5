"""What the rows of a file are: one record each, or several that belong together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

import attrs

from ..errors import Detail, Invalid
from .mapping import Mapping
from .plan import Draft, Plan, find_entity
from .readers import Row

if TYPE_CHECKING:
    from ..crm import CRM
    from ..custom_fields.defined import TenantFields
    from ..permissions.policy import Policy


class Sheet:
    """A mapping fitted to a file.

    Attributes:
        main: the plan of the record that each row is.
        related: by name, the plans of the records that rows carry beside it; what others point at comes first.
        unmapped: columns that nothing takes and nobody said to ignore.

    Raises:
        Invalid: ``import_bad_mapping``: the details name every column, field and option that does not fit.
    """

    def __init__(self, crm: CRM, policy: Policy, tenant: TenantFields, entity: type[Any], mapping: Mapping, columns: Sequence[str]) -> None:
        self.unmapped = [c for c in columns if c not in {*mapping.columns, *mapping.ignore}]
        self.related: dict[str, Plan] = {}
        wrong: list[Detail] = []
        entities = {name: find_entity(crm.tables.entities, part.entity) for name, part in mapping.records.items()}
        for name in _ordered(mapping):
            part = mapping.records[name]
            alone = attrs.evolve(mapping, entity=part.entity, fields=part.fields, key=part.key, match=part.match, records={})
            if not (part.key or part.match):
                wrong.append(Detail(part.entity, f"records.{name}", "import_related_key"))
            with _collecting(wrong, name):
                self.related[name] = Plan(crm, policy, tenant, entities[name], alone, columns, entities)
        own = attrs.evolve(mapping, records={})
        with _collecting(wrong, ""):
            self.main = Plan(crm, policy, tenant, entity, own, columns, entities)
        if wrong:
            reason = "; ".join(f"{d.field}: {d.message()}" for d in wrong[:5])
            raise Invalid("import_bad_mapping", path=mapping.path or mapping.entity, reason=reason, details=wrong)

    @property
    def plans(self) -> Iterator[tuple[str, Plan]]:
        """All plans in the order in which they are written; the rows' own has no name."""
        yield from self.related.items()
        yield "", self.main

    def draft(self, row: Row) -> Draft:
        """Read a row's cells."""
        found = self.main.draft(row)
        for name, plan in self.related.items():
            if not plan.absent(row):
                part = found.parts[name] = plan.draft(row)
                found.errors += [named(name, d) for d in part.errors]
        return found


class Shared:
    """What several rows say of their related records, brought together by the records' keys."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._known: dict[tuple[str, Any], Draft] = {}

    def agrees(self, row: Draft) -> bool:
        """Whether a row says nothing else of a record than the rows before it, and nothing that they failed for want of."""
        return all((known := self._known.get((n, part.key))) is None or self._same(n, known, row) for n, part in row.parts.items())

    def _same(self, name: str, known: Draft, row: Draft) -> bool:
        part = row.parts[name]
        joined = (to for to in self._sheet.related[name].joins.values() if to in known.parts and to in row.parts)
        same = all(known.parts[to].key == row.parts[to].key for to in joined)
        same = same and not self._sheet.related[name].completes(attrs.evolve(part, parts=row.parts), known)
        return same and _agree(known.values, part.values) and _agree(known.wanted, part.wanted)

    def add(self, row: Draft) -> dict[str, Draft]:
        """Take a row in, and return the drafts that its related records have in common with the rows before it."""
        found: dict[str, Draft] = {}
        for name, plan in self._sheet.related.items():
            part = row.parts.get(name)
            if part is None:
                continue
            known = self._known.setdefault((name, part.key), attrs.evolve(part, values={}, wanted={}, parts={}))
            known.values |= {n: v for n, v in part.values.items() if n not in known.values}
            known.wanted |= {n: v for n, v in part.wanted.items() if n not in known.wanted}
            known.parts |= {to: found[to] for to in plan.joins.values() if to in found and to not in known.parts}
            found[name] = known
        return found


class Gathering:
    """Rows that can be written together: no key comes twice, and what they say of one related record does not differ."""

    def __init__(self, sheet: Sheet, size: int) -> None:
        self._size = size
        self._keys: set[Any] = set()
        self._shared = Shared(sheet)
        self.drafts: list[Draft] = []

    def takes(self, draft: Draft) -> bool:
        """Add a row, or say that it has to wait for the next batch: of two rows of one key, the later one changes what the earlier made."""
        if len(self.drafts) == self._size or draft.key in self._keys:
            return False
        if draft.parts and not draft.errors:
            if not self._shared.agrees(draft):
                return False
            self._shared.add(draft)
        self.drafts.append(draft)
        if draft.key is not None:
            self._keys.add(draft.key)
        return True


def named(name: str, detail: Detail) -> Detail:
    """Say of which related record a detail speaks."""
    return attrs.evolve(detail, field=f"{name}.{detail.field}") if name else detail


def _agree(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[n] == other[n] for n in one.keys() & other.keys())


def _ordered(mapping: Mapping) -> list[str]:
    """Put related records behind those that they point at."""
    graph = {n: [s.record for s in part.fields.values() if s.record in mapping.records] for n, part in mapping.records.items()}
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as e:
        raise Invalid("import_circular", records=list(dict.fromkeys(e.args[1]))) from e


@contextmanager
def _collecting(wrong: list[Detail], name: str) -> Iterator[None]:
    """Keep what is wrong with one plan, so that all of it is said at once."""
    try:
        yield
    except Invalid as e:
        if not e.details:
            raise
        wrong += [named(f"records.{name}" if name else "", d) for d in e.details]
