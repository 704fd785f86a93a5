"""One file on its way in: cut into batches, each written in its transaction with how far the import came."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeAlias

from ..entities.imports import ImportRun, ImportState
from .batch import Batch
from .logbook import Logbook
from .lookup import Lookups
from .plan import Draft
from .readers import Row, Rows
from .report import ErrorFile, Outcome, Report
from .sheet import Gathering, Sheet

if TYPE_CHECKING:
    from ..session import Session

HELD = 10_000

Progress = Callable[[float, Report], None]
Open: TypeAlias = "Callable[[], AbstractContextManager[Session]]"


class _Undo(Exception):
    """Nothing of this is to stay."""


class Passage:
    """An import at work.

    Args:
        open_session: opens a session of a batch's own.
        log: where it is written how far the import came; None where nothing is to stay.
        within: the session to write in, where somebody else commits.
        run: the import that goes on here.
    """

    def __init__(
        self,
        open_session: Open,
        sheet: Sheet,
        report: Report,
        errors: ErrorFile,
        *,
        log: Logbook | None,
        within: Session | None,
        run: ImportRun | None,
    ) -> None:
        self._open = open_session
        self._sheet = sheet
        self._lookups = Lookups()
        self._report = report
        self._errors = errors
        self._log = log
        self._within = within
        self._begin = run.position if run else 0
        self._waiting = frozenset(run.waiting if run else ())
        self._position = self._begin
        self._held: list[Draft] = []

    def all(self, rows: Rows, size: int, progress: Progress | None, *, together: bool) -> None:
        """Import all rows, in one transaction or in one a batch."""
        report = self._report
        try:
            with self._transaction(together) as session:
                for batch in self._batches(rows, size):
                    self._write(session, batch)
                    if progress:
                        progress(rows.done, report)
                self._write_held(session, size)
                if together and (report.dry_run or report.failed):
                    raise _Undo
                self._finish(session)
        except _Undo:
            report.committed, report.run = False, ""
        if progress:
            progress(1.0, report)

    @contextmanager
    def _transaction(self, together: bool) -> Iterator[Session | None]:
        """Give the session of all batches; None where each has its own."""
        if self._within is not None:
            with self._within.savepoint() if together else nullcontext():
                yield self._within
        elif together:
            with self._open() as session:
                yield session
        else:
            yield None

    def _batches(self, rows: Iterable[Row], size: int) -> Iterator[list[Draft]]:
        """Cut rows into batches; those that an earlier attempt dealt with are passed over, but for those that still wait."""
        report = self._report
        batch = Gathering(self._sheet, size)
        for row in rows:
            if row.line <= self._begin:
                if row.line in self._waiting:
                    self._held.append(self._sheet.draft(row))
                continue
            blank = row.blank
            draft = None if row.error is not None or blank else self._sheet.draft(row)
            if draft is not None and not batch.takes(draft):
                yield batch.drafts
                batch = Gathering(self._sheet, size)
                batch.takes(draft)
            self._position = row.line
            report.rows += 1
            report.blank += blank
            if row.error is not None:
                self._take(Outcome(failed=[(row, row.error)]))
        if batch.drafts:
            yield batch.drafts

    def _write(self, session: Session | None, batch: Sequence[Draft], *, last: bool = False, behind: Sequence[Draft] = ()) -> None:
        """Write a batch; *behind* are rows that wait already."""
        last = last or len(self._held) + len(behind) >= HELD
        with self._open() if session is None else nullcontext(session) as own:
            if self._log is None:
                self._take(Batch(own, self._sheet, self._lookups, last=last).write(batch))
                return
            with self._log.batch(own) as logged:
                outcome = Batch(logged, self._sheet, self._lookups, last=last).write(batch)
                self._take(outcome)
                if outcome.wrote or self._report.run:
                    self._report.run = self._log.id
                    waiting = [draft.row.line for draft in (*self._held, *behind)]
                    self._log.keep(logged, **self._facts(), waiting=waiting)

    def _facts(self) -> dict[str, object]:
        return {"position": self._position, "errors": self._errors.size(), "report": self._report.kept()}

    def _take(self, outcome: Outcome) -> None:
        self._held += outcome.later
        self._report.add(outcome)
        for row, error in outcome.failed:
            self._errors.write(row, error)

    def _write_held(self, session: Session | None, size: int) -> None:
        """Write the rows that waited for rows behind them, as long as that helps; then say what they lack."""
        last = False
        while self._held:
            waiting, self._held = self._held, []
            for start in range(0, len(waiting), size):
                self._write(session, waiting[start : start + size], last=last, behind=waiting[start + size :])
            last = len(self._held) == len(waiting)

    def _finish(self, session: Session | None) -> None:
        """Write that the import is done, where it did anything."""
        self._report.committed = True
        if self._log is not None and self._log.id:
            with self._open() if session is None else nullcontext(session) as own:
                self._log.keep(own, **self._facts(), waiting=[], state=ImportState.DONE)
