"""The import: rows in batches through the session's verbs, so that what holds for any write holds for a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..errors import CRMError
from .batch import Batch
from .lookup import Lookups
from .mapping import Mapping
from .plan import Draft, find_entity
from .readers import Row, Rows, open_rows
from .report import ErrorFile, Outcome, Report, error_file
from .sheet import Gathering, Sheet

if TYPE_CHECKING:
    from ..crm import CRM
    from ..permissions.actor import Actor
    from ..permissions.policy import Policy
    from ..session import Session

BATCH = 1_000
HELD = 10_000

Progress = Callable[[float, Report], None]
Open: TypeAlias = "Callable[[], AbstractContextManager[Session]]"


class _Undo(Exception):
    """Nothing of this is to stay."""


class Importer:
    """Brings files of one mapping into a CRM, as one actor.

    A record that the mapping's key (or ``match``) finds is changed where the file says something else, and left alone where it does
    not: the same file twice changes nothing. An empty cell takes nothing away.

    Args:
        entity: which records the rows are, where the mapping does not say.
        locale: the language of the reasons in the error file; the actor's where nothing is said.

    Raises:
        Invalid: ``import_unknown_entity``.
    """

    def __init__(self, crm: CRM, actor: Actor, mapping: Mapping, *, entity: str = "", locale: str = "") -> None:
        self._crm = crm
        self._actor = actor
        self._mapping = mapping
        self._entity = find_entity(crm.tables.entities, entity or mapping.entity)
        self._locale = locale or actor.locale
        self._lookups = Lookups()

    def run(
        self,
        path: Path | str,
        *,
        dry_run: bool = False,
        whole: bool = False,
        errors: Path | str | None = None,
        progress: Progress | None = None,
        batch: int = BATCH,
        within: Session | None = None,
    ) -> Report:
        """Import a file and tell what became of it.

        Args:
            dry_run: do everything, and undo it.
            whole: all rows or none, in one transaction; otherwise each batch is one, and rows that fail are left out.
            errors: a CSV file for the rows that fail.
            progress: called after each batch with the part done (0 to 1) and the counts so far.
            within: write in this session of the same actor, and leave the commit to whoever opened it.

        Raises:
            Invalid: the file cannot be read, or the mapping does not fit it; nothing was written.
            CRMError: the database or a plugin failed; the batches before it are written.
        """
        path = Path(path)
        with open_rows(path, self._mapping.file, wanted=self._mapping.columns) as rows:
            sheet = Sheet(self._crm, self._policy(within), self._entity, self._mapping, rows.columns)
            report = Report(sheet.main.codec.facts.name, path.name, dry_run)
            with error_file(Path(errors) if errors else None, rows.columns, self._crm.messages, self._locale) as bad:
                run = _Run(lambda: self._session(path.name), sheet, self._lookups, report, bad, within)
                run.all(rows, batch, progress, together=dry_run or whole)
            report.unmapped = [*sheet.unmapped, *sorted(rows.further)]
        return report

    def _session(self, name: str) -> AbstractContextManager[Session]:
        return self._crm.session(self._actor, reason=f"import {name}")

    def _policy(self, within: Session | None) -> Policy:
        if within is not None:
            return within.policy
        with self._crm.session(self._actor, write=False) as session:
            return session.policy


class _Run:
    """One file on its way in."""

    def __init__(
        self, open_session: Open, sheet: Sheet, lookups: Lookups, report: Report, errors: ErrorFile, within: Session | None
    ) -> None:
        self._open = open_session
        self._sheet = sheet
        self._lookups = lookups
        self._report = report
        self._errors = errors
        self._within = within
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
                report.committed = True
        except _Undo:
            report.committed = False
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
        """Cut rows into batches in which no key comes twice: of two rows of one key, the later one changes what the earlier made."""
        report = self._report
        batch = Gathering(self._sheet, size)
        for row in rows:
            draft = None if row.error is not None or row.blank else self._sheet.draft(row)
            if draft is not None and not batch.takes(draft):
                yield batch.drafts
                batch = Gathering(self._sheet, size)
                batch.takes(draft)
            report.rows += 1
            report.blank += row.blank
            if row.error is not None:
                self._fail(row, row.error)
        if batch.drafts:
            yield batch.drafts

    def _fail(self, row: Row, error: CRMError) -> None:
        self._report.add(Outcome(failed=[(row, error)]))
        self._errors.write(row, error)

    def _write(self, session: Session | None, batch: Sequence[Draft], *, last: bool = False) -> None:
        if session is None:
            with self._open() as own:
                outcome = Batch(own, self._sheet, self._lookups, last=last or len(self._held) >= HELD).write(batch)
        else:
            outcome = Batch(session, self._sheet, self._lookups, last=last or len(self._held) >= HELD).write(batch)
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
                self._write(session, waiting[start : start + size], last=last)
            last = len(self._held) == len(waiting)
