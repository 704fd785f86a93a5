"""A host with customers and people of its own, and a CRM for which they are accounts and contacts."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from attrs import define
from sqlalchemy import DateTime, Engine, ForeignKey, String, create_engine, event, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from crm_core import CRM, Account, Actor, Created, Deleted, Extension, Field, Plugin, Restored, Role, Updated, field, owner
from crm_core.events.event import Event
from crm_core.rules import related
from crm_sales.api import Opportunity

HOST = Actor.system("shop", tenant="main")


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    __table_args__ = ({"sqlite_autoincrement": True},)  # a key that came again would bring another test's history with it
    id: Mapped[int] = mapped_column(primary_key=True)
    company_name: Mapped[str | None] = mapped_column(String(500))
    manager_id: Mapped[int | None]
    homepage: Mapped[str | None] = mapped_column(String(200))
    sort: Mapped[str | None] = mapped_column(String(20))
    country: Mapped[str] = mapped_column(String(2), default="DE")
    entered: Mapped[datetime] = mapped_column(DateTime, server_default=func.now())
    archived: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    people: Mapped[list[Person]] = relationship(back_populates="customer", cascade="all, delete-orphan")


class Person(Base):
    __tablename__ = "people"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    full_name: Mapped[str] = mapped_column(String(200))
    buys: Mapped[bool] = mapped_column(default=False)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customers.id"))
    customer: Mapped[Customer | None] = relationship(back_populates="people")


CUSTOMER = {
    "name": "company_name",
    "owner": "manager_id",
    "website": "homepage",
    "kind": "sort",
    "created_at": "entered",
    "deleted_at": "archived",
}
PERSON = {"name": "full_name", "customer": "buys", "account": "customer_id"}


class Rank(Extension):
    """What a plugin adds to a customer."""

    level: Field[str] = field(default="basic")


GUEST = Role("shop.guest").allow(Account, "read", where=owner).allow(Opportunity, "read", where=related("account", owner))
SELLER = Role("shop.seller").allow(Account, "read", "update", where=owner)


def listening(heard: list[tuple[str, Any]]) -> Plugin:
    """Return a plugin that adds a field to accounts and notes what it hears of them."""
    made = Plugin("ears", version="1.0")
    made.grants("account:read")
    made.extend(Account)(Rank)

    @made.on(Created[Account])
    def created(_: Any, told: Event[Any]) -> None:
        heard.append(("created", {n: getattr(v, "value", v) for n, v in told.new.items()}))  # type: ignore[attr-defined]  # a Created's

    @made.on(Updated[Account])
    def updated(_: Any, told: Event[Any]) -> None:
        heard.append(("updated", {n: (c.old, c.new) for n, c in told.changes.items()}))  # type: ignore[attr-defined]  # an Updated's

    @made.on(Deleted[Account])
    def deleted(_: Any, told: Event[Any]) -> None:
        heard.append(("deleted", dict(told.old)))  # type: ignore[attr-defined]  # a Deleted's

    @made.on(Restored[Account])
    def restored(_: Any, told: Event[Any]) -> None:
        heard.append(("restored", {}))

    return made


def an_engine(url: str) -> Engine:
    """Make the host's engine."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    return engine


@define
class World:
    """A host and its CRM.

    Attributes:
        db: makes the host's ORM sessions, which are observed.
        heard: what was delivered to a subscriber since it was last emptied: kind and values.
    """

    engine: Engine
    db: Any
    crm: CRM
    heard: list[tuple[str, Any]]

    def id(self, customer: int) -> str:
        """Return the account's id of a customer's."""
        return self.crm.tables.adopted[Account].key.id(customer)

    def add(self, name: str | None, **given: Any) -> int:
        """Make a customer as the host does, and return its number."""
        with self.db.begin() as session:
            customer = Customer(company_name=name, **given)
            session.add(customer)
            session.flush()
            return customer.id

    def news(self) -> list[tuple[str, Any]]:
        """Deliver what is committed and return what was heard."""
        self.crm.run_pending()
        found, self.heard[:] = list(self.heard), []
        return found

    def journal(self, customer: int) -> list[Any]:
        """Return the journal's rows of an account, in order."""
        table = self.crm.tables.system.journal
        with self.engine.connect() as connection:
            return list(connection.execute(table.select().where(table.c.record == self.id(customer)).order_by(table.c.id)))
