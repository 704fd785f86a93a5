"""``crm audit``: whether the journal is what was written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import attrs
import click

from ..audit import Finding, Verdict
from .shell import Shell, connected

BROKEN = 4


@click.group()
def audit() -> None:
    """Prove what happened."""


@audit.command()
@click.option("--tenant", help="Only this tenant's chain.")
@click.option("--against", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="The checkpoints that a FileSink kept.")
@click.option("--json", "as_json", is_flag=True, help="Write the verdict as JSON.")
@connected
def verify(shell: Shell, tenant: str | None, against: Path | None, as_json: bool) -> None:
    """Find what was edited, inserted, moved or taken away in the journal since it was sealed.

    The exit code is 0 where nothing is wrong, 4 where something is, 1 where it could not be verified.
    """
    verdict = shell.existing().audit.verify(tenant=tenant, against=against)
    if as_json:
        click.echo(json.dumps({"ok": verdict.ok, **attrs.asdict(verdict)}, indent=2))
    else:
        for line in _said(verdict, shell):
            click.echo(line)
    if not verdict.ok:
        raise SystemExit(BROKEN)


def _said(verdict: Verdict, shell: Shell) -> Iterator[str]:
    for tenant in sorted({*verdict.sealed, *verdict.unsealed, *(f.tenant for f in verdict.findings)}):
        sealed, signed, waiting = (counts.get(tenant, 0) for counts in (verdict.sealed, verdict.signed, verdict.unsealed))
        yield shell.text("audit_chain", tenant=tenant, sealed=sealed, signed=min(sealed, signed), unsealed=waiting or "")
        for finding in verdict.findings:
            if finding.tenant == tenant:
                yield "  " + _fault(finding, shell)


def _fault(finding: Finding, shell: Shell) -> str:
    given = {"number": finding.number or "", "row": finding.row or "", "place": finding.place}
    return shell.text(f"audit_{finding.fault}", **given)
