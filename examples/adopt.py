"""A shop whose own customer table is the CRM's account: no row is copied, and what its ORM writes is in the CRM's journal.

python examples/adopt.py sqlite:///shop.db
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, ForeignKey, String, create_engine, event, func, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

import crm_sales
from crm_core import CRM, Account, Actor, Created, Money, Plugin, Session, Updated
from crm_core.adoption import Adopted
from crm_sales.api import Opportunity, Sales

# -- the shop, as it was before ---------------------------------------------------------------------------------------------------


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))


class Customer(Base):
    __tablename__ = "customers"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(primary_key=True)
    company_name: Mapped[str] = mapped_column(String(200))
    manager_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    homepage: Mapped[str | None] = mapped_column(String(200))
    country: Mapped[str] = mapped_column(String(2), default="DE")
    entered: Mapped[datetime] = mapped_column(server_default=func.now())
    invoices: Mapped[list[Invoice]] = relationship(back_populates="customer")


class Invoice(Base):
    __tablename__ = "invoices"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))
    total: Mapped[int]
    customer: Mapped[Customer] = relationship(back_populates="invoices")


def opened(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def keep_references(connection: Any, _: object) -> None:
            connection.execute("PRAGMA foreign_keys = ON")

    return engine


# -- its CRM ----------------------------------------------------------------------------------------------------------------------

bell = Plugin("bell", version="1.0.0")
bell.grants("account:read")
heard: list[str] = []


@bell.on(Created[Account])
def welcome(s: Session, created: Created[Account]) -> None:
    heard.append(f"new: {created.new['name']}")


@bell.on(Updated[Account])
def changed(s: Session, updated: Updated[Account]) -> None:
    heard.append(", ".join(f"{name}: {c.old} -> {c.new}" for name, c in sorted(updated.changes.items())))


shop = Actor.system("shop", tenant="main")
columns = {"name": "company_name", "owner": "manager_id", "website": "homepage", "created_at": "entered"}


def main(url: str) -> None:
    engine = opened(url)
    maker = sessionmaker(engine)
    Base.metadata.create_all(engine)
    with maker.begin() as db:
        db.add_all([User(id=1, name="Ann"), User(id=2, name="Bob")])
        db.flush()
        db.add_all([Customer(company_name="Acme", manager_id=2), Customer(company_name="Beta", homepage="https://beta.example")])

    crm = CRM(engine, plugins=[crm_sales.plugin, bell], adopt={Account: Adopted(Customer, columns)})
    crm.migrate()
    crm.adoption.observe(maker)

    # Its customers are accounts.
    with crm.session(shop) as s:
        acme, beta = s.query(Account).order_by(Account.name).all()
        assert (acme.name, acme.owner, beta.website) == ("Acme", "2", "https://beta.example")
        deal = s.create(Opportunity(name="100 chairs", account=acme.ref, amount=Money("12000", "EUR")))
        s.update(Account, acme.id, {"name": "Acme GmbH", "industry": "Chairs"})
        gamma = s.create(Account(name="Gamma", owner="1"))

    # And accounts are its customers.
    with maker() as db:
        found = db.get_one(Customer, crm.adoption.key(gamma))
        assert (found.company_name, found.manager_id, found.country) == ("Gamma", 1, "DE")
        assert crm.adoption.id(Account, found.id) == gamma.id

    # What the shop's own code does is in the journal, in the shop's own transaction, with who did it.
    with crm.adoption.acting(Actor("1")), maker.begin() as db:
        db.get_one(Customer, crm.adoption.key(acme)).homepage = "https://acme.example"
        db.add(Customer(company_name="Delta", invoices=[Invoice(total=100)]))
        db.execute(update(Customer).where(Customer.manager_id.is_(None)).values(manager_id=1))
    with maker() as db:
        db.get_one(Customer, crm.adoption.key(acme)).company_name = "Never"
        db.flush()
        db.rollback()
    crm.run_pending()
    print(*heard, sep="\n")

    # It is one row, with a history.
    with crm.session(shop) as s:
        won = s.use(Sales).win(deal.ref, reason="price")
        assert won.stage == "won"
        assert s.get(Account, acme.id).website == "https://acme.example"
        assert s.as_of(acme.created_at).get(Account, acme.id).name == "Acme"

    # Rows that were written past the ORM are accounts at once; `fill` brings them into the journal.
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO customers (company_name, country) VALUES ('', 'FR')"))
    print("taken up:", crm.adoption.fill())
    print("flaws:", [flaw.detail.field for flaw in crm.adoption.check()])
    with crm.session(shop, write=False) as s:
        assert s.query(Account).count() == 5
    crm.close()
    engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///shop.db")
