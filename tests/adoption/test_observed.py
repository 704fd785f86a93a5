"""What the host's ORM writes to an adopted table is in the journal, in the host's own transaction, and subscribers hear of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from crm_core import CRM, Account, Actor, Conflict, Contact, Money
from crm_core.adoption import Adopted
from crm_core.testing.databases import Database
from crm_sales.api import Opportunity
from tests.adoption.shop import CUSTOMER, HOST, SELLER, Base, Customer, Person, World

CUSTOMERS = Base.metadata.tables["customers"]
BOB = Actor("9", roles={SELLER.name})


def kinds(world: World, customer: int) -> list[tuple[str, int, str]]:
    return [(row.kind.split(".")[1], row.version, row.actor) for row in world.journal(customer)]


def test_a_new_row_is_journalled_and_delivered_with_its_values(world: World) -> None:
    world.news()
    number = world.add("Fresh", manager_id=3, homepage="https://fresh.example")
    assert kinds(world, number) == [("created", 1, "system:host")]
    assert world.news() == [
        ("created", {"name": "Fresh", "owner": "3", "website": "https://fresh.example", "kind": "company", "ears_level": "basic"})
    ]


def test_a_changed_attribute_is_journalled_with_old_and_new_though_the_object_never_loaded_the_old(world: World) -> None:
    number = world.add("Ach")
    world.news()
    with world.db.begin() as db:
        customer = db.get_one(Customer, number)
        db.expire(customer)
        customer.company_name = "Acht"
        customer.country = "FR"  # none of ours
    assert kinds(world, number) == [("created", 1, "system:host"), ("updated", 2, "system:host")]
    assert world.news() == [("updated", {"name": ("Ach", "Acht")})]
    with world.crm.session(HOST) as s:
        assert s.get(Account, world.id(number)).version == 2


def test_a_value_that_the_database_computes_is_told_as_it_became(world: World) -> None:
    number = world.add("quiet")
    world.news()
    with world.db.begin() as db:
        db.get_one(Customer, number).company_name = func.upper(Customer.company_name)
    assert world.news() == [("updated", {"name": ("quiet", "QUIET")})]


def test_what_changes_nothing_of_ours_raises_no_version(world: World) -> None:
    number = world.add("Same")
    with world.db.begin() as db:
        db.get_one(Customer, number).country = "IT"
    assert kinds(world, number) == [("created", 1, "system:host")]


def test_whoever_acts_is_in_the_journal(world: World) -> None:
    number = world.add("Acted")
    with world.crm.adoption.acting(BOB), world.db.begin() as db:
        db.get_one(Customer, number).company_name = "Acted by Bob"
    with world.db.begin() as db:
        db.info["crm_actor"] = Actor("10")
        db.get_one(Customer, number).company_name = "Acted by Cid"
    with world.db.begin() as db:
        db.get_one(Customer, number).company_name = "Acted by nobody"
    assert [actor for _, _, actor in kinds(world, number)] == ["system:host", "9", "10", "system:host"]


def test_a_rollback_leaves_nothing(world: World) -> None:
    number = world.add("Kept")
    world.news()
    with world.db() as db:
        db.get_one(Customer, number).company_name = "Lost"
        db.add(Customer(company_name="Lost too"))
        db.flush()
        db.rollback()
    with world.db.begin() as db:
        db.get_one(Customer, number).homepage = "https://kept.example"
        with pytest.raises(ZeroDivisionError), db.begin_nested():
            db.get_one(Customer, number).company_name = "Lost as well"
            db.flush()
            raise ZeroDivisionError
    assert world.news() == [("updated", {"website": (None, "https://kept.example")})]
    assert [version for _, version, _ in kinds(world, number)] == [1, 2]


def test_a_flush_that_fails_leaves_nothing_behind_in_the_session(world: World) -> None:
    number = world.add("Failing")
    with world.db() as db:
        db.get_one(Customer, number).company_name = "Half"
        db.add(Person(full_name=None))
        with pytest.raises(IntegrityError):
            db.flush()
        db.rollback()
        db.get_one(Customer, number).company_name = "Whole"
        db.commit()
    assert world.journal(number)[-1].version == 2


def test_the_hosts_rows_and_ours_commit_together(world: World) -> None:
    with world.db.begin() as db:
        customer = Customer(company_name="Together")
        db.add(customer)
        db.flush()
        number = customer.id
        with world.crm.session(HOST, on=db) as s:
            account = s.get(Account, world.id(number))
            deal = s.create(Opportunity(name="Deal", account=account.ref, amount=Money("1", "EUR")))
            s.update(Account, account.id, {"industry": "Chairs"})
        customer.company_name = "Together Ltd"
    assert [version for _, version, _ in kinds(world, number)] == [1, 2, 3]
    with world.crm.session(HOST, write=False) as s:
        assert s.get(Opportunity, deal.id).account == account.ref


def test_an_update_of_many_rows_is_told_row_by_row(world: World) -> None:
    numbers = [world.add(f"Many {n}", manager_id=600) for n in range(3)]
    other = world.add("Many 9", manager_id=601)
    world.news()
    with world.db.begin() as db:
        db.execute(update(Customer).where(Customer.manager_id == 600).values(manager_id=602, company_name=Customer.company_name + "!"))
        db.execute(update(Customer), [{"id": numbers[0], "homepage": "https://0.example"}, {"id": other, "homepage": "https://9.example"}])
        db.execute(update(CUSTOMERS).where(CUSTOMERS.c.manager_id == 601).values(country="AT", manager_id=603))
    found = world.news()
    assert sorted(values["name"] for _, values in found if "name" in values) == [(f"Many {n}", f"Many {n}!") for n in range(3)]
    assert [version for _, version, _ in kinds(world, other)] == [1, 2, 3]
    assert [version for _, version, _ in kinds(world, numbers[0])] == [1, 2, 3]
    assert sum(kind == "updated" for kind, _ in found) == 6


def test_an_insert_of_many_rows_is_told_row_by_row(world: World) -> None:
    world.news()
    with world.db.begin() as db:
        db.execute(insert(Customer), [{"company_name": f"Bulk {n}", "country": "DE"} for n in range(3)])
        db.execute(insert(Customer).values(company_name="Bulk 3", country="DE"))
    assert sorted(values["name"] for kind, values in world.news() if kind == "created") == [f"Bulk {n}" for n in range(4)]


def test_a_deleted_row_is_a_deleted_record_with_its_last_values(world: World) -> None:
    number, second = world.add("Gone"), world.add("Gone too")
    world.news()
    with world.db.begin() as db:
        db.delete(db.get_one(Customer, number))
        db.execute(delete(Customer).where(Customer.id == second))
    assert sorted(values["name"] for kind, values in world.news() if kind == "deleted") == ["Gone", "Gone too"]
    assert [kind for kind, _, _ in kinds(world, second)] == ["created", "deleted"]
    with world.crm.session(HOST, write=False) as s:
        assert s.find(Account, world.id(number)) is None
    assert world.add("Reusing") >= number  # SQLite gives the number again: its record goes on with the versions


def test_a_customer_with_deals_is_protected_and_its_row_stays(world: World) -> None:
    number = world.add("Owing")
    with world.crm.session(HOST) as s:
        s.create(Opportunity(name="Deal", account=s.get(Account, world.id(number)).ref, amount=Money("1", "EUR")))
    with world.db() as db, pytest.raises(Conflict) as e:
        db.delete(db.get_one(Customer, number))
        db.flush()
    assert e.value.code == "protected"
    with pytest.raises(IntegrityError), world.engine.begin() as connection:
        connection.execute(text("DELETE FROM customers WHERE id = :id"), {"id": number})
    assert kinds(world, number)[-1][0] == "created"


def test_what_points_at_a_customer_that_goes_is_let_go_and_journalled(world: World) -> None:
    number = world.add("Parent")
    with world.crm.session(HOST) as s:
        child = s.create(Contact(name="Child", account=s.get(Account, world.id(number)).ref))
    with world.db.begin() as db:
        db.delete(db.get_one(Customer, number))
    with world.crm.session(HOST, write=False) as s:
        assert s.find(Contact, child.id) is None or s.get(Contact, child.id).account is None


def test_an_orphan_that_the_orm_deletes_is_seen(world: World) -> None:
    with world.db.begin() as db:
        customer = Customer(company_name="Parent", people=[Person(full_name="Ada"), Person(full_name="Ben")])
        db.add(customer)
        db.flush()
        number = customer.id
    with world.db.begin() as db:
        customer = db.get_one(Customer, number)
        customer.people.remove(next(p for p in customer.people if p.full_name == "Ben"))
    table = world.crm.tables.system.journal
    with world.engine.connect() as connection:
        rows = connection.execute(table.select().where(table.c.entity == "contact").order_by(table.c.id)).all()
    assert [row.kind.split(".")[1] for row in rows][-3:] == ["created", "created", "deleted"]
    assert rows[-1].personal["old"]["name"] == "Ben"


def test_the_hosts_archive_column_deletes_and_restores(world: World) -> None:
    number = world.add("Archived")
    world.news()
    with world.db.begin() as db:
        db.get_one(Customer, number).archived = world.crm.runtime.clock.now()
    with world.crm.session(HOST, write=False) as s:
        assert s.find(Account, world.id(number)) is None
    with world.db.begin() as db:
        db.get_one(Customer, number).company_name = "Archived still"  # of what is deleted nothing is told
        db.flush()
        db.get_one(Customer, number).archived = None
    assert [kind for kind, _ in world.news()] == ["deleted", "restored"]
    with world.crm.session(HOST, write=False) as s:
        assert s.get(Account, world.id(number)).name == "Archived still"


def test_a_text_goes_past_us_and_fill_takes_up_the_new_row(world: World) -> None:
    world.crm.adoption.fill()
    world.news()
    with world.db.begin() as db:
        number = db.execute(text("INSERT INTO customers (company_name, country) VALUES ('Past us', 'DE') RETURNING id")).scalar_one()
    with world.crm.session(HOST, write=False) as s:
        assert s.get(Account, world.id(number)).name == "Past us"
    assert world.journal(number) == []
    assert world.crm.adoption.fill(limit=0) == 0
    assert (world.crm.adoption.fill(), world.crm.adoption.fill()) == (1, 0)
    assert [(kind, values["name"]) for kind, values in world.news()] == [("created", "Past us")]
    assert world.journal(number)[0].reason == "adopted"


def test_people_with_uuid_keys_are_observed_too(world: World) -> None:
    with world.db.begin() as db:
        db.execute(insert(Person), [{"full_name": "Uma", "buys": False}])
        ida = Person(full_name="Ida")
        db.add(ida)
        db.flush()
        key = str(ida.id)
    world.crm.adoption.fill()
    with world.crm.session(HOST, write=False) as s:
        assert {c.name for c in s.query(Contact).where(Contact.name.in_(["Uma", "Ida"])).all()} == {"Uma", "Ida"}
        assert s.get(Contact, key).version == 1


def test_counting_all_of_it_the_journal_and_the_table_agree(world: World) -> None:
    world.crm.adoption.fill()
    journal = world.crm.tables.system.journal
    with world.engine.connect() as connection:
        last = (
            select(journal.c.record, func.max(journal.c.version).label("v")).where(journal.c.entity == "account").group_by(journal.c.record)
        )
        known = {row.record: row.v for row in connection.execute(last)}
        table = world.crm.table(Account)
        living = {row.id: row.version for row in connection.execute(select(table.c.id, table.c.version))}
    assert living.items() <= known.items()


def test_who_listens_twice_hears_once(world: World) -> None:
    world.crm.adoption.observe(world.db)
    world.crm.adoption.observe(world.db.class_)
    world.news()
    number = world.add("Once")
    with world.db.begin() as db:
        db.execute(update(Customer).where(Customer.id == number).values(company_name="Once more"))
    assert [kind for kind, _ in world.news()] == ["created", "updated"]


def test_in_safe_mode_the_host_writes_on_and_its_rows_are_taken_up_later(world: World) -> None:
    world.crm.adoption.fill()
    safe = CRM(world.engine, safe_mode=True, adopt={Account: Adopted(Customer, CUSTOMER)})
    maker = sessionmaker(world.engine)
    safe.adoption.observe(maker)
    with maker.begin() as db:
        db.add(Customer(company_name="Meanwhile"))
        db.execute(update(Customer).where(Customer.company_name == "Meanwhile").values(country="AT"))
    with world.crm.session(HOST, write=False) as s:
        assert s.query(Account).where(Account.name == "Meanwhile").one().version == 1
    assert world.crm.adoption.fill() == 1
    safe.close()


def test_an_asynchronous_session_is_observed(database: Database) -> None:
    async def host() -> list[tuple[str, int]]:
        engine = create_async_engine(database.async_url)
        maker = async_sessionmaker(engine, sync_session_class=sessionmaker().class_)
        crm = CRM(engine, adopt={Account: Adopted(Customer, CUSTOMER)})
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        await crm.run(lambda c: c.migrate())
        crm.adoption.observe(maker.kw["sync_session_class"])
        async with maker.begin() as db:
            customer = Customer(company_name="Async")
            db.add(customer)
            await db.flush()
            customer.company_name = "Async too"
        async with crm.asession(HOST) as s:
            found = await s.run(lambda s: [(a.name, a.version) for a in s.query(Account).all()])
        await crm.run(lambda c: c.close())
        await engine.dispose()
        return found

    assert asyncio.run(host()) == [("Async too", 2)]


def test_an_insert_that_gives_a_key_below_the_highest_is_told_however_it_gives_it(world: World) -> None:
    world.crm.adoption.fill()
    top = world.add("Highest") + 50
    with world.db.begin() as db:
        db.add(Customer(id=top, company_name="Highest of all"))
    world.news()
    ways: list[tuple[Any, Any]] = [
        (insert(Customer), [{"id": top - 1, "company_name": "Listed"}, {"id": top + 1, "company_name": "Listed above"}]),
        (insert(Customer), {"id": top - 2, "company_name": "One"}),
        (insert(Customer).values(id=top - 3, company_name="Said"), None),
        (insert(CUSTOMERS).values([{"id": top - 4, "company_name": "Of several"}, {"id": top - 5, "company_name": "The other"}]), None),
        (insert(CUSTOMERS).values({CUSTOMERS.c.id: top - 6, CUSTOMERS.c.company_name: "By column"}), None),
    ]
    with world.db.begin() as db:
        for statement, given in ways:
            db.execute(statement, given)
    told = sorted(values["name"] for kind, values in world.news() if kind == "created")
    assert told == ["By column", "Listed", "Listed above", "Of several", "One", "Said", "The other"]
    assert world.crm.adoption.fill() == 0


def test_a_row_that_was_there_is_not_told_as_new_by_an_insert_that_lets_it_be(world: World) -> None:
    number = world.add("There")
    world.news()
    with world.db.begin() as db:
        upsert = postgresql_insert if db.get_bind().dialect.name == "postgresql" else sqlite_insert
        made = upsert(CUSTOMERS).values([{"id": number, "company_name": "Never"}, {"id": number + 7, "company_name": "New"}])
        db.execute(made.on_conflict_do_nothing())
    assert [(kind, values["name"]) for kind, values in world.news()] == [("created", "New")]
