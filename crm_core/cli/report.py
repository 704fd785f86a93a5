"""An import's report in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..entities.imports import ImportRun
from ..io import Report, Undone
from ..io.report import said as reason
from .shell import Shell

if TYPE_CHECKING:
    from ..crm import CRM
    from ..permissions.actor import Actor

SHOWN = 5
RUNS = 20


def said(report: Report, shell: Shell, errors: Path | None) -> Iterator[str]:
    """Say what became of a file, line by line: the counts, what was unknown, what was left out, and why rows failed."""
    counts = {n: getattr(report, n) for n in ("rows", "created", "updated", "unchanged", "failed", "blank")}
    yield shell.text("import_counts", path=report.path, entity=report.entity, **counts)
    if report.dry_run:
        yield "  " + shell.text("import_dry_run")
    elif not report.committed:
        yield "  " + shell.text("import_undone")
    for (name, entity), found in report.related.items():
        yield "  " + shell.text("import_related", name=name, entity=entity, created=found["created"], updated=found["updated"])
    for entity, count in sorted(report.references.items()):
        yield "  " + shell.text("import_references", entity=entity, count=count)
    for unknown in report.unknown:
        facts = {"field": unknown.field, "given": unknown.value[:80], "rows": unknown.rows, "suggestion": unknown.proposal}
        yield "  " + shell.text("import_unknown_rows", **facts)
    for field, count in sorted(report.empty.items()):
        yield "  " + shell.text("import_kept_without", field=field, rows=count)
    if report.unmapped:
        yield "  " + shell.text("import_unmapped", columns=report.unmapped)
    yield from _failures(report, shell, errors)


def notes(report: Report, shell: Shell) -> Iterator[str]:
    """Say which record the import left of itself, for who wants to take it back."""
    if report.resumed:
        yield shell.text("import_going_on", path=report.path, line=report.resumed)
    if report.run:
        yield shell.text("import_run_is", run=report.run)


def taken_back(found: Undone, shell: Shell) -> Iterator[str]:
    """Say what became of an import that was taken back, and what stays."""
    counts = {"deleted": found.deleted, "restored": found.restored, "left": found.left}
    yield shell.text("import_taken_back", file=found.file, **counts)
    if found.dry_run:
        yield "  " + shell.text("import_dry_run")
    for left in found.listed:
        yield "  " + shell.text(
            "import_left", entity=left.entity, record=left.record, reason=reason(shell.messages, left.error, shell.lang)
        )


def listed(shell: Shell, crm: CRM, actor: Actor) -> Iterator[str]:
    """List the latest imports, the newest first."""
    with crm.session(actor, write=False) as session:
        for run in session.query(ImportRun).order_by(ImportRun.created_at.desc()).page(RUNS):
            counts = {n: run.report[n] for n in ("rows", "created", "updated", "failed")}
            facts = {"run": run.id, "state": run.state.value, "file": run.file, "entity": run.entity}
            yield shell.text("import_run_line", at=run.created_at.isoformat(" ", "seconds"), **facts, **counts)


def _failures(report: Report, shell: Shell, errors: Path | None) -> Iterator[str]:
    shown = [f for f in report.failures if {d.code for d in f.error.details} != {"import_unknown"}][:SHOWN]
    for failure in shown:
        yield "  " + shell.text("import_failed_row", line=failure.line, reason=reason(shell.messages, failure.error, shell.lang))
    if report.failed:
        yield "  " + shell.text("import_failed_rows", count=report.failed, path=str(errors) if errors else "")
