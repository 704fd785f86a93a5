"""``crm jobs``: the plugins' jobs, what came of them, and how to run or cancel one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import attrs
import click

from .shell import Shell, connected
from .table import echo_table

if TYPE_CHECKING:
    from ..jobs import JobRun, JobStatus

FAILED = 1
_as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")


@click.group(invoke_without_command=True)
@click.option("--tenant", metavar="TENANT", help="Only this tenant's.")
@_as_json
@connected
def jobs(shell: Shell, tenant: str | None, as_json: bool) -> None:
    """List the jobs: when each ran last, when it is due, and how it is."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    found = shell.existing().jobs.list(tenant=tenant)
    if as_json:
        _dump(found)
        return
    rows = [[j.name, j.tenant, j.every or f"-> {j.version}", j.state, _at(j.last), _at(j.next), j.run or ""] for j in found]
    echo_table(("job", "tenant", "every", "state", "last", "next", "run"), rows)


@jobs.command()
@click.argument("name", required=False)
@click.option("--tenant", metavar="TENANT", help="Only this tenant's.")
@click.option("--limit", default=20, show_default=True, help="How many.")
@_as_json
@connected
def runs(shell: Shell, name: str | None, tenant: str | None, limit: int, as_json: bool) -> None:
    """Show what came of the runs, of the job NAME alone or of all, the newest first."""
    found = shell.existing().jobs.runs(name, tenant=tenant, limit=limit)
    if as_json:
        _dump(found)
        return
    rows = [
        [r.id, r.job, r.tenant, r.state, str(r.attempt), _at(r.started_at), str(r.duration or ""), _far(r), r.error or ""] for r in found
    ]
    echo_table(("run", "job", "tenant", "state", "try", "began", "took", "done", "error"), rows)


@jobs.command()
@click.argument("name")
@click.option("--tenant", default="main", show_default=True, metavar="TENANT", help="In which tenant.")
@connected
def run(shell: Shell, name: str, tenant: str) -> None:
    """Run the job NAME now, whether it is due or not. The exit code is 1 where it failed."""
    crm = shell.existing()
    crm.ports.demand()
    done = crm.jobs.run(name, tenant=tenant)
    click.echo(shell.text("cli_job_ran", job=name, tenant=tenant, state=done.state, reason=done.error or ""))
    if done.state != "done":
        raise SystemExit(FAILED)


@jobs.command()
@click.argument("run_id", metavar="RUN")
@connected
def cancel(shell: Shell, run_id: str) -> None:
    """Ask the run RUN to end; it does when it tells of its progress next."""
    shell.existing().jobs.cancel(run_id)
    click.echo(shell.text("cli_job_cancelled", run=run_id))


def _dump(found: Sequence[JobStatus] | Sequence[JobRun]) -> None:
    click.echo(json.dumps([attrs.asdict(each) for each in found], default=datetime.isoformat, ensure_ascii=False, indent=2))


def _at(instant: datetime | None) -> str:
    return "" if instant is None else instant.isoformat(timespec="seconds")


def _far(run: JobRun) -> str:
    return "" if run.done is None else f"{run.done}/{run.total}" if run.total is not None else str(run.done)
