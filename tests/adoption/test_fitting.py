"""What an adopted table cannot hold is refused before it is written, with the field named: another's tenant above all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Enum, ForeignKey, Integer, SmallInteger, String, Table, func, select, text

from crm_core import CRM, Account, Actor, Conflict, Contact, CRMError, Invalid, Money, NotFound, Ref, Refused
from crm_core.entities.customer import AccountKind
from crm_core.io import Importer, mapping_of
from crm_core.testing.databases import Database
from crm_sales.api import Opportunity
from tests.adoption.firms import adopting, firms
from tests.adoption.shop import HOST

ACME = Actor.system("x", tenant="acme")


def staffed(*extra: Column[Any]) -> Table:
    """Return firms that have a manager among the users."""
    table = firms(Column("manager", Integer, ForeignKey("users.id", deferrable=True, initially="DEFERRED")), *extra, title=20)
    Table("users", table.metadata, Column("id", Integer, primary_key=True))
    return table


def managed(database: Database, table: Table, **columns: str) -> AbstractContextManager[CRM]:
    """Open a CRM on such firms; user 7 is there."""
    return adopting(database, table, {"users": [{"id": 7}]}, owner="manager", **columns)


def engine_of(crm: CRM) -> Engine:
    return crm.bound.engine


def rows(crm: CRM) -> int:
    with engine_of(crm).connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM firms")).scalar_one())


WAYS: dict[str, Callable[[Any], Any]] = {
    "create": lambda s: s.create(Account(name="Theirs")),
    "create many": lambda s: s.create_many([Account(name="Theirs"), Account(name="Too")]),
    "create many that collects": lambda s: s.create_many([Account(name="Theirs")], on_error="collect"),
    "upsert": lambda s: s.upsert(Account(name="Theirs", external_ref="a:1"), on="external_ref"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_tenant_that_the_table_cannot_hold_makes_nothing_there(database: Database, way: str) -> None:
    with managed(database, staffed()) as crm:
        with crm.session(ACME) as s:
            with pytest.raises(Refused) as e:
                WAYS[way](s)
            assert s.create(Contact(name="Their own")).tenant == "acme"
        assert (e.value.code, e.value.params) == ("adopted_tenant", {"entity": "account", "table": "firms", "tenant": "acme"})
        assert "acme" in str(e.value)
        assert rows(crm) == 0
        journal = crm.tables.system.journal
        with engine_of(crm).connect() as connection:
            of_accounts = select(func.count()).select_from(journal).where(journal.c.entity == "account")
            assert connection.execute(of_accounts).scalar_one() == 0


def test_an_import_for_such_a_tenant_makes_nothing(database: Database, tmp_path: Path) -> None:
    with managed(database, staffed()) as crm:
        file = tmp_path / "firms.csv"
        file.write_text("Nr;Name\n1;Theirs\n", encoding="utf-8")
        importer = Importer(crm, ACME, mapping_of({"entity": "account", "key": "old:{Nr}", "fields": {"name": "Name"}}))
        with pytest.raises(Refused) as e:
            importer.run(file)
        assert (e.value.code, rows(crm)) == ("adopted_tenant", 0)


def test_another_tenant_reads_changes_and_points_at_nothing_in_the_table(database: Database) -> None:
    with managed(database, staffed()) as crm:
        with crm.session(HOST) as s:
            ours = s.create(Account(name="Ours", external_ref="a:1"))
        with crm.session(ACME) as s:
            assert s.query(Account).all() == []
            assert s.execute(select(func.count()).select_from(Account)).scalar_one() == 0
            assert s.find(Account, ours.id) is None
            for call in (
                lambda: s.get(Account, ours.id),
                lambda: s.update(Account, ours.id, {"name": "Theirs"}),
                lambda: s.delete(ours),
            ):
                with pytest.raises(NotFound):
                    call()
            for made in (
                lambda: Contact(name="C", account=Ref(Account, ours.id)),
                lambda: Opportunity(name="O", amount=Money("1", "EUR"), account=Ref(Account, ours.id)),
            ):
                with pytest.raises(Invalid) as e:
                    s.create(made())
                assert e.value.details[0].code == "bad_ref"
            with pytest.raises(Refused):
                s.upsert(Account(name="Theirs", external_ref="a:1"), on="external_ref")
        with crm.session(HOST) as s:
            assert [(a.tenant, a.name, a.version) for a in s.query(Account).all()] == [("main", "Ours", 1)]


def test_the_tenant_whose_the_whole_table_is_can_be_dropped_and_no_other_takes_its_rows_along(database: Database) -> None:
    with managed(database, staffed()) as crm:
        with crm.session(HOST) as s:
            s.create(Account(name="Ours", industry="Chairs"))
        with crm.session(ACME) as s:
            s.create(Contact(name="Theirs"))
        crm.tenants.drop("acme")
        with crm.session(HOST) as s:
            assert [a.industry for a in s.query(Account).all()] == ["Chairs"]
        crm.tenants.drop("main")
        with crm.session(HOST) as s:
            assert [(a.name, a.industry) for a in s.query(Account).all()] == [("Ours", None)]


@pytest.mark.parametrize(
    ("column", "tenant", "other"),
    [
        (Column("org", Integer, nullable=False), "1", ("01", "acme", "1_0", "١", str(1 << 70))),
        (Column("org", SmallInteger, nullable=False), "1", (str(1 << 70),)),
        (Column("org", String(4), nullable=False), "acme", ("acme2",)),
        (Column("org", Enum("a", "b", name="orgs"), nullable=False), "a", ("c",)),
    ],
    ids=["number", "small number", "text", "options"],
)
def test_a_tenant_that_the_tables_column_cannot_tell_from_another_is_refused(
    database: Database, column: Column[Any], tenant: str, other: tuple[str, ...]
) -> None:
    with managed(database, staffed(column._copy()), tenant="org") as crm:
        with crm.session(Actor.system("x", tenant=tenant)) as s:
            assert s.create(Account(name="Fits")).tenant == tenant
            assert [a.tenant for a in s.query(Account).all()] == [tenant]
        for name in other:
            with crm.session(Actor.system("x", tenant=name)) as s:
                with pytest.raises(CRMError) as e:
                    s.create(Account(name="Theirs"))
                assert s.query(Account).all() == []
            assert e.value.code == "adopted_tenant"
        assert rows(crm) == 1


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"name": "x" * 21}, "too_long", "name"),
        ({"owner": "anna"}, "adopted_value", "owner"),
        ({"owner": "007"}, "adopted_value", "owner"),
        ({"owner": str(1 << 64)}, "too_big", "owner"),
        ({"owner": "9999"}, "reference_broken", "owner"),
        ({"website": "https://much.too.long.example"}, "too_long", "website"),
        ({"kind": AccountKind.PERSON}, "adopted_value", "kind"),
    ],
)
def test_what_a_column_cannot_hold_is_refused_with_the_field_named(
    database: Database, changes: dict[str, Any], code: str, field: str
) -> None:
    extra: Any = Column("site", String(10)), Column("sort", Enum("company", name="sorts"))
    with managed(database, staffed(*extra), website="site", kind="sort") as crm:
        for way in ("create", "update", "many"):
            with crm.session(HOST) as s:
                there = s.create(Account(name="There", owner="7"))
                if way == "many":
                    [(row, error)] = s.create_many([Account(name="Fine"), Account(**{"name": "A", **changes})], on_error="collect").failed
                    assert row == 1
                else:
                    with pytest.raises((Invalid, Conflict)) as e:
                        if way == "create":
                            s.create(Account(**{"name": "A", **changes}))
                        else:
                            s.update(Account, there.id, changes)
                    error = e.value
            assert [(d.entity, d.field, d.code) for d in error.details] == [("account", field, code)]


def test_a_value_that_the_host_wrote_past_its_own_columns_length_is_told_of(sqlite_databases: Any) -> None:
    with managed(sqlite_databases.create(), staffed()) as crm:
        with engine_of(crm).begin() as connection:
            connection.execute(text("INSERT INTO firms (title) VALUES (:title)"), {"title": "x" * 25})
        assert [(f.key, f.detail.field, f.detail.code, f.detail.params["limit"]) for f in crm.adoption.check()] == [
            (1, "name", "too_long", 20)
        ]
