"""On an adopted table: imports, exports, erasure, segments by rule, sharing, keys, and customers seen whole."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import sessionmaker

from crm_core import CRM, Account, Actor, Channel, Conflict, Email, FileKeys, Interaction, Link, Money, custom
from crm_core.adoption import Adopted
from crm_core.entities.customer import AccountKind
from crm_core.io import Importer, export, mapping_of
from crm_core.privacy import erase
from crm_core.testing.databases import Database
from crm_sales.api import Opportunity
from tests.adoption.shop import CUSTOMER, HOST, Base, Customer, World, an_engine


def test_a_file_is_imported_into_the_hosts_table_and_a_second_time_changes_nothing(world: World, tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_text("Nr;Name;Manager\n1;Import One;4\n2;Import Two;5\n3;Import Three;\n", encoding="utf-8")
    importer = Importer(
        world.crm, HOST, mapping_of({"entity": "account", "key": "old:{Nr}", "fields": {"name": "Name", "owner": "Manager"}})
    )
    first, second = importer.run(path), importer.run(path)
    assert [(r.created, r.updated, r.unchanged, r.failed) for r in (first, second)] == [(3, 0, 0, 0), (0, 0, 3, 0)]
    with world.db() as db:
        imported = select(Customer.company_name, Customer.manager_id).where(Customer.company_name.startswith("Import"))
        assert sorted(map(tuple, db.execute(imported))) == [("Import One", 4), ("Import Three", None), ("Import Two", 5)]
    with world.crm.session(HOST) as s:
        with pytest.raises(Conflict):
            s.create(Account(name="Another", external_ref="old:1"))
        assert s.upsert(Account(name="Import 1", external_ref="old:1"), on="external_ref").version == 2


def test_an_export_has_the_hosts_rows(world: World, tmp_path: Path) -> None:
    world.add("Exported", manager_id=77)
    path = tmp_path / "accounts.csv"
    with world.crm.session(HOST) as s:
        export(s, s.query(Account).where(Account.owner == "77"), path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        assert [(row["name"], row["owner"]) for row in csv.DictReader(file)] == [("Exported", "77")]


def test_erasing_a_person_empties_the_hosts_columns_that_the_crm_knows(world: World) -> None:
    number = world.add("Ada Byron", sort="person", homepage="https://ada.example")
    with world.crm.session(HOST) as s:
        s.update(Account, world.id(number), {"emails": [Email("ada@ockham.example")]})
        assert s.get(Account, world.id(number)).kind is AccountKind.PERSON
        erase(s, s.get(Account, world.id(number)).ref, reason="her letter")
        assert s.find(Account, world.id(number)) is None
    with world.engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM customers WHERE id = :id"), {"id": number}).mappings().one()
        kept = [str(r) for r in connection.execute(world.crm.tables.system.journal.select())]
    assert "Ada" not in str(dict(row))
    assert "ada@ockham" not in str(dict(row))
    assert not any("Ada Byron" in line or "ada@ockham" in line for line in kept)


def test_what_belongs_to_a_customer_is_seen_around_it(world: World) -> None:
    number = world.add("Whole")
    with world.crm.session(HOST) as s:
        account = s.get(Account, world.id(number))
        s.create(Interaction(at=world.crm.runtime.clock.now(), channel=Channel.CALL, body="Called.", links=[Link.to(account)]))
        s.create(Opportunity(name="Seen", account=account.ref, amount=Money("9", "EUR")))
        seen = s.view360(account)
    body = world.crm.to_json(seen)
    assert "Called." in str(body)
    assert "Whole" in str(body)


def test_custom_fields_of_a_hosts_rows_are_written_found_and_sorted_by(world: World) -> None:
    gold, plain = world.add("Gold"), world.add("Plain")
    with world.crm.session(HOST) as s:
        s.custom_fields.add(Account, "tier", kind="choice", options=["gold", "basic"])
        s.update(Account, world.id(gold), {"custom.tier": "gold"})
    with world.crm.session(HOST) as s:
        assert [a.id for a in s.query(Account).where(custom("tier") == "gold").all()] == [world.id(gold)]
        assert s.query(Account).order_by(custom("tier").desc()).page(1)[0].id == world.id(gold)
        assert s.get(Account, world.id(plain)).custom == {"tier": None}
        s.custom_fields.delete(Account, "tier", with_data=True)


def test_amounts_in_custom_fields_of_a_hosts_rows_are_summed_paged_brought_by_files_and_deleted(world: World, tmp_path: Path) -> None:
    rows = {name: world.add(name) for name in ("Money one", "Money two", "Money none")}
    source, written = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("name,budget\nMoney one,2.50\nMoney two,10\n", encoding="utf-8")
    with world.crm.session(HOST) as s:
        s.custom_fields.add(Account, "budget", kind="money", currency="EUR", scale=2)
    fields = {"name": "name", "custom.budget": "budget"}
    report = Importer(world.crm, HOST, mapping_of({"entity": "account", "match": "name", "fields": fields})).run(source)
    assert (report.updated, report.failures) == (2, [])
    with world.crm.session(HOST) as s:
        budget, ours = s.custom_fields.column(Account, "budget"), Account.name.startswith("Money")
        assert s.execute(select(func.sum(budget), func.min(budget)).where(ours)).one() == (Money("12.50", "EUR"), Money("2.50", "EUR"))
        pages = s.query(Account).where(ours).order_by(custom("budget").desc())
        first = pages.page(2)
        assert [a.name for a in (*first, *pages.page(2, after=first.next))] == ["Money two", "Money one", "Money none"]
        export(s, pages, written, fields=["name", "custom.budget"])
        assert [
            c.changes["custom.budget"].new for c in s.history(s.get(Account, world.id(rows["Money two"]))) if "custom.budget" in c.changes
        ] == [{"amount": "10.00", "currency": "EUR"}]
        assert s.custom_fields.delete(Account, "budget", with_data=True) == 2
        assert "budget" not in s.get(Account, world.id(rows["Money two"])).custom
    assert written.read_text("utf-8").splitlines()[1:] == ["Money two,10.00,EUR", "Money one,2.50,EUR", "Money none,,"]


def test_a_record_is_shared_with_somebody_who_sees_nothing_else(world: World) -> None:
    number = world.add("Shared", manager_id=901)
    guest = Actor("902", roles={"shop.guest"})
    with world.crm.session(HOST) as s:
        s.share(s.get(Account, world.id(number)), "user:902", "read")
    with world.crm.session(guest, write=False) as s:
        assert [a.name for a in s.query(Account).all()] == ["Shared"]


def test_a_rule_on_related_records_reads_the_hosts_table(world: World) -> None:
    mine, other = world.add("Mine", manager_id=903), world.add("Other", manager_id=904)
    with world.crm.session(HOST) as s:
        for number in (mine, other):
            s.create(Opportunity(name=f"Of {number}", account=s.get(Account, world.id(number)).ref, amount=Money("1", "EUR"), owner="903"))
    with world.crm.session(Actor("903", roles={"shop.guest"}), write=False) as s:
        assert [o.name for o in s.query(Opportunity).all()] == [f"Of {mine}"]


def test_with_keys_what_is_personal_of_the_hosts_rows_is_sealed_in_the_journal(database: Database, tmp_path: Path) -> None:
    engine = an_engine(database.url)
    Base.metadata.create_all(engine)
    maker: Any = sessionmaker(engine)
    crm = CRM(engine, keys=FileKeys.create(tmp_path / "root.key"), adopt={Account: Adopted(Customer, CUSTOMER)})
    crm.migrate()
    crm.adoption.observe(maker)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO customers (company_name, country) VALUES ('Hidden before', 'DE')"))
    with maker.begin() as db:
        db.add(Customer(company_name="Hidden"))
        db.flush()
        db.get_one(Customer, 1).company_name = "Hidden now"
    with crm.session(HOST) as s:
        account = s.get(Account, crm.adoption.id(Account, 1))
        assert s.as_of(account.created_at).get(Account, account.id).name == "Hidden before"
    with engine.connect() as connection:
        rows = connection.execute(crm.tables.system.journal.select()).all()
    assert [row.kind for row in rows if "Hidden" in str(row)] == []
    assert len(rows) >= 3
    crm.run_pending()
    assert crm.audit.verify().findings == []
    crm.close()
    engine.dispose()


def test_the_audit_of_a_journal_with_taken_up_rows_is_whole(world: World) -> None:
    world.crm.adoption.fill()
    world.crm.run_pending()
    verdict = world.crm.audit.verify()
    assert (list(verdict.findings), verdict.unsealed) == ([], {})
    assert verdict.sealed["main"] > 0
