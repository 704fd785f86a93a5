"""``crm privacy``: what is known of a person, given to them or erased, and who is not to be written to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import Invalid
from ..permissions.actor import Actor
from .shell import Shell, connected

if TYPE_CHECKING:
    from ..session import Session

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("privacy")
def privacy_() -> None:
    """Deal with the data of one person: SUBJECT is contact:ID, or an e-mail address."""


def of_tenant(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option ``--tenant``."""
    return click.option("--tenant", default="main", show_default=True, help="The tenant that the person is known in.")(command)


@contextmanager
def _session(shell: Shell, tenant: str) -> Iterator[Session]:
    with shell.existing().session(_officer(tenant)) as session:
        yield session


def _officer(tenant: str) -> Actor:
    return Actor.system("privacy", tenant=tenant)


@privacy_.command("export")
@click.argument("subject")
@click.option("--to", "path", type=FILE, metavar="FILE", help="Write it to FILE, not to the screen.")
@of_tenant
@connected
def export_(shell: Shell, subject: str, path: Path | None, tenant: str) -> None:
    """Write all that is known of SUBJECT as JSON. The journal keeps that it was done."""
    from ..privacy import export

    if path is not None and path.exists():
        raise Invalid("export_exists", path=path.name)
    with _session(shell, tenant) as session:
        found = export(session, subject)
        said = json.dumps(found, indent=2, ensure_ascii=False)
        if path is not None:
            path.write_text(said + "\n", encoding="utf-8")
    if path is None:
        click.echo(said)
    else:
        count = sum(map(len, found["records"].values()))
        click.echo(shell.text("cli_person_exported", count=count, subjects=found["subjects"], path=path.name))


@privacy_.command()
@click.argument("subject")
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the certificate and the journal.")
@click.option("--certificate", "path", type=FILE, metavar="FILE", help="Add the certificate to FILE, a line each.")
@of_tenant
@connected
def erase(shell: Shell, subject: str, only_plan: bool, reason: str, path: Path | None, tenant: str) -> None:
    """Erase SUBJECT for good: all of it, or nothing where a hold or a plugin refuses."""
    from ..privacy import erase, plan, scrub, write_certificate

    with _session(shell, tenant) as session:
        if only_plan:
            found = plan(session, subject)
            for step in found.steps:
                click.echo(shell.text("cli_plan_step", count=step.count, entity=step.entity, action=step.action, why=step.why))
            for held in found.held:
                click.echo(shell.text("cli_plan_held", entity=held.entity, record=held.record, reason=held.reason))
            return
        done = erase(session, subject, reason=reason)
    if path is not None:
        write_certificate(path, done)
    scrub(shell.existing())
    click.echo(shell.text("cli_erased", subjects=done.subjects, id=done.id))


@privacy_.command()
@click.argument("path", type=FILE)
@connected
def reapply(shell: Shell, path: Path) -> None:
    """Erase again whom the certificates in the file PATH name, and a restored backup brought back."""
    from ..privacy import read_certificates, reapply, scrub

    known = list(read_certificates(path))
    count = 0
    for tenant in sorted({each.tenant for each in known}):
        with _session(shell, tenant) as session:
            count += reapply(session, known)
    scrub(shell.existing())
    click.echo(shell.text("cli_reapplied", count=count))


@privacy_.command()
@click.argument("addresses", nargs=-1, required=True)
@click.option("--lift", is_flag=True, help="Their owner asks to be written to again.")
@of_tenant
@connected
def suppress(shell: Shell, addresses: tuple[str, ...], lift: bool, tenant: str) -> None:
    """Let nobody write to e-mail ADDRESSES or telephone numbers any more. Only a keyed hash of each is kept."""
    from ..privacy import allow, suppress

    with _session(shell, tenant) as session:
        count = allow(session, addresses) if lift else suppress(session, addresses)
    click.echo(shell.text("cli_allowed" if lift else "cli_suppressed", count=count))


def _marking(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command what marks a person or takes the mark off: whom, why, and which."""
    lift = click.option("--lift", is_flag=True, help="End it.")
    reason = click.option("--reason", default="", metavar="TEXT", help="Why, for the journal.")
    return privacy_.command()(click.argument("subject")(reason(lift(of_tenant(connected(command))))))


@_marking
def hold(shell: Shell, subject: str, reason: str, lift: bool, tenant: str) -> None:
    """Keep SUBJECT from being erased, as a court may want."""
    from ..privacy import hold, release

    with _session(shell, tenant) as session:
        _marked(shell, lift, release(session, subject) if lift else hold(session, subject, reason))


@_marking
def restrict(shell: Shell, subject: str, reason: str, lift: bool, tenant: str) -> None:
    """Keep the data of SUBJECT, but let nobody write to them."""
    from ..privacy import restrict, unrestrict

    with _session(shell, tenant) as session:
        _marked(shell, lift, unrestrict(session, subject) if lift else restrict(session, subject, reason))


def _marked(shell: Shell, lift: bool, count: int) -> None:
    click.echo(shell.text("cli_unmarked" if lift else "cli_marked", count=count))


@privacy_.command()
@click.option("--apply", is_flag=True, help="Do it; else only say what is due.")
@of_tenant
@connected
def retain(shell: Shell, apply: bool, tenant: str) -> None:
    """Empty or delete what is older than its rule allows. One that was stopped goes on.

    Without --apply it also tells of the rules that modules suggest: they are in force where a tenant sets a period for them,
    crm settings set core keep='{"sales.leads": "3 years"}'.
    """
    from ..privacy import due, retain, scrub, suggested

    offered = []
    if apply:
        crm = shell.existing()
        found, code = retain(crm, _officer(tenant)), "cli_retained"
        scrub(crm)
    else:
        with _session(shell, tenant) as session:
            found, code, offered = due(session), "cli_due", suggested(session)
    for each in found:
        day, refused = each.before.date(), [f"{count} {why}" for why, count in sorted(each.refused.items())]
        said = {"count": each.count, "entity": each.entity, "action": each.action, "rule": each.rule, "held": each.held}
        click.echo(shell.text(code, **said, before=day.isoformat(), refused=refused))
    if not found:
        click.echo(shell.text("cli_nothing_due"))
    for each in offered:
        said = {"count": each.count, "entity": each.entity, "action": each.action, "rule": each.rule, "keep": each.suggested}
        click.echo(shell.text("cli_suggested", **said))
