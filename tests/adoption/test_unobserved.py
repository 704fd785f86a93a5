"""A process that works with adopted records and observes no ORM is told so once, unless the host said that none writes there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.orm import sessionmaker

from crm_core import CRM, Account, Contact
from crm_core.adoption import Adopted
from crm_core.doctor import examine
from crm_core.testing.databases import Database
from tests.adoption.shop import CUSTOMER, HOST, PERSON, Base, Customer, Person, an_engine


@contextmanager
def opened(database: Database, **said: Any) -> Iterator[CRM]:
    """A CRM over a shop's two tables, of which each may say something more."""
    engine = an_engine(database.url)
    Base.metadata.create_all(engine)
    crm = CRM(engine, adopt={Account: Adopted(Customer, CUSTOMER, **said), Contact: Adopted(Person, PERSON, **said)})
    crm.migrate()
    yield crm
    crm.close()
    engine.dispose()


def told(crm: CRM, caplog: pytest.LogCaptureFixture) -> list[Any]:
    """What the log says of three sessions that read, and what the doctor finds."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, "crm_core.adoption"):
        for entity in (Account, Contact, Account):
            with crm.session(HOST, write=False) as s:
                s.query(entity).all()
    found = [(f.check, f.level, f.params["table"]) for f in examine(crm) if f.code == "doctor_unobserved"]
    return [*(vars(record)["crm_facts"]["table"] for record in caplog.records), *found]


def test_who_reads_an_adopted_table_and_observes_nothing_is_told_once_and_by_the_doctor(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(database) as crm:
        both = [("adoption", "warning", "customers"), ("adoption", "warning", "people")]
        assert told(crm, caplog) == ["customers", *both]
        assert told(crm, caplog) == both
        said = next(f for f in examine(crm) if f.code == "doctor_unobserved")
        assert "crm.adoption.observe(sessionmaker)" in crm.messages.text(said.code, said.params)


def test_who_observes_is_told_nothing(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    with opened(database) as crm:
        crm.adoption.observe(sessionmaker(crm.bound.engine))
        assert told(crm, caplog) == []


def test_who_said_that_nothing_writes_there_is_told_nothing(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    with opened(database, observed=False) as crm:
        assert told(crm, caplog) == []


def test_who_opens_a_session_and_reads_something_else_is_told_nothing_yet(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    with opened(database) as crm, caplog.at_level(logging.WARNING, "crm_core.adoption"), crm.session(HOST):
        pass
    assert [r for r in caplog.records if r.name == "crm_core.adoption"] == []
