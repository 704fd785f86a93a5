"""Plugins with every kind of column, references in a circle and an extension; and a look at what became of their tables."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from crm_core.entities.customer import Account
from crm_core.entities.entity import Entity, Extension
from crm_core.entities.fields import Field, ListField, MoneyField, Ref, field
from crm_core.entities.values import Email
from crm_core.hooks.plugin import Plugin
from crm_core.hooks.registry import Registry
from crm_core.storage.engine import Bound
from crm_core.storage.migrations import Migrations
from crm_core.storage.tables import Tables


class Diet(Enum):
    PLANTS = "plants"
    MEAT = "meat"


class Keeper(Entity):
    name: Field[str] = field(length=100, unique=True)
    boss: Field[Ref[Keeper] | None] = field(default=None)
    cage: Field[Ref[Cage] | None] = field(default=None, on_delete="set_null")
    emails: ListField[Email] = field(factory=list)


class Cage(Entity):
    """Points at Keeper as Keeper points at it: no order of creation fits both."""

    keeper: Field[Ref[Keeper] | None] = field(default=None)
    label: Field[str]


class Animal(Entity):
    cage: Field[Ref[Cage]] = field(on_delete="cascade")
    sponsor: Field[Ref[Account] | None] = field(default=None)
    diet: Field[Diet] = field(default=Diet.PLANTS)
    price: MoneyField
    weight: Field[Decimal] = field(index=True)
    born: Field[date | None] = field(default=None)
    legs: Field[int] = field(default=4)
    tame: Field[bool] = field(default=False)
    notes: Field[dict[str, Any] | None] = field(default=None)


class ZooAccount(Extension):
    tier: Field[str] = field(default="bronze", length=20, index=True)
    visits: Field[int] = field(default=0)
    keeper: Field[Ref[Keeper] | None] = field(default=None)


ZOO = Plugin("zoo", version="1.0.0")
ZOO.entities(Keeper, Cage, Animal)
ZOO.extend(Account)(ZooAccount)
ZOO.link(Animal, Account)


class Ticket(Entity):
    animal: Field[Ref[Animal] | None] = field(default=None)


SHOP = Plugin("zoo.shop", version="1.0.0", requires={"zoo": ">=1"})
SHOP.entities(Ticket)


class Ship(Entity):
    name: Field[str]


NAVY = Plugin("navy", version="1.0.0")
NAVY.entities(Ship)


def tables_of(*plugins: Plugin, prefix: str = "crm_", schema: str | None = None) -> tuple[Registry, Tables]:
    registry = Registry(plugins)
    return registry, Tables(
        registry.entities, {e: registry.extensions(e) for e in registry.entities}, registry.links, prefix=prefix, schema=schema
    )


def migrations_of(bound: Bound, *plugins: Plugin, **options: Any) -> Migrations:
    registry, tables = tables_of(*plugins, **options)
    return Migrations(bound, tables, registry)


def tables_in(bound: Bound, schema: str | None = None) -> set[str]:
    return set(sa.inspect(bound.engine).get_table_names(schema))


def differences(bound: Bound, tables: Tables) -> list[Any]:
    """What Alembic finds between the database and what is declared, types included; our version table is no part of that."""
    with bound.begin(write=False) as connection:
        options = {
            "compare_type": True,
            "include_schemas": tables.schema is not None,
            "include_name": lambda name, kind, _: (
                not (kind == "table" and name.endswith("version")) and not (kind == "schema" and name != tables.schema)
            ),
        }
        found: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), tables.metadata)
    if bound.kind == "postgresql":
        return found
    # SQLite has no identity columns (AUTOINCREMENT stands in), and SQLAlchemy does not read the rules of references beside a column.
    heads = [d[0] if isinstance(d, tuple) else d[0][0] for d in found]
    others = [d for d, head in zip(found, heads, strict=True) if head not in ("modify_default", "add_fk", "remove_fk")]
    return [*others, *(_declared_keys(tables) ^ _kept_keys(bound, tables))]


def _declared_keys(tables: Tables) -> set[tuple[str, str, str, str | None]]:
    return {
        (table.name, key.parent.name, key.column.table.name, key.ondelete)
        for table in tables.metadata.tables.values()
        for key in table.foreign_keys
    }


def _kept_keys(bound: Bound, tables: Tables) -> set[tuple[str, str, str, str | None]]:
    with bound.begin(write=False) as connection:
        return {
            (table.name, row[3], row[2], row[6])
            for table in tables.metadata.tables.values()
            for row in connection.exec_driver_sql(f"PRAGMA foreign_key_list({table.name})")
        }
