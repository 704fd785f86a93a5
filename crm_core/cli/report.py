"""An import's report in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..io import Report
from ..io.report import said as reason
from .shell import Shell

SHOWN = 5


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


def _failures(report: Report, shell: Shell, errors: Path | None) -> Iterator[str]:
    shown = [f for f in report.failures if {d.code for d in f.error.details} != {"import_unknown"}][:SHOWN]
    for failure in shown:
        yield "  " + shell.text("import_failed_row", line=failure.line, reason=reason(shell.messages, failure.error, shell.lang))
    if report.failed:
        yield "  " + shell.text("import_failed_rows", count=report.failed, path=str(errors) if errors else "")
