"""What the ORM's ``bulk_`` methods write to an adopted table is observed on the connection, row by row, in the host's transaction."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import event, insert, inspect
from sqlalchemy.exc import IntegrityError

from crm_core import Account, Contact
from tests.adoption.shop import HOST, Customer, Person, World


def versions(world: World, *names: str) -> dict[str, list[int]]:
    """Return the versions that the journal has of accounts, by name."""
    with world.crm.session(HOST) as s:
        found = s.query(Account).where(Account.name.in_(names)).all()
        return {a.name: [entry.version for entry in s.history(a)][::-1] for a in found}


def test_new_rows_are_journalled_with_their_values_and_delivered(world: World) -> None:
    world.crm.adoption.fill()
    world.news()
    with world.db.begin() as session:
        session.add(Customer(company_name="Flushed"))
        session.flush()
        session.execute(insert(Customer), [{"company_name": "Inserted"}])
        session.bulk_save_objects([Customer(company_name="Saved 1", manager_id=4), Customer(company_name="Saved 2")])
        session.bulk_save_objects([Customer(company_name="Saved 3")], return_defaults=True)
        session.bulk_insert_mappings(inspect(Customer), [{"company_name": f"Mapped {n}"} for n in range(3)])
        session.bulk_save_objects([])
    told = [(kind, values["name"], values.get("owner")) for kind, values in world.news()]
    assert told == [
        ("created", name, "4" if name == "Saved 1" else None)
        for name in ("Flushed", "Inserted", "Saved 1", "Saved 2", "Saved 3", "Mapped 0", "Mapped 1", "Mapped 2")
    ]
    assert versions(world, "Flushed", "Inserted", "Saved 1", "Mapped 2") == {n: [1] for n in ("Flushed", "Inserted", "Saved 1", "Mapped 2")}
    assert world.crm.adoption.fill() == 0


def test_changed_rows_are_journalled_with_old_and_new_values(world: World) -> None:
    numbers = [world.add(f"Many {n}") for n in range(3)]
    world.news()
    with world.db.begin() as session:
        mapper = inspect(Customer)
        session.bulk_update_mappings(mapper, [{"id": n, "company_name": f"Other {n}"} for n in numbers[:2]])
        last = session.get_one(Customer, numbers[2])
        last.homepage = "https://bulk.example"
        session.bulk_save_objects([last])
        session.bulk_update_mappings(mapper, [{"id": numbers[0], "country": "FR"}])  # none of ours
    told = world.news()
    assert [(kind, values) for kind, values in told if "name" in values] == [
        ("updated", {"name": (f"Many {at}", f"Other {n}")}) for at, n in enumerate(numbers[:2])
    ]
    assert ("updated", {"website": (None, "https://bulk.example")}) in told
    assert [[row.version for row in world.journal(n)] for n in numbers] == [[1, 2]] * 3


def test_a_key_that_the_host_gives_or_its_table_makes_up_is_known(world: World) -> None:
    number = world.add("Before")
    given = number + 1000
    with world.db.begin() as session:
        session.bulk_save_objects([Customer(id=given, company_name="Given")])
        session.bulk_save_objects([Customer(id=given - 5, company_name="Lower")])
        key = uuid.uuid4()
        session.bulk_save_objects([Person(id=key, full_name="Ida"), Person(full_name="Uma")])
        session.bulk_insert_mappings(inspect(Person), [{"full_name": "Eva"}])
    assert [len(world.journal(n)) for n in (given, given - 5)] == [1, 1]
    with world.crm.session(HOST) as s:
        people = s.query(Contact).where(Contact.name.in_(["Ida", "Uma", "Eva"])).all()
        assert {c.name: len(s.history(c)) for c in people} == {"Ida": 1, "Uma": 1, "Eva": 1}
        assert str(key) in {c.id for c in people}


def test_it_commits_with_the_host_or_vanishes_with_it(world: World) -> None:
    number = world.add("Stays")
    world.news()
    with world.db() as session:
        session.bulk_save_objects([Customer(company_name="Vanishes")])
        session.bulk_update_mappings(inspect(Customer), [{"id": number, "company_name": "Vanishes too"}])
        session.rollback()
    with world.db() as session:
        with pytest.raises(IntegrityError):
            session.bulk_save_objects([Customer(id=number, company_name="Doubled")])
        session.rollback()
        session.bulk_save_objects([Customer(company_name="After a failure")])
        session.commit()
    assert [(kind, values["name"]) for kind, values in world.news()] == [("created", "After a failure")]
    assert [row.version for row in world.journal(number)] == [1]


def test_many_rows_are_read_in_batches_and_not_one_by_one(world: World) -> None:
    numbers = [world.add(f"Batch {n}") for n in range(2)]
    with world.db.begin() as session:
        session.bulk_insert_mappings(inspect(Customer), [{"company_name": f"Lot {n}"} for n in range(300)])
    lot = range(numbers[-1] + 1, numbers[-1] + 301)
    counts = []
    for some in (lot[:10], lot):
        seen: list[str] = []
        event.listen(world.engine, "before_cursor_execute", count := lambda c, cursor, text, *_, seen=seen: seen.append(text))
        with world.db.begin() as session:
            session.bulk_update_mappings(inspect(Customer), [{"id": n, "company_name": f"Lots {n} {len(some)}"} for n in some])
        event.remove(world.engine, "before_cursor_execute", count)
        counts.append(sum(text.lstrip().startswith("SELECT") for text in seen))
    assert counts[0] == counts[1]
    assert [row.version for row in world.journal(lot[-1])] == [1, 2]
    assert [row.version for row in world.journal(lot[0])] == [1, 2, 3]
