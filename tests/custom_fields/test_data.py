"""[C76] The fields of a tenant and their values go where its data goes, and two processes agree on which there are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from sqlalchemy import func, select

from crm_core import CRM, Account, Actor, Conflict, FileKeys, Invalid, custom
from crm_core.backup import backup, drop_tenant, move, restore
from crm_core.testing.databases import PostgresDatabases, SQLiteDatabases

ADMIN = Actor.system("setup", tenant="acme")
WRITER = """
    import sys
    from crm_core import CRM, Account, Actor, Invalid

    crm = CRM(sys.argv[1])
    actor = Actor.system("writer", tenant="acme")
    with crm.session(actor) as s:
        s.create(Account(name="first", custom={"region": "EU"}))
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        with crm.session(actor) as s:
            s.create(Account(name="second", custom={"region": "EU"}))
        print("written")
    except Invalid as e:
        print(e.details[0].field, e.details[0].code)
"""


def fill(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "region", unique=True)
        s.custom_fields.add(Account, "weight", kind="decimal", scale=2)
        s.create(Account(name="A", custom={"region": "EU", "weight": "-1.25"}))


def check(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        found = s.query(Account).where(custom("region") == "EU", custom("weight") < 0).one()
        assert str(found.custom["weight"]) == "-1.25"
        with pytest.raises(Conflict):
            s.create(Account(name="B", custom={"region": "EU"}))


def test_fields_and_values_move_to_postgresql_and_back(sqlite_databases: SQLiteDatabases, postgres_databases: PostgresDatabases) -> None:
    kinds = (sqlite_databases, postgres_databases, sqlite_databases)
    made = [(kind, kind.create()) for kind in kinds]
    here, there, back = (CRM(database.url) for _, database in made)
    here.migrate()
    fill(here)
    move(here, there)
    check(there)
    move(there, back)
    check(back)
    for crm, (kind, database) in zip((here, there, back), made, strict=True):
        crm.close()
        kind.drop(database)


def test_a_dropped_tenant_leaves_no_value_and_comes_back_with_its_fields(make_crm: Any, tmp_path: Path) -> None:
    crm, key = make_crm(), FileKeys.create(tmp_path / "crm.keys")
    fill(crm)
    backup(crm, tmp_path / "acme.crm", key, tenant="acme")
    drop_tenant(crm, "acme")
    with crm.bound.begin(write=False) as connection:
        assert connection.execute(select(func.count()).select_from(crm.tables.system.custom_value)).scalar_one() == 0
    restore(crm, tmp_path / "acme.crm", key, tenant="acme")
    check(crm)


def test_a_process_writes_no_value_into_a_field_that_another_retired(make_crm: Any) -> None:
    crm = make_crm()
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "region")
    program = [sys.executable, "-W", "ignore", "-c", dedent(WRITER), crm.url]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        with crm.session(ADMIN) as s:
            s.custom_fields.retire(Account, "region")
        told, _ = writer.communicate("go\n", timeout=60)  # within the second in which it may know the field yet
    assert told == "custom.region unknown_field\n"
    with crm.session(ADMIN) as s:
        assert s.query(Account).count() == 1
        with pytest.raises(Invalid):
            s.query(Account).where(custom("region") == "EU")


def test_a_key_tells_calls_with_other_custom_values_apart(make_crm: Any) -> None:
    crm = make_crm()
    fill(crm)
    made = []
    for region in ("US", "US", "CA"):
        try:
            with crm.session(ADMIN, idempotency_key="k") as s:
                made.append(s.create(Account(name="B", custom={"region": region})).custom["region"])
        except Conflict as e:
            made.append(e.code)
    assert made[:2] == ["US", "US"]
    assert made[2] not in ("US", "CA")


def test_what_a_transaction_undoes_was_never_defined(make_crm: Any) -> None:
    crm = make_crm()
    with crm.session(ADMIN) as s:
        with pytest.raises(ZeroDivisionError), s.savepoint():
            s.custom_fields.add(Account, "region")
            assert s.create(Account(name="A", custom={"region": "EU"})).custom["region"] == "EU"
            raise ZeroDivisionError
        with pytest.raises(Invalid):
            s.create(Account(name="B", custom={"region": "EU"}))
    with crm.session(ADMIN) as s:
        assert s.create(Account(name="C")).custom == {}


def test_a_tenant_without_custom_fields_pays_no_statement(make_crm: Any) -> None:
    from sqlalchemy import event

    crm, seen = make_crm(), []
    with crm.session(ADMIN) as s:
        made = s.create(Account(name="A"))
    event.listen(crm.bound.engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    with crm.session(ADMIN) as s:
        s.query(Account).page(10)
        s.get(Account, made.id)
        s.update(Account, made.id, {"name": "B"})
    assert [sql for sql in seen if "custom_" in sql] == []
