"""The import: rows in batches through the session's verbs, so that what holds for any write holds for a file."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from ..entities.imports import ImportRun
from ..errors import Invalid
from .logbook import Logbook, Subject, going_on
from .mapping import Mapping
from .passage import Passage, Progress
from .plan import find_entity
from .readers import open_rows
from .report import Report, error_file
from .sheet import Sheet

if TYPE_CHECKING:
    from ..crm import CRM
    from ..custom_fields.defined import TenantFields
    from ..permissions.actor import Actor
    from ..permissions.policy import Policy
    from ..session import Session

BATCH = 1_000


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
        resume: str = "",
    ) -> Report:
        """Import a file and tell what became of it.

        Where the same actor's import of the same file with the same mapping broke off, it goes on: no row comes twice and none is lost.

        Args:
            dry_run: do everything, and undo it.
            whole: all rows or none, in one transaction; otherwise each batch is one, and rows that fail are left out.
            errors: a CSV file for the rows that fail.
            progress: called after each batch with the part done (0 to 1) and the counts so far.
            within: write in this session of the same actor, and leave the commit to whoever opened it.
            resume: the run that is to go on, or ``last``; what does not fit is then an error.

        Raises:
            Invalid: the file cannot be read, or the mapping does not fit it; nothing was written.
            Invalid: ``import_not_broken_off``, ``import_other_file``, ``import_other_mapping``: it cannot go on so.
            NotFound: there is no run *resume* for this actor.
            Conflict: ``import_taken_over``: another process goes on with it, or it was undone; this one wrote nothing more.
            CRMError: the database or a plugin failed; the batches before it are written.
        """
        path = Path(path)
        with open_rows(path, self._mapping.file, wanted=self._mapping.columns) as rows:
            sheet = Sheet(self._crm, *self._rights(within), self._entity, self._mapping, rows.columns)
            report = Report(sheet.main.codec.facts.name, path.name, dry_run)
            together = dry_run or whole
            run = None
            log = None
            if not dry_run:
                subject = Subject.of(path, report.entity, self._mapping)
                run = self._begun(subject, path, resume) if resume or not (together or within) else None
                log = Logbook(subject, run)
            if run is not None:
                report.restore(run.id, run.position, run.report)
            target = Path(errors) if errors else None
            if target is not None and target.exists() and target.samefile(path):
                raise Invalid("import_onto_itself", path=target.name)
            with error_file(target, rows.columns, self._crm.messages, self._locale, keep=run.errors if run else 0) as bad:
                passage = Passage(lambda: self._session(path), sheet, report, bad, log=log, within=within, run=run)
                passage.all(rows, batch, progress, together=together)
            report.unmapped = [*sheet.unmapped, *sorted(rows.further)]
        return report

    def _begun(self, subject: Subject, path: Path, resume: str) -> ImportRun | None:
        with self._session(path) as session:
            return going_on(session, subject, resume)

    def _session(self, path: Path) -> AbstractContextManager[Session]:
        return self._crm.session(self._actor, reason=f"import {path.name}"[:255])

    def _rights(self, within: Session | None) -> tuple[Policy, TenantFields]:
        if within is not None:
            return within.policy, within.custom
        with self._crm.session(self._actor, write=False) as session:
            return session.policy, session.custom
