"""Tenants of an adopted table: dropped, suspended and backed up as others are, and the rows of the host stay the host's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Engine, String, or_, select, text
from sqlalchemy.orm import registry, sessionmaker

import crm_sales
from crm_core import CRM, Account, Actor, Contact, Money, NotFound, TenantSuspended
from crm_core.backup import backup, restore
from crm_core.testing.databases import Database
from crm_sales.api import Opportunity
from tests.adoption.firms import adopting, firms

NAMES = ("acme", "beta")


@pytest.fixture
def crm(database: Database) -> Iterator[CRM]:
    """Return a CRM whose accounts are the rows of a table with a tenant's column, two tenants' each."""
    rows = {"firms": [{"title": f"Old {name}", "org": name} for name in NAMES]}
    with adopting(database, firms(Column("org", String(80))), rows, tenant="org") as crm:
        for name in NAMES:
            with crm.session(of(name)) as s:
                account = s.create(Account(name=f"New {name}", industry="Chairs", external_ref=f"{name}:1"))
                s.create(Contact(name="Ada", account=account.ref))
                s.create(Opportunity(name="Deal", account=account.ref, amount=Money("1", "EUR")))
        yield crm


def of(tenant: str) -> Actor:
    return Actor.system("t", tenant=tenant)


def hosts(crm: CRM) -> list[tuple[str, str, str | None]]:
    engine: Engine = crm.bound.engine
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT org, title, crm_industry FROM firms ORDER BY id")).all()
    return [(row.org, row.title, row.crm_industry) for row in rows]


def test_a_dropped_tenants_records_go_and_the_hosts_rows_stay_without_what_the_crm_wrote_in_its_columns(crm: CRM) -> None:
    gone = crm.tenants.drop("acme")
    assert (gone["contact"], gone["sales.opportunity"]) == (1, 1)
    assert "account" not in gone
    assert hosts(crm) == [
        ("acme", "Old acme", None),
        ("beta", "Old beta", None),
        ("acme", "New acme", None),
        ("beta", "New beta", "Chairs"),
    ]
    journal = crm.tables.system.journal
    with crm.bound.engine.connect() as connection:
        kept = connection.execute(select(journal.c.kind).where(journal.c.tenant == "acme")).scalars().all()
    assert kept == ["core.tenant_dropped.v1"]
    with crm.session(of("beta")) as s:
        assert s.query(Opportunity).one().account is not None
        assert {(a.name, a.industry, a.version) for a in s.query(Account).all()} == {("Old beta", None, 1), ("New beta", "Chairs", 1)}
    with crm.session(of("acme")) as s:  # who begins anew meets the rows that the host kept, as rows that nobody saw
        assert s.query(Contact).all() == []
        [again, _] = s.query(Account).order_by(Account.name).all()
        assert (again.name, again.industry, again.version) == ("New acme", None, 1)
        assert s.update(Account, again.id, {"industry": "Tables"}).version == 2
        assert len(s.history(again)) == 2


def test_a_tenant_that_has_nothing_but_rows_of_the_hosts_is_none_to_drop(crm: CRM) -> None:
    with crm.bound.engine.begin() as connection:
        connection.execute(text("INSERT INTO firms (title, org) VALUES ('Only', 'gamma')"))
    with pytest.raises(NotFound) as e:
        crm.tenants.drop("gamma")
    assert e.value.code == "tenant_unknown"
    assert ("gamma", "Only", None) in hosts(crm)


def test_a_suspended_tenant_is_refused_and_the_other_works(crm: CRM) -> None:
    crm.tenants.suspend("acme")
    with pytest.raises(TenantSuspended), crm.session(of("acme")) as s:
        s.query(Account).all()
    with crm.session(of("beta")) as s:
        assert s.query(Account).count() == 2
    crm.tenants.resume("acme")
    with crm.session(of("acme")) as s:
        assert s.query(Account).count() == 2


def test_a_backup_of_one_tenant_has_its_rows_of_the_hosts_table_alone(crm: CRM, tmp_path: Path) -> None:
    manifest = backup(crm, tmp_path / "acme.crm", plain=True, tenant="acme")
    assert manifest.tables["account"].rows == 2
    away = CRM(f"sqlite:///{tmp_path / 'away.db'}", plugins=[crm_sales.plugin])
    restore(away, tmp_path / "acme.crm", tenant="acme")
    with away.session(of("acme")) as s:
        assert sorted(a.name for a in s.query(Account).all()) == ["New acme", "Old acme"]
        assert s.query(Opportunity).one().account is not None
    with away.session(of("beta")) as s:
        assert s.query(Account).all() == []
    away.close()


def test_a_row_that_does_not_say_whose_it_is_is_nobodys_and_in_nobodys_way(crm: CRM) -> None:
    table = crm.tables.adopted[Account].table
    firm: Any = type("Firm", (), {})
    registry().map_imperatively(firm, table)
    orm = sessionmaker(crm.bound.engine)
    crm.adoption.observe(orm)
    with orm.begin() as db:
        for org in (None, "", "x" * 70, "acme"):
            made: Any = firm()
            made.title, made.org = f"Of {org}"[:20], org
            db.add(made)
    with orm.begin() as db:
        for each in db.query(firm).filter(or_(table.c.org.is_(None), table.c.org == "acme")):
            each.title += "!"
    assert crm.adoption.fill() == 1  # beta's from before: acme's was changed, and so is known
    with crm.session(of("acme")) as s:
        assert "Of acme!" in [a.name for a in s.query(Account).all()]
    with crm.session(of("main")) as s:
        assert s.query(Account).all() == []
    with orm.begin() as db:
        for each in db.query(firm).filter(table.c.org.is_(None)):
            each.org = "beta"
    assert crm.adoption.fill() == 1
    with crm.session(of("beta")) as s:
        assert "Of None!" in [a.name for a in s.query(Account).all()]
