"""``crm export``: write records to a file."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import Invalid
from ..io import export
from ..io.plan import find_entity
from ..permissions.actor import Actor
from .shell import Shell, connected


@click.command("export")
@click.argument("entity")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--fields", default="", metavar="NAMES", help="What to write of each, like name,account.name; all where not given.")
@click.option("--where", "filters", multiple=True, metavar="FIELD=VALUE", help="Only these, like stage=won, amount__gte=EUR:1000.")
@click.option("--sort", default="", metavar="FIELDS", help="In this order, like -closed_on,name.")
@click.option("--force", is_flag=True, help="Replace the file.")
@click.option("--tenant", default="main", show_default=True, help="The tenant that the records belong to.")
@connected
def export_(shell: Shell, entity: str, path: Path, fields: str, filters: tuple[str, ...], sort: str, force: bool, tenant: str) -> None:
    """Write the records of ENTITY, like accounts or sales.opportunity, to the file PATH: .csv or .jsonl.

    The journal keeps that it was done.
    """
    if path.exists() and not force:
        raise Invalid("export_exists", path=path.name)
    crm = shell.existing()
    kind = find_entity(crm.tables.entities, entity)
    asked = dict(each.partition("=")[::2] for each in filters)
    with crm.session(Actor.system("export", tenant=tenant)) as session:
        known = list(session.codec(kind).fields)
        query = session.query(kind).matching(asked | ({"sort": sort} if sort else {}), allow=known)
        written = export(session, query, path, fields=[name.strip() for name in fields.split(",") if name.strip()])
    click.echo(shell.text("export_done", rows=written.rows, withheld=written.withheld or "", path=path.name))
