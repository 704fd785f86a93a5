"""``crm fields``: the custom fields of a tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..entities.custom_kind import CustomKind
from ..io.plan import find_entity
from ..permissions.actor import Actor
from .shell import Shell, connected
from .table import echo_table

if TYPE_CHECKING:
    from ..custom_fields.service import CustomFieldAdmin
    from ..entities.custom_field import CustomField
    from ..entities.entity import Entity

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
        rows = [_row(field, shell.lang) for field in session.custom_fields.list(of, retired=retired)]
    echo_table(("entity", "field", "kind", "label", "rules"), rows)


def _row(field: CustomField, lang: str) -> list[str]:
    said = [word for word in ("required", "unique", "retired") if getattr(field, word)]
    return [field.entity, field.name, field.kind.value, field.label.get(lang, ""), ", ".join(said)]


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
    pointed = find_entity(shell.existing().tables.entities, target) if target else None
    with _opened(shell, entity, tenant) as (known, of):
        made = known.add(
            of, name, kind=kind, label=label, options=options, target=pointed, currency=currency, required=required, unique=unique
        )
    click.echo(shell.text("cli_field_added", field=made.key))


def _on_field(command: Callable[..., Any]) -> Callable[..., Any]:
    """Make a command of a function that takes a field: its entity, its name, its tenant."""
    return fields.command()(click.argument("entity")(click.argument("name")(_tenant(connected(command)))))


@_on_field
def retire(shell: Shell, entity: str, name: str, tenant: str) -> None:
    """Take the field NAME of ENTITY out of use; its values are kept."""
    with _opened(shell, entity, tenant) as (known, kind):
        done = known.retire(kind, name)
    click.echo(shell.text("cli_field_retired", field=done.key))


@_on_field
def restore(shell: Shell, entity: str, name: str, tenant: str) -> None:
    """Put the retired field NAME of ENTITY back, with its values."""
    with _opened(shell, entity, tenant) as (known, kind):
        done = known.restore(kind, name)
    click.echo(shell.text("cli_field_added", field=done.key))


@_on_field
@click.option("--with-data", is_flag=True, help="On purpose: also where records have a value, which they lose.")
def delete(shell: Shell, entity: str, name: str, with_data: bool, tenant: str) -> None:
    """Delete the field NAME of ENTITY for good."""
    with _opened(shell, entity, tenant) as (known, kind):
        count = known.delete(kind, name, with_data=with_data)
    click.echo(shell.text("cli_field_deleted", field=f"{entity}.{name}", count=count))


@contextmanager
def _opened(shell: Shell, entity: str, tenant: str) -> Iterator[tuple[CustomFieldAdmin, type[Entity]]]:
    crm = shell.existing()
    with crm.session(_actor(tenant)) as session:
        yield session.custom_fields, find_entity(crm.tables.entities, entity)
