"""One world a database for all of a file's tests: a shop with two customers from before, and its CRM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.orm import sessionmaker

import crm_sales
from crm_core import CRM, Account, Contact
from crm_core.adoption import Adopted
from crm_core.testing.databases import KINDS
from tests.adoption.shop import CUSTOMER, GUEST, PERSON, SELLER, Base, Customer, Person, World, an_engine, listening


@pytest.fixture(scope="module", params=KINDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A shop with two customers from before, whose CRM has adopted its tables."""
    databases = request.getfixturevalue("sqlite_databases" if request.param == "sqlite" else "postgres_databases")
    database = databases.create()
    engine = an_engine(database.url)
    Base.metadata.create_all(engine)
    maker = sessionmaker(engine)
    with maker.begin() as session:
        session.add_all([Customer(company_name="Acme", manager_id=7), Customer(company_name="Before", homepage="https://before.example")])
    heard: list[tuple[str, Any]] = []
    adopt = {Account: Adopted(Customer, CUSTOMER), Contact: Adopted(Person, PERSON)}
    crm = CRM(engine, plugins=[crm_sales.plugin, listening(heard)], roles=[SELLER, GUEST], adopt=adopt)
    crm.migrate()
    crm.adoption.observe(maker)
    yield World(engine, maker, crm, heard)
    crm.close()
    engine.dispose()
    databases.drop(database)
