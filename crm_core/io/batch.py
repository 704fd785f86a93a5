"""One batch of rows: what they name is looked up, what is known is changed, what is new is created; by the session's verbs alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs

from ..entities.columns import columns_of
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
    """A row that changes the record of its key."""

    draft: Draft
    id: str
    changes: dict[str, Any]
    values: dict[str, Any]


class Batch:
    """Some rows, written in one session.

    Args:
        last: a row that names a record of its own kind that is not there does not wait for it any more.
    """

    def __init__(self, session: Session, plan: Plan, lookups: Lookups, *, last: bool) -> None:
        self._session = session
        self._plan = plan
        self._lookups = lookups
        self._last = last
        self._outcome = Outcome()
        self._changed: dict[str, list[_Change]] = {}

    def write(self, drafts: Sequence[Draft]) -> Outcome:
        """Create what is new, change what differs, and say what became of each row."""
        found = {link.name: self._find(link, drafts) for link in self._plan.links}
        good = [(draft, values) for draft in drafts if (values := self._resolved(draft, found)) is not None]
        known = self._known([draft for draft, _ in good])
        new: list[tuple[Draft, dict[str, Any]]] = []
        for draft, values in good:
            record = known.get(draft.key) if draft.key is not None else None
            if isinstance(record, Detail):
                self._fail(draft, Invalid(details=[record]))
            elif record is not None:
                self._compare(draft, record, values)
            elif lacking := self._plan.missing(values):
                self._fail(draft, Invalid(details=lacking))
            else:
                new.append((draft, values))
        for group in self._changed.values():
            self._update(group)
        self._create(new)
        return self._outcome

    def _fail(self, draft: Draft, error: CRMError) -> None:
        self._outcome.failed.append((draft.row, error))

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

    def _resolved(self, draft: Draft, found: dict[str, _Found]) -> dict[str, Any] | None:
        """Return a row's values with what its names stand for; None where the row fails or has to wait."""
        values = dict(draft.values)
        wrong, waits = list(draft.errors), False
        for link in self._plan.links:
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
            self._fail(draft, Invalid(details=wrong))
        elif waits:
            self._outcome.later.append(draft)
        return None if wrong or waits else values

    def _may_come(self, link: Link) -> bool:
        return link.target is self._plan.entity and not self._last and link.source.missing != "create"

    def _unknown(self, link: Link, name: str, failed: CRMError | None) -> list[Detail]:
        """Count an unknown name, and propose a known one."""
        entity = self._plan.codec.facts.name
        if failed is not None:
            return [attrs.evolve(d, entity=entity, field=link.name) for d in failed.details] or [
                Detail(entity, link.name, failed.code, "", failed.params)
            ]
        same = next((u for u in self._outcome.unknown if (u.field, u.value) == (link.name, name)), None)
        if same is None:
            same = Unknown(link.name, name, self._lookups.propose(self._session, link, name))
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
        entity, name = self._plan.entity, self._plan.match
        codec = self._plan.codec
        [column] = columns_of(codec.fields[name], logical_table(entity))
        found: dict[Any, Any] = {}
        for record in self._session.query(entity).where(column.in_(keys)).all():
            key = codec.get(record, name)
            again = Detail(codec.facts.name, name, "import_ambiguous", "", {"given": str(key)[:80]})
            found[key] = again if key in found else record
        return found

    def _compare(self, draft: Draft, record: Any, values: dict[str, Any]) -> None:
        """Put a row whose record differs with those that change the same; nothing is written for one that does not."""
        changes = self._plan.changes(record, values)
        if changes:
            self._changed.setdefault(repr(changes), []).append(_Change(draft, record.id, changes, values))
        else:
            self._outcome.unchanged += 1
            self._keep(values)

    def _update(self, group: Sequence[_Change]) -> None:
        """Change what is changed alike in one go, or one by one where that fails."""
        entity = self._plan.entity
        if len(group) > 1:
            ids = logical_table(entity).c.id.in_([c.id for c in group])
            try:
                self._session.update_where(self._session.query(entity).where(ids), group[0].changes)
            except _OF_A_ROW:
                for change in group:
                    self._update([change])
                return
        else:
            try:
                self._session.update(entity, group[0].id, group[0].changes)
            except _OF_A_ROW as e:
                self._fail(group[0].draft, e)
                return
        self._outcome.updated += len(group)
        for change in group:
            self._keep(change.values)

    def _create(self, new: Sequence[tuple[Draft, dict[str, Any]]]) -> None:
        if not new:
            return
        result = self._session.create_many((self._plan.record(values) for _, values in new), on_error="collect")
        failed = dict(result.failed)
        for n, (draft, values) in enumerate(new):
            if n in failed:
                self._fail(draft, failed[n])
            else:
                self._keep(values)
        self._outcome.created += len(result.ok)

    def _keep(self, values: dict[str, Any]) -> None:
        """Count the references that a kept record does without."""
        self._outcome.empty.update(link.name for link in self._plan.links if link.target is not None and link.name not in values)
