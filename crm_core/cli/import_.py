"""``crm import``: bring files of records into the CRM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as Pairs
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ..errors import CRMError, Invalid
from ..io import Form, Importer, Mapping, Report, open_rows, propose, read_mappings, to_toml, undo
from ..io.logbook import Subject, find
from ..io.passage import Progress as Tell
from ..io.plan import find_entity
from ..permissions.actor import Actor
from .report import listed, notes, said, taken_back
from .shell import Shell, connected

if TYPE_CHECKING:
    from ..crm import CRM
    from ..entities.fields import FieldSpec
    from ..session import Session

ROWS_FAILED = 3
Chosen: TypeAlias = list[tuple[Mapping, Path]]


@click.command("import")
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--as", "entity", metavar="ENTITY", default="", help="What the rows are, like opportunities or sales.opportunity.")
@click.option("--map", "mapping", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The mapping file.")
@click.option("--sheet", default="", help="Which sheet of a workbook.")
@click.option("--propose", "proposing", is_flag=True, help="Print a mapping proposed from the file's headers, and do nothing.")
@click.option("--dry-run", is_flag=True, help="Do everything and undo it.")
@click.option("--whole", is_flag=True, help="All rows of all files or none, in one transaction.")
@click.option("--errors", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write rows that fail to this CSV file.")
@click.option("--resume", metavar="RUN", default="", help="Go on with this import, which broke off, and the files behind it.")
@click.option("--undo", "undoing", metavar="RUN", default="", help="Take an import back; `last` is the latest. --dry-run tries it.")
@click.option("--runs", is_flag=True, help="List the latest imports.")
@click.option("--tenant", default="main", show_default=True, help="The tenant that the records belong to.")
@connected
def import_(
    shell: Shell,
    path: Path | None,
    entity: str,
    mapping: Path | None,
    sheet: str,
    proposing: bool,
    dry_run: bool,
    whole: bool,
    errors: Path | None,
    resume: str,
    undoing: str,
    runs: bool,
    tenant: str,
) -> None:
    """Import PATH, a file of records (CSV, JSON lines, Excel, vCard), or a folder with the files of a mapping of several.

    Importing again changes only what differs; an import that broke off goes on. The exit code is 3 where rows failed, or where records
    could not be taken back.
    """
    actor = Actor.system("import", tenant=tenant)
    if runs:
        for line in listed(shell, shell.open(), actor):
            click.echo(line)
    elif undoing:
        found = undo(shell.open(), actor, undoing, dry_run=dry_run)
        for line in taken_back(found, shell):
            click.echo(line)
        if found.left:
            raise click.exceptions.Exit(ROWS_FAILED)
    elif path is None:
        raise click.UsageError(shell.text("cli_no_path"))
    elif proposing:
        click.echo(_proposal(shell, actor, path, entity, sheet), nl=False)
    elif mapping is None:
        raise Invalid("cli_no_mapping", path=path.name)
    else:
        chosen = _chosen(shell.open(), _of_sheet(read_mappings(mapping), sheet), path, entity)
        _bring(shell, actor, path, chosen, entity, errors, resume, dry_run=dry_run, whole=whole)


def _bring(
    shell: Shell, actor: Actor, path: Path, chosen: Chosen, entity: str, errors: Path | None, resume: str, *, dry_run: bool, whole: bool
) -> None:
    crm = shell.open()
    chosen = _from(crm, actor, chosen, resume) if resume else chosen
    targets = [_errors(errors, file, each.file.sheet) if len(chosen) > 1 else errors for each, file in chosen]
    reports: list[Report] = []
    with _together(crm, actor, path, reports, dry_run=dry_run, whole=whole) as session:
        for (each, file), target in zip(chosen, targets, strict=True):
            importer = Importer(crm, actor, each, entity=entity, locale=shell.lang)
            with _progress(file.name) as tell:
                run = resume if not reports else ""
                reports.append(importer.run(file, errors=target, progress=tell, within=session, resume=run))
    for report, target in zip(reports, targets, strict=True):
        for line in said(report, shell, target):
            click.echo(line)
        for line in notes(report, shell):
            click.echo(line, err=True)
    if any(report.failed for report in reports):
        raise click.exceptions.Exit(ROWS_FAILED)


class _Undo(Exception):
    """Nothing of this is to stay."""


@contextmanager
def _together(crm: CRM, actor: Actor, path: Path, reports: list[Report], *, dry_run: bool, whole: bool) -> Iterator[Session | None]:
    """Give the one session of all files where they are to be undone, or to be kept only if no row failed."""
    if not (dry_run or whole):
        yield None
        return
    try:
        with crm.session(actor, reason=f"import {path.name}") as session:
            yield session
            if dry_run or any(report.failed for report in reports):
                raise _Undo
    except _Undo:
        for report in reports:
            report.committed, report.dry_run, report.run = False, dry_run, ""


def _proposal(shell: Shell, actor: Actor, path: Path, entity: str, sheet: str) -> str:
    crm = shell.unchecked()
    found = find_entity(crm.tables.entities, entity)
    with open_rows(path, Form(sheet=sheet)) as rows:
        made = propose(rows, found, _fields_of(shell, actor, found), source=path.stem)
    proposed = to_toml(attrs.evolve(made, file=Form(sheet=sheet)))
    return f"# {shell.text('cli_proposed', path=path.name)}\n{proposed}"


def _fields_of(shell: Shell, actor: Actor, entity: type[Any]) -> Pairs[str, FieldSpec]:
    """Return an entity's fields, and the tenant's own where there is a database that knows them."""
    try:
        crm = shell.looked_at()
        crm.migrations.check()
    except CRMError:
        return shell.unchecked().codec(entity).fields
    with crm.session(actor, write=False) as session:
        return session.codec(entity).fields


def _from(crm: CRM, actor: Actor, chosen: Chosen, resume: str) -> Chosen:
    """Leave out the files, and sheets, before the one whose import broke off."""
    with crm.session(actor, write=False) as session:
        run = find(session, resume)
    named = [n for n, (_, file) in enumerate(chosen) if file.name == run.file]
    same = [n for n in named if Subject.of(chosen[n][1], run.entity, chosen[n][0]).mapping == run.mapping]
    return chosen[(same or named or [0])[0] :]


def _of_sheet(mappings: list[Mapping], sheet: str) -> list[Mapping]:
    """Say which sheet is meant: the mappings of it where several name one, else all of them read it."""
    named = [m for m in mappings if m.file.sheet == sheet]
    return named or [attrs.evolve(m, file=attrs.evolve(m.file, sheet=sheet)) for m in mappings] if sheet else mappings


def _chosen(crm: CRM, mappings: list[Mapping], path: Path, entity: str) -> Chosen:
    """Say which mappings are asked for, and for which files."""
    if entity and len(mappings) > 1:
        wanted = find_entity(crm.tables.entities, entity)
        mappings = [m for m in mappings if find_entity(crm.tables.entities, m.entity) is wanted]
    if path.is_dir():
        found = [(m, _inside(path, m.path)) for m in mappings if m.path]
    else:
        found = [(m, path) for m in mappings if len(mappings) == 1 or m.path == path.name]
    if not found:
        raise Invalid("cli_no_mapping", path=path.name)
    return found


def _inside(folder: Path, name: str) -> Path:
    """Return a file of the folder; a mapping that came with the files may not name any other."""
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        raise Invalid("cli_outside_folder", path=name[:200], folder=folder.name)
    return file


def _errors(errors: Path | None, file: Path, sheet: str) -> Path | None:
    """Name the error file of one of several files or sheets."""
    name = re.sub(r"[^\w.-]+", "_", f"{file.stem}-{sheet}" if sheet else file.stem)
    return errors.with_name(f"{errors.stem}-{name}{errors.suffix}") if errors else None


@contextmanager
def _progress(name: str) -> Iterator[Tell]:
    """Show a bar on the terminal's error stream; none where it is not a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=1.0, rows="")

        def tell(done: float, report: Report) -> None:
            bar.update(task, completed=done, rows=f"{report.rows:,}")

        yield tell
