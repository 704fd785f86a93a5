"""``crm fields``: the custom fields of a tenant."""

from __future__ import annotations

import click

from ..entities.custom import CustomKind
from ..io.plan import find_entity
from ..permissions.actor import Actor
from .shell import Shell, connected

_tenant = click.option("--tenant", default="main", show_default=True, help="The tenant whose field it is.")


def _actor(tenant: str) -> Actor:
    return Actor.system("cli", tenant=tenant)


@click.group("fields")
def fields() -> None:
    """See and change the custom fields of a tenant."""


@fields.command("list")
@click.argument("entity", default="")
@click.option("--retired", is_flag=True, help="Those out of use, too.")
@_tenant
@connected
def list_(shell: Shell, entity: str, retired: bool, tenant: str) -> None:
    """List the fields of ENTITY, or of all."""
    crm = shell.existing()
    of = find_entity(crm.tables.entities, entity) if entity else None
    with crm.session(_actor(tenant), write=False) as session:
        for field in session.custom_fields.list(of, retired=retired):
            said = [w for w, is_so in (("required", field.required), ("unique", field.unique), ("retired", field.retired)) if is_so]
            click.echo("\t".join([field.entity, field.name, field.kind.value, field.label.get(shell.lang, ""), ", ".join(said)]).rstrip())


@fields.command("add")
@click.argument("entity")
@click.argument("name")
@click.option("--kind", type=click.Choice([kind.value for kind in CustomKind]), default="text", show_default=True, help="Of which type.")
@click.option("--label", default="", help="What people call it.")
@click.option("--option", "options", multiple=True, metavar="VALUE", help="A value of a choice; once for each.")
@click.option("--target", default="", metavar="ENTITY", help="What a reference points at.")
@click.option("--currency", metavar="CODE", help="Of all amounts of a money field.")
@click.option("--required", is_flag=True, help="New records need a value.")
@click.option("--unique", is_flag=True, help="No two records share a value.")
@_tenant
@connected
def add(
    shell: Shell,
    entity: str,
    name: str,
    kind: str,
    label: str,
    options: tuple[str, ...],
    target: str,
    currency: str | None,
    required: bool,
    unique: bool,
    tenant: str,
) -> None:
    """Add the field NAME to ENTITY, like accounts or sales.opportunity."""
    crm = shell.existing()
    known = crm.tables.entities
    pointed = find_entity(known, target) if target else None
    with crm.session(_actor(tenant)) as session:
        made = session.custom_fields.add(
            find_entity(known, entity),
            name,
            kind=kind,
            label=label,
            options=options,
            target=pointed,
            currency=currency,
            required=required,
            unique=unique,
        )
    click.echo(shell.text("cli_field_added", field=made.key))


@fields.command("retire")
@click.argument("entity")
@click.argument("name")
@_tenant
@connected
def retire(shell: Shell, entity: str, name: str, tenant: str) -> None:
    """Take the field NAME of ENTITY out of use; its values are kept."""
    crm = shell.existing()
    with crm.session(_actor(tenant)) as session:
        done = session.custom_fields.retire(find_entity(crm.tables.entities, entity), name)
    click.echo(shell.text("cli_field_retired", field=done.key))


@fields.command("restore")
@click.argument("entity")
@click.argument("name")
@_tenant
@connected
def restore(shell: Shell, entity: str, name: str, tenant: str) -> None:
    """Put the retired field NAME of ENTITY back, with its values."""
    crm = shell.existing()
    with crm.session(_actor(tenant)) as session:
        done = session.custom_fields.restore(find_entity(crm.tables.entities, entity), name)
    click.echo(shell.text("cli_field_added", field=done.key))


@fields.command("delete")
@click.argument("entity")
@click.argument("name")
@click.option("--with-data", is_flag=True, help="On purpose: also where records have a value, which they lose.")
@_tenant
@connected
def delete(shell: Shell, entity: str, name: str, with_data: bool, tenant: str) -> None:
    """Delete the field NAME of ENTITY for good."""
    crm = shell.existing()
    with crm.session(_actor(tenant)) as session:
        count = session.custom_fields.delete(find_entity(crm.tables.entities, entity), name, with_data=with_data)
    click.echo(shell.text("cli_field_deleted", field=f"{entity}.{name}", count=count))
