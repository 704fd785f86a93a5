"""A form is described beside an open transaction on the only connection there is."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import StaticPool, create_engine

from crm_core import CRM, Account, Actor, Contact, Role
from crm_core.errors import WrongArgument

ADMIN = Actor.system("test", tenant="main")


def test_describing_a_form_leaves_the_hosts_transaction_alone() -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    crm = CRM(engine)
    crm.migrate()
    with engine.connect() as connection:
        with crm.session(ADMIN, on=connection) as s:
            s.create(Account(name="not yet"))
        assert crm.describe(Account, Actor("7"))["fields"] is not None
        connection.rollback()
    with crm.session(ADMIN, write=False) as s:
        assert s.query(Account).count() == 0
    crm.close()
    engine.dispose()


def test_a_form_is_described_inside_an_open_session() -> None:
    crm = CRM("sqlite://")
    crm.migrate()
    with crm.session(ADMIN) as s:
        s.create(Account(name="Acme"))
        assert crm.describe(Account, ADMIN)["fields"]
    crm.close()


def test_an_open_session_describes_a_form_by_the_roles_as_they_are() -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    crm, beside = CRM(engine), CRM(engine)
    crm.migrate()
    with crm.session(ADMIN) as s:
        s.define_role(Role("clerk").allow(Account, "read", fields={"industry": "none"}))
    clerk = Actor("7", roles={"clerk"})
    assert beside.describe(Account, clerk)["fields"] == {}
    with engine.connect() as connection:
        with beside.session(clerk, on=connection) as s:
            fields = s.describe(Account)["fields"]
        assert "name" in fields
        assert "industry" not in fields
        assert connection.in_transaction()
        connection.rollback()
    assert beside.describe(Account, clerk)["fields"] == fields
    crm.close()
    beside.close()
    engine.dispose()


def test_a_session_describes_what_the_crm_does(make_crm: Any) -> None:
    crm = make_crm()
    with crm.session(ADMIN, write=False) as s:
        assert s.describe(Contact) == crm.describe(Contact, ADMIN)
        with pytest.raises(WrongArgument):
            s.describe("contact")
