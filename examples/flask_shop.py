"""A shop in Flask with a CRM inside, on PostgreSQL or SQLite. ``SHOP_DATABASE`` names the database.

python -m examples.flask_shop                # makes the tables
gunicorn examples.flask_shop:app --workers 2
crm worker --app examples.flask_shop:crm     # delivers what was committed
"""

import os
from typing import Any

from flask import Flask, abort, request
from sqlalchemy import ForeignKey, create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker

from crm_core import CRM, Account, Actor, Created, Event, Note, Plugin, Role, Session, owner
from crm_core.ext import flask as crm_flask

engine = create_engine(os.environ.get("SHOP_DATABASE", "sqlite:///shop.db"))
if engine.dialect.name == "sqlite":
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
db = scoped_session(sessionmaker(engine))  # with Flask-SQLAlchemy: db.session
STOCK = 100

# ------------------------------------------------------------------ the CRM
plugin = Plugin("shop", version="1.0.0")
plugin.grants("account:read", "note:create")


@plugin.on(Created[Account])
def greet(s: Session, event: Event[Account]) -> None:
    if account := s.find(Account, event.record):  # None where it is deleted by now
        s.create(Note(body=f"Send a welcome to {account.name}", owner=account.owner))


seller = Role("seller").allow(Account, "read", "create", "update", where=owner).allow(Note, "read", where=owner)
manager = Role("manager", extends=["seller"]).allow(Account, "read", "update", "delete").allow(Note, "read")
crm = CRM(engine, plugins=[plugin], roles=[seller, manager])

# ------------------------------------------------------------------ the shop
accounts = crm.table(Account)  # the physical table, for foreign keys


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "shop_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(accounts.c.id.type, ForeignKey(accounts.c.id))
    item: Mapped[str]
    quantity: Mapped[int]


USERS = {
    "ann": Actor(1, roles={"manager"}),
    "bob": Actor(2, roles={"seller"}),
    "cid": Actor(3, roles={"seller"}, locale="zh_CN"),
}


def actor() -> Actor:
    who = USERS.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
    return who or abort(401)


app = Flask(__name__)
session = crm_flask.install(app, crm, actor=actor, db=lambda: db)
app.register_blueprint(crm_flask.blueprint(crm, Account, session=session, filters=["name", "owner"]), url_prefix="/accounts")
app.register_blueprint(crm_flask.blueprint(crm, Note, session=session, expose=["list", "get"]), url_prefix="/notes")


@app.teardown_appcontext
def leave(_: BaseException | None) -> None:
    db.remove()


@app.post("/orders")
def order() -> Any:
    body = request.get_json()
    with session() as s:  # leaving it commits both, an exception rolls both back
        account = s.get(Account, body["account"])  # 404 also where this user may not see it
        made = Order(account=account.id, item=body["item"], quantity=body["quantity"])
        db.add(made)
        s.update(Account, account.id, {"industry": f"buys {made.item}"})
        if made.quantity > STOCK:
            abort(422, "out of stock")
    return {"id": made.id}, 201


@app.get("/orders")
def orders() -> Any:
    actor()
    return [{"item": o.item, "quantity": o.quantity} for o in db.scalars(select(Order).order_by(Order.id))]


def migrate() -> None:
    """Make the tables; in a shop of years, revisions of its own Alembic."""
    with engine.begin() as connection:
        crm.migrations.upgrade(connection)
        Base.metadata.create_all(connection)


if __name__ == "__main__":
    migrate()
