"""``crm history``: who changed a record, when and what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ..entities.fields import Ref
from ..io.plan import find_entity
from ..permissions.actor import Actor
from .shell import Shell, connected
from .table import echo_table

if TYPE_CHECKING:
    from ..history import HistoryEntry


@click.command("history")
@click.argument("entity")
@click.argument("id")
@click.option("--size", default=20, show_default=True, help="How many changes, at most 1,000.")
@click.option("--after", metavar="CURSOR", help="What is older: the cursor that the last page ended with.")
@click.option("--tenant", default="main", show_default=True, metavar="TENANT", help="The tenant that the record belongs to.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@connected
def history_(shell: Shell, entity: str, id: str, size: int, after: str | None, tenant: str, as_json: bool) -> None:
    """Say who changed the record ID of ENTITY, like accounts or sales.opportunity, when and what, the newest first.

    Sealed and sensitive fields say that they changed, and not to what.
    """
    crm = shell.existing()
    kind = find_entity(crm.tables.entities, entity)
    with crm.session(Actor.system("history", tenant=tenant), write=False) as session:
        page = session.history(Ref(kind, id), size=size, after=after)
    if as_json:
        click.echo(json.dumps(crm.to_json(page), indent=2, ensure_ascii=False))
        return
    echo_table(("at", "by", "for", "what", "version", "changes"), [_line(entry) for entry in page], right=("version",))
    if page.next is not None:
        click.echo(shell.text("cli_more", after=page.next))


def _line(entry: HistoryEntry) -> tuple[str, ...]:
    """Write a change in a line; the values as JSON, so that none is taken for another."""
    changes = "; ".join(f"{name}: {_value(change.old)} -> {_value(change.new)}" for name, change in entry.changes.items())
    at = entry.at.isoformat(timespec="seconds")
    return at, entry.actor, entry.on_behalf_of or "", entry.verb, str(entry.version), changes


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
