"""A host's table as an entity: every way to read and write records works on it, and not one row is copied."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import func, inspect, select, text

from crm_core import Account, Actor, Conflict, Contact, Denied, Email, Invalid, Money
from crm_core.entities.customer import AccountKind
from crm_sales.api import Opportunity
from tests.adoption.shop import HOST, Customer, Person, Rank, World


def test_rows_from_before_are_records_at_once_and_there_is_no_table_beside(world: World) -> None:
    with world.crm.session(HOST, write=False) as s:
        acme, before = s.query(Account).where(Account.name.in_(["Acme", "Before"])).order_by(Account.name).all()
    assert (acme.owner, acme.version, acme.tenant, acme.kind) == ("7", 1, "main", AccountKind.COMPANY)
    assert (before.owner, before.website, acme.emails) == (None, "https://before.example", [])
    assert "crm_account" not in inspect(world.engine).get_table_names()


def test_what_the_crm_writes_stands_in_the_hosts_columns(world: World) -> None:
    with world.crm.session(HOST) as s:
        made = s.create(
            Account(name="Made", owner="12", website="https://made.example", kind=AccountKind.PERSON, emails=[Email("m@x.example")])
        )
        s.update(Account, made.id, {"name": "Made Ltd", "industry": "Chairs"})
    with world.db() as db:
        row = db.scalars(select(Customer).where(Customer.company_name == "Made Ltd")).one()
        assert (row.manager_id, row.homepage, row.sort, row.country) == (12, "https://made.example", "person", "DE")
        assert abs((row.entered.replace(tzinfo=UTC) - made.created_at).total_seconds()) < 0.001
        assert world.id(row.id) == made.id
    with world.crm.session(HOST) as s:
        again = s.get(Account, made.id)
    assert (again.version, again.industry, again.emails[0].address, again.created_at) == (2, "Chairs", "m@x.example", made.created_at)


def test_the_hosts_open_objects_see_what_the_crm_wrote_in_their_transaction(world: World) -> None:
    number = world.add("Open")
    with world.db.begin() as db:
        customer = db.get_one(Customer, number)
        with world.crm.session(HOST, on=db) as s:
            s.update(Account, world.id(number), {"name": "Opened"})
        assert customer.company_name == "Opened"


def test_numbers_go_on_for_both_sides(world: World) -> None:
    with world.crm.session(HOST) as s:
        ours = s.create_many([Account(name=f"Ours {n}") for n in range(3)])
    theirs = world.add("Theirs")
    keys = [world.crm.tables.adopted[Account].key.value(a.id, "sqlite") for a in ours.ok]
    assert [*keys, theirs] == list(range(keys[0], keys[0] + 4))


def test_a_role_sees_its_own_rows_and_sorts_filters_counts_and_pages_them(world: World) -> None:
    for n in range(7):
        world.add(f"Page {n}", manager_id=501 + n % 2)
    with world.crm.session(Actor("501", roles={"shop.seller"})) as s:
        assert [a.name for a in s.query(Account).order_by(Account.name).all()] == ["Page 0", "Page 2", "Page 4", "Page 6"]
        with pytest.raises(Denied):
            s.update(Account, s.query(Account).all()[0].id, {"owner": "502"})
    with world.crm.session(HOST, write=False) as s:
        mine = s.query(Account).where(Account.owner == "501").order_by(Account.name.desc())
        first = mine.page(3)
        assert [a.name for a in first] == ["Page 6", "Page 4", "Page 2"]
        assert [a.name for a in mine.page(3, after=first.next)] == ["Page 0"]
        totals = s.execute(select(Account.owner, func.count()).where(Account.name.startswith("Page")).group_by(Account.owner)).all()
        assert sorted(map(tuple, totals)) == [("501", 4), ("502", 3)]


def test_an_extension_is_a_column_in_the_hosts_table(world: World) -> None:
    number = world.add("Ranked")
    with world.crm.session(HOST) as s:
        assert s.get(Account, world.id(number))[Rank].level == "basic"
        s.update(Account, world.id(number), {"ears_level": "gold"})
    with world.engine.connect() as connection:
        found = connection.execute(text("SELECT crm_ears_level FROM customers WHERE id = :id"), {"id": number}).scalar()
    assert found == "gold"


def test_deals_point_at_customers_and_people_at_their_company(world: World) -> None:
    number = world.add("Pointed", people=[Person(full_name="Ada Byron")])
    with world.crm.session(HOST) as s:
        deal = s.create(Opportunity(name="Deal", account=s.get(Account, world.id(number)).ref, amount=Money("5", "EUR")))
        ada = s.query(Contact).where(Contact.account == deal.account).preload(Contact.account).one()
        assert (ada.name, s.related(ada, Contact.account).name) == ("Ada Byron", "Pointed")
        other = s.create(Contact(name="Grace", account=deal.account, customer=True))
        by_name = (
            select(Account.name, func.count())
            .join(Contact, Contact.account == Account.id)
            .where(Account.id == world.id(number))
            .group_by(Account.name)
        )
        assert s.execute(by_name).all() == [("Pointed", 2)]
    with world.db() as db:
        grace = db.scalars(select(Person).where(Person.full_name == "Grace")).one()
        assert (grace.customer_id, grace.buys, str(grace.id)) == (number, True, other.id)


def test_a_deleted_record_is_where_the_host_keeps_its_archive(world: World) -> None:
    number = world.add("Leaving")
    with world.crm.session(HOST) as s:
        s.delete(s.get(Account, world.id(number)))
    with world.db() as db:
        assert db.get_one(Customer, number).archived is not None
    with world.crm.session(HOST) as s:
        assert s.find(Account, world.id(number)) is None
        s.restore(Account, world.id(number))
        assert s.get(Account, world.id(number)).name == "Leaving"


def test_a_stale_version_is_a_conflict_that_tells_both_sides(world: World) -> None:
    number = world.add("Stale")
    with world.crm.session(HOST) as s:
        s.update(Account, world.id(number), {"name": "Newer"})
        with pytest.raises(Conflict) as e:
            s.update(Account, world.id(number), {"name": "Mine"}, version=1)
    assert (e.value.params["theirs"], e.value.params["base"]) == ({"name": "Newer"}, {"name": "Stale"})


def test_an_owner_that_the_hosts_number_cannot_be_is_invalid_and_nothing_is_written(world: World) -> None:
    with pytest.raises(Invalid) as e, world.crm.session(HOST) as s:
        s.create(Account(name="Worded", owner="ann"))
    assert [(d.entity, d.field, d.code) for d in e.value.details] == [("account", "owner", "adopted_value")]
    with world.db() as db:
        assert db.scalars(select(Customer).where(Customer.company_name == "Worded")).all() == []


def test_the_past_is_whole_also_of_rows_that_were_there_before(world: World) -> None:
    with world.engine.begin() as connection:
        number = connection.execute(
            text("INSERT INTO customers (company_name, country, entered) VALUES ('Old', 'DE', '2020-05-01 10:00:00') RETURNING id")
        ).scalar_one()
    id_ = world.id(number)
    with world.crm.session(HOST) as s:
        old = s.get(Account, id_)
        s.update(Account, id_, {"name": "New"})
        later = s.get(Account, id_)
        assert old.created_at == datetime(2020, 5, 1, 10, tzinfo=UTC)
        assert s.as_of(datetime(2021, 1, 1, tzinfo=UTC)).get(Account, id_).name == "Old"
        assert s.as_of(later.updated_at).get(Account, id_).name == "New"
        assert s.as_of(datetime(2020, 1, 1, tzinfo=UTC)).find(Account, id_) is None
    assert [(r.kind, r.version, r.actor) for r in world.journal(number)] == [
        ("account.created.v1", 1, "system:host"),
        ("account.updated.v1", 2, "system:shop"),
    ]
