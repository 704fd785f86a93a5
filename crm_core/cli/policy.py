"""``crm policy``: what the roles of a CRM are, and what a change of them does."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from ..errors import Invalid
from ..permissions.diff import PolicyDiff, RecordChange, diff, from_snapshot, snapshot
from ..permissions.roles import Role
from .shell import Shell, connected, found_at

if TYPE_CHECKING:
    from ..crm import CRM


@click.group()
def policy() -> None:
    """Show the roles of a CRM, and who gains or loses what by a change of them."""


@policy.command()
@connected
def show(shell: Shell) -> None:
    """Write the roles as JSON, plugins' included: keep the file, and compare with it later."""
    click.echo(json.dumps(snapshot(shell.unchecked()), indent=2, ensure_ascii=False))


@policy.command("diff")
@click.argument("old")
@click.argument("new", required=False)
@click.option("--tenant", default="main", show_default=True, help="The tenant whose users and records are compared.")
@click.option("--ids", is_flag=True, help="Say which records, at most 1,000 of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.option("--check", is_flag=True, help="End with exit code 1 where anything changes.")
@connected
def diff_(shell: Shell, old: str, new: str | None, tenant: str, ids: bool, as_json: bool, check: bool) -> None:
    """Say who gains and who loses which records, fields and permissions between the roles OLD and NEW.

    Each is a file that `crm policy show` wrote, or MODULE:NAME of a CRM or a list of roles; without NEW it is the CRM that --app or --db
    names. Its database has the records, its directory the users. Nothing is written.
    """
    crm = shell.existing()
    changes = diff(crm, _roles(old), _roles(new) if new else crm.policies.roles, tenant=tenant, ids=ids)
    if as_json:
        click.echo(json.dumps(attrs.asdict(changes), indent=2, ensure_ascii=False))
    else:
        for line in _said(changes, crm, shell, tenant):
            click.echo(line)
    if check and changes:
        sys.exit(1)


def _roles(given: str) -> Sequence[Role]:
    """Find the roles that an argument means.

    Raises:
        Invalid: ``cli_bad_roles``.
    """
    from ..crm import CRM

    path = Path(given)
    if path.suffix == ".json" or path.exists():
        try:
            return from_snapshot(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as e:
            raise Invalid("cli_bad_roles", given=given[:100], reason=str(e)[:200]) from e
    found: Any = found_at(given, "roles")
    if isinstance(found, CRM):
        return found.policies.roles
    if isinstance(found, list | tuple) and all(isinstance(r, Role) for r in found):
        return found
    raise Invalid("cli_bad_roles", given=given[:100], reason=type(found).__name__)


def _said(changes: PolicyDiff, crm: CRM, shell: Shell, tenant: str) -> Iterator[str]:
    assert crm.directory is not None
    names = {u.id: u.name for u in crm.directory.users(tenant)}

    def user(id_: str) -> str:
        return f"{id_} ({names[id_]})" if names.get(id_, id_) != id_ else id_

    for record in changes.records:
        yield from _of_records(record, user(record.user), shell)
    for field in changes.fields:
        yield shell.text("policy_field", user=user(field.user), entity=field.entity, field=field.field, old=field.old, new=field.new)
    for each in changes.permissions:
        code = "policy_permission_gained" if each.gained else "policy_permission_lost"
        yield shell.text(code, user=user(each.user), permission=each.permission)
    if not changes:
        yield shell.text("policy_same", users=changes.users)


def _of_records(change: RecordChange, user: str, shell: Shell) -> Iterator[str]:
    for code, count, which in (("policy_gains", change.gained, change.gained_ids), ("policy_loses", change.lost, change.lost_ids)):
        if count:
            yield shell.text(code, user=user, entity=change.entity, action=change.action, count=count)
            yield from (f"  {id_}" for id_ in which)
