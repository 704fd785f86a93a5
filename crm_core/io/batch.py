"""One batch of rows, written in one session: each row's related records first, then its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from ..entities.fields import Ref
from ..errors import CRMError
from .lookup import Lookups
from .plan import Draft
from .records import Records
from .report import Outcome
from .sheet import Shared, Sheet, named

if TYPE_CHECKING:
    from ..session import Session


class _Undone(Exception):
    """A row failed after something that belongs to it was written."""


@attrs.frozen
class _Row:
    """A row with the drafts of its records, by the names of their plans."""

    draft: Draft
    parts: Mapping[str, Draft]


class Batch:
    """Some rows, written in one session.

    Args:
        last: a row that names a record of its own kind that is not there does not wait for it any more.
    """

    def __init__(self, session: Session, sheet: Sheet, lookups: Lookups, *, last: bool) -> None:
        self._session = session
        self._sheet = sheet
        self._lookups = lookups
        self._last = last

    def write(self, drafts: Sequence[Draft]) -> Outcome:
        """Create what is new, change what differs, and say what became of each row.

        A row with related records is written wholly or not at all: where one fails, all of them are undone and written in halves.
        """
        attempt = _Attempt(self._session, self._sheet, self._lookups, last=self._last)
        if not self._sheet.related:
            attempt.write(drafts)
            return attempt.outcome
        try:
            with self._session.savepoint():
                attempt.write(drafts)
                if attempt.spoilt:
                    raise _Undone
            return attempt.outcome
        except _Undone:
            if len(drafts) == 1:
                return Outcome(failed=attempt.outcome.failed, unknown=attempt.outcome.unknown)
        middle = len(drafts) // 2
        found = self.write(drafts[:middle])
        found.add(self.write(drafts[middle:]))
        return found


class _Attempt:
    """Rows on their way in.

    Attributes:
        spoilt: whether a row failed after something was written.
    """

    def __init__(self, session: Session, sheet: Sheet, lookups: Lookups, *, last: bool) -> None:
        self.outcome = Outcome()
        self.spoilt = False
        self._sheet = sheet
        self._steps = {name: Records(session, name, plan, lookups, self.outcome, last=last) for name, plan in sheet.plans}

    def write(self, drafts: Sequence[Draft]) -> None:
        """Look up what all rows name, then write record by record those that lack nothing."""
        shared = Shared(self._sheet)
        rows = [_Row(d, {**(shared.add(d) if d.parts and not d.errors else {}), "": d}) for d in drafts]
        for name, step in self._steps.items():
            step.resolve(_parts(name, rows))
        rows = list(self._good(rows))
        known = len(self.outcome.failed)
        for name, step in self._steps.items():
            step.write(_parts(name, rows), self._joined(name, rows))
            rows = list(self._good(rows))
        self.spoilt = len(self.outcome.failed) > known

    def _joined(self, name: str, rows: Sequence[_Row]) -> dict[Draft, dict[str, Ref[Any]]]:
        """Say what the fields of drafts point at among the records that are written already."""
        found: dict[Draft, dict[str, Ref[Any]]] = {}
        for field, to in self._steps[name].plan.joins.items():
            for row in rows:
                if name in row.parts and to in row.parts:
                    found.setdefault(row.parts[name], {})[field] = self._steps[to].kept[row.parts[to]]
        return found

    def _good(self, rows: Sequence[_Row]) -> Iterator[_Row]:
        """Sort out rows that fail, or wait, because one of their records does."""
        if not any(step.failed or step.waiting for step in self._steps.values()):
            yield from rows
            return
        for row in rows:
            wrong = {name: error for name, part in row.parts.items() if (error := self._steps[name].failed.get(part)) is not None}
            if wrong:
                self.outcome.failed.append((row.draft.row, _combined(wrong)))
            elif any(part in self._steps[name].waiting for name, part in row.parts.items()):
                self.outcome.later.append(row.draft)
            else:
                yield row


def _parts(name: str, rows: Sequence[_Row]) -> list[Draft]:
    """Return the drafts of one plan, each once."""
    return list(dict.fromkeys(row.parts[name] for row in rows if name in row.parts))


def _combined(wrong: Mapping[str, CRMError]) -> CRMError:
    """Make one error of those of a row's records: of the first's kind, with all their details."""
    first = next(iter(wrong.values()))
    details = [named(name, d) for name, error in wrong.items() for d in error.details]
    return type(first)(first.code, details=details, **first.params) if details else first
