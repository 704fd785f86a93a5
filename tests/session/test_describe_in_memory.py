"""A form is described beside an open transaction on the only connection there is."""

from __future__ import annotations

from sqlalchemy import StaticPool, create_engine

from crm_core import CRM, Account, Actor

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
