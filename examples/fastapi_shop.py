"""A shop in FastAPI with a CRM inside: asynchronous, on PostgreSQL or SQLite. ``SHOP_DATABASE`` names the database.

python -m examples.fastapi_shop              # makes the tables
uvicorn examples.fastapi_shop:app --workers 2
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel
from sqlalchemy import ForeignKey, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from crm_core import CRM, Account, Actor, AsyncCRMSession, Created, Event, Note, Plugin, Role, Session, owner
from crm_core.ext import fastapi as crm_fastapi

engine = create_async_engine(os.environ.get("SHOP_DATABASE", "sqlite+aiosqlite:///shop.db"))
maker = async_sessionmaker(engine, expire_on_commit=False)
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


async def actor(authorization: Annotated[str, Header()] = "") -> Actor:
    who = USERS.get(authorization.removeprefix("Bearer "))
    if who is None:
        raise HTTPException(401)
    return who


async def db() -> AsyncIterator[AsyncSession]:
    async with maker.begin() as transaction:
        yield transaction


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await crm.run(lambda c: c.migrations.check())
    worker = crm.worker()
    worker.start()  # delivers what was committed, in a thread of each process
    yield
    await asyncio.to_thread(worker.stop, 10)


app = FastAPI(title="Shop", lifespan=lifespan)
session = crm_fastapi.install(app, crm, actor=actor, db=db)
# scope="function": both commit before the answer goes out
Tx = Annotated[AsyncSession, Depends(db, scope="function")]
Crm = Annotated[AsyncCRMSession, Depends(session, scope="function")]
app.include_router(crm_fastapi.router(crm, Account, session=session, filters=["name", "owner"]), prefix="/accounts")
app.include_router(crm_fastapi.router(crm, Note, session=session, expose=["list", "get"]), prefix="/notes")


class NewOrder(BaseModel):
    account: str
    item: str
    quantity: int


@app.post("/orders", status_code=201)
async def order(body: NewOrder, s: Crm, tx: Tx) -> dict[str, Any]:
    account = await s.get(Account, body.account)  # 404 also where this user may not see it
    made = Order(account=account.id, item=body.item, quantity=body.quantity)
    tx.add(made)
    await s.run(lambda t: t.update(Account, account.id, {"industry": f"buys {body.item}"}))
    if body.quantity > STOCK:
        raise HTTPException(422, "out of stock")  # order and change vanish together
    await tx.flush()
    return {"id": made.id}


@app.get("/orders")
async def orders(tx: Tx, who: Annotated[Actor, Depends(actor)]) -> list[dict[str, Any]]:
    return [{"item": o.item, "quantity": o.quantity} for o in await tx.scalars(select(Order).order_by(Order.id))]


async def migrate() -> None:
    """Make the tables; in a shop of years, revisions of its own Alembic."""
    async with engine.begin() as connection:
        await connection.run_sync(crm.migrations.upgrade)
        await connection.run_sync(Base.metadata.create_all)
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(migrate())
