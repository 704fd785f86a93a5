"""Customers apart for good: a CRM object for each, in schemas of one PostgreSQL."""

from __future__ import annotations

from crm_core import CRM, Account, Actor
from tests.databases import PostgresDatabases


def test_two_crms_in_one_process_work_in_two_schemas_of_one_database(postgres_databases: PostgresDatabases) -> None:
    database = postgres_databases.create()
    crms = {name: CRM(database.url, schema=name) for name in ("acme", "other")}
    try:
        for name, crm in crms.items():
            crm.migrate()
            with crm.session(Actor.system("test", tenant="main")) as s:
                s.create(Account(name=name))
            crm.run_pending()
        for name, crm in crms.items():
            with crm.session(Actor.system("test", tenant="main"), write=False) as s:
                assert [a.name for a in s.query(Account).all()] == [name]
    finally:
        for crm in crms.values():
            crm.close()
        postgres_databases.drop(database)
