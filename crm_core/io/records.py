"""Records of one kind that a batch of rows speaks of: found by what names and keys they go by, changed or created."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from ..entities.columns import columns_of
from ..entities.fields import Ref
from ..entities.meta import logical_table, spec
from ..errors import Conflict, CRMError, Denied, Detail, Invalid, NotFound, Refused
from .lookup import Lookups
from .plan import Draft, Link, Plan
from .report import Outcome, Unknown

if TYPE_CHECKING:
    from ..session import Session

_OF_A_ROW = (Conflict, Denied, Invalid, NotFound, Refused)


@attrs.frozen
class _Found:
    """What the names of one link stand for in one batch."""

    known: dict[str, Any]
    failed: dict[str, CRMError]


@attrs.frozen
class _Change:
    """A draft that changes the record of its key."""

    draft: Draft
    ref: Ref[Any]
    changes: dict[str, Any]


class Records:
    """What one plan makes of a batch.

    Args:
        name: of the related record; empty for the rows' own.
        outcome: where it is counted.
        last: a row that names a record of its own kind that is not there does not wait for it any more.

    Attributes:
        kept: by draft, the record that it is now.
        failed: by draft, why it is none.
        waiting: drafts that name a record that may still come.
    """

    def __init__(self, session: Session, name: str, plan: Plan, lookups: Lookups, outcome: Outcome, *, last: bool) -> None:
        self.plan = plan
        self.kept: dict[Draft, Ref[Any]] = {}
        self.failed: dict[Draft, CRMError] = {}
        self.waiting: set[Draft] = set()
        self._session = session
        self._name = name
        self._lookups = lookups
        self._outcome = outcome
        self._last = last
        self._values: dict[Draft, dict[str, Any]] = {}
        self._changed: dict[str, list[_Change]] = {}

    def resolve(self, drafts: Sequence[Draft]) -> None:
        """Look up what drafts name."""
        found = {link.name: self._find(link, drafts) for link in self.plan.links}
        for draft in drafts:
            self._resolve(draft, found)

    def write(self, drafts: Sequence[Draft], joined: Mapping[Draft, Mapping[str, Ref[Any]]]) -> None:
        """Create what is new and change what differs.

        Args:
            joined: what the fields of drafts point at in the same row, by field.
        """
        for draft, refs in joined.items():
            self._values[draft] |= refs
        known = self._known(drafts)
        new: list[Draft] = []
        for draft in drafts:
            record = known.get(draft.key) if draft.key is not None else None
            if isinstance(record, Detail):
                self.failed[draft] = Invalid(details=[record])
            elif record is not None:
                self._compare(draft, record)
            elif lacking := self.plan.missing(self._values[draft]):
                self.failed[draft] = Invalid(details=lacking)
            else:
                new.append(draft)
        for group in self._changed.values():
            self._update(group)
        self._create(new)

    # -- what rows name -----------------------------------------------------------------------------------------------------------

    def _find(self, link: Link, drafts: Sequence[Draft]) -> _Found:
        wanted = {d.wanted[link.name] for d in drafts if link.name in d.wanted}
        found = _Found(dict(self._lookups.find(self._session, link, wanted)) if wanted else {}, {})
        if link.source.missing != "create" or link.target is None:
            return found
        missing = {d.wanted[link.name] for d in drafts if link.name in d.wanted and not d.errors} - found.known.keys()
        if missing:
            made, failed = self._lookups.create(self._session, link, sorted(missing))
            self._outcome.references[spec(link.target).name] += len(made)
            found.known.update(made)
            found.failed.update(failed)
        return found

    def _resolve(self, draft: Draft, found: Mapping[str, _Found]) -> None:
        """Put in what a draft's names stand for, or say that it fails or has to wait."""
        values = dict(draft.values)
        wrong, waits = list(draft.errors), False
        for link in self.plan.links:
            name = draft.wanted.get(link.name)
            if name is None:
                continue
            known = found[link.name].known.get(name)
            if known is None and self._may_come(link):
                waits = True
            elif known is None:
                wrong += self._unknown(link, name, found[link.name].failed.get(name))
            elif isinstance(known, Detail):
                wrong.append(known)
            else:
                values[link.name] = known
        if wrong:
            self.failed[draft] = Invalid(details=wrong)
        elif waits:
            self.waiting.add(draft)
        self._values[draft] = values

    def _may_come(self, link: Link) -> bool:
        return link.target is self.plan.entity and not self._last and link.source.missing != "create"

    def _unknown(self, link: Link, name: str, failed: CRMError | None) -> list[Detail]:
        """Count an unknown name, and propose a known one."""
        entity = self.plan.codec.facts.name
        if failed is not None:
            return [attrs.evolve(d, entity=entity, field=link.name) for d in failed.details] or [
                Detail(entity, link.name, failed.code, "", failed.params)
            ]
        field = f"{self._name}.{link.name}" if self._name else link.name
        same = next((u for u in self._outcome.unknown if (u.field, u.value) == (field, name)), None)
        if same is None:
            same = Unknown(field, name, self._lookups.propose(self._session, link, name))
            self._outcome.unknown.append(same)
        same.rows += 1
        if link.source.missing == "empty":
            return []
        return [Detail(entity, link.name, "import_unknown", "", {"given": name[:80], "suggestion": same.proposal})]

    # -- records ------------------------------------------------------------------------------------------------------------------

    def _known(self, drafts: Sequence[Draft]) -> dict[Any, Any]:
        """Read the records of the rows' keys; several of one key are an error of the rows."""
        keys = sorted({d.key for d in drafts if d.key is not None})
        if not keys:
            return {}
        entity, name = self.plan.entity, self.plan.match
        codec = self.plan.codec
        [column] = columns_of(codec.fields[name], logical_table(entity))
        found: dict[Any, Any] = {}
        for record in self._session.query(entity).where(column.in_(keys)).all():
            key = codec.get(record, name)
            again = Detail(codec.facts.name, name, "import_ambiguous", "", {"given": str(key)[:80]})
            found[key] = again if key in found else record
        return found

    def _compare(self, draft: Draft, record: Any) -> None:
        """Put a draft whose record differs with those that change the same; nothing is written for one that does not."""
        changes = self.plan.changes(record, self._values[draft])
        if changes:
            self._changed.setdefault(repr(changes), []).append(_Change(draft, record.ref, changes))
        else:
            self._keep("unchanged", draft, record.ref)

    def _update(self, group: Sequence[_Change]) -> None:
        """Change what is changed alike in one go, or one by one where that fails."""
        entity = self.plan.entity
        if len(group) > 1:
            ids = logical_table(entity).c.id.in_([c.ref.id for c in group])
            try:
                self._session.update_where(self._session.query(entity).where(ids), group[0].changes)
            except _OF_A_ROW:
                for change in group:
                    self._update([change])
                return
        else:
            try:
                self._session.update(entity, group[0].ref, group[0].changes)
            except _OF_A_ROW as e:
                self.failed[group[0].draft] = e
                return
        for change in group:
            self._keep("updated", change.draft, change.ref)

    def _create(self, new: Sequence[Draft]) -> None:
        if not new:
            return
        result = self._session.create_many((self.plan.record(self._values[draft]) for draft in new), on_error="collect")
        self.failed |= {new[n]: error for n, error in result.failed}
        made = [draft for draft in new if draft not in self.failed]
        for draft, record in zip(made, result.ok, strict=True):
            self._keep("created", draft, record.ref)

    def _keep(self, how: str, draft: Draft, ref: Ref[Any]) -> None:
        """Count a record, and the references that it does without."""
        self.kept[draft] = ref
        self._outcome.count(self._name, self.plan.codec.facts.name, how)
        values, joins = self._values[draft], self.plan.joins
        links = (link.name for link in self.plan.links if link.target is not None)
        self._outcome.empty.update(f"{self._name}.{n}" if self._name else n for n in (*links, *joins) if n not in values)
