"""An embedder: FastAPI, async SQLAlchemy, its own users, its own Alembic. ``APP_DATABASE`` names the database.

Run it with ``uvicorn examples.embedder_fastapi:app`` after its migration.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

import crm_sales
import crm_service
from crm_core import CRM, Account, Actor, AsyncCRMSession, Money, Role, Session, User, owner, subordinates, team
from crm_core.ext import fastapi as crm_fastapi
from crm_sales.api import Opportunity

# ------------------------------------------------------------------ day 1: put it into my app
engine = create_async_engine(os.environ.get("APP_DATABASE", "postgresql+asyncpg://app@db/app"), pool_size=20)
maker = async_sessionmaker(engine, expire_on_commit=False)


class Me(BaseModel):
    """A user of my application, as my login knows them."""

    id: int
    name: str
    org: str
    roles: list[str]
    locale: str = "en"
    manager: int | None = None
    team: str = ""


PEOPLE = {  # my table of users, by token
    "ann": Me(id=3, name="Ann", org="org1", roles=["sales_lead"], team="emea"),
    "bob": Me(id=7, name="Bob", org="org1", roles=["sales_rep"], locale="zh_CN", manager=3, team="emea"),
    "cid": Me(id=8, name="Cid", org="org1", roles=["sales_rep"], team="emea"),
    "eve": Me(id=9, name="Eve", org="org2", roles=["sales_lead"], team="apac"),
}


def as_actor(me: Me) -> Actor:
    return Actor(str(me.id), tenant=me.org, roles=me.roles, teams={me.team}, locale=me.locale, timezone="Asia/Shanghai")


class MyDirectory:
    """Actor tells of *me*; managers in rules, round robin and names in reports need *others*."""

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterable[User]:
        mine = [p for p in PEOPLE.values() if p.org == tenant and (ids is None or str(p.id) in ids)]
        return [User(str(p.id), p.name, manager=str(p.manager) if p.manager else None, teams={p.team}) for p in mine]

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return next((as_actor(p) for p in PEOPLE.values() if p.org == tenant and str(p.id) == user_id), None)


directory = MyDirectory()
rep = (  # roles of the host; plugins bring their own, prefixed (sales.rep)
    Role("sales_rep", label="Sales rep")
    .allow(Account, "read", where=team | subordinates)
    .allow(Opportunity, "read", "create", "update", where=owner | subordinates)
    .permit("sales.win", "sales.lose")
)
lead = Role("sales_lead", label="Sales lead", extends=["sales_rep"]).allow(Account, "create", "update")
crm = CRM(
    engine,  # the host's own: one pool
    plugins=[crm_sales.plugin, crm_service.plugin],
    roles=[rep, lead],
    directory=directory,
    schema=os.environ.get("APP_CRM_SCHEMA"),
)


@asynccontextmanager
async def boot(_: FastAPI) -> AsyncIterator[None]:
    """Never DDL from eight workers: a schema that does not fit is SchemaBehind, and the process does not become ready."""
    await crm.run(lambda c: c.migrations.check())
    yield


def upgrade() -> None:
    """Stand in alembic/versions/0042_crm.py: the host's history stays one line.

    Its env.py passes ``include_name=crm.migrations.include_name`` to ``context.configure``, or the next ``--autogenerate`` would drop
    what it does not know.
    """
    from alembic import op

    crm.migrations.upgrade(op.get_bind(), to="2026.11")


app = FastAPI(lifespan=boot)


async def current_user(authorization: Annotated[str, Header()] = "") -> Me:
    me = PEOPLE.get(authorization.removeprefix("Bearer "))
    if me is None:
        raise HTTPException(401)
    return me


async def db() -> AsyncIterator[AsyncSession]:
    """The transaction of a request, used by the host and by the CRM alike; commits when the endpoint is done."""
    async with maker.begin() as transaction:
        yield transaction


def actor(me: Annotated[Me, Depends(current_user)]) -> Actor:
    return as_actor(me)


session = crm_fastapi.install(app, crm, actor=actor, db=db)  # errors -> RFC 9457
# scope="function": a plain ``yield`` dependency commits *after* the answer went out, and a failed commit still says 201.
Crm = Annotated[AsyncCRMSession, Depends(session, scope="function")]
Who = Annotated[Actor, Depends(actor)]


class NewDeal(BaseModel):
    name: str
    account: str
    amount: str
    currency: str


@app.post("/deals", status_code=201)
async def create_deal(body: NewDeal, s: Crm) -> Any:
    def work(t: Session) -> Opportunity:  # synchronous code on the host's own connection; a worker thread could not use it
        account = t.get(Account, body.account)
        return t.create(Opportunity(name=body.name, account=account.ref, amount=Money(body.amount, body.currency)))

    return crm.to_json(await s.run(work), expand=["account"])


# ------------------------------------------------------------------ day 10: lists, PATCH, why not
class PatchDeal(BaseModel):
    name: str | None = None
    owner: str | None = None
    version: int


@app.patch("/deals/{id}")
async def patch_deal(id: str, body: PatchDeal, s: Crm) -> Any:
    changes = body.model_dump(exclude_unset=True, exclude={"version"})  # missing is not null
    return crm.to_json(await s.run(lambda t: t.update(Opportunity, id, changes, version=body.version)))


@app.get("/deals")
async def deals(request: Request, s: Crm, after: str | None = None, size: int = 50) -> Any:
    def work(t: Session) -> Any:
        page = (
            t.query(Opportunity)
            .matching(
                dict(request.query_params), allow=["stage", "owner", "amount", "account"]
            )  # ?stage=won&amount__gte=EUR:1000&sort=-created_at
            .preload(Opportunity.account)
            .page(size, after=after)
        )
        return {
            "data": crm.to_json(page, expand=["account"]),
            "has_more": page.has_more,
            "next": page.next,
            "actions": {d.id: [a.name for a in t.actions(d) if a.allowed] for d in page},
        }

    return await s.run(work)


@app.get("/meta/{entity}")
async def meta(entity: str, who: Who) -> Any:
    """For the form: labels in the user's language, required, options, and whether this user may write it."""
    return await crm.run(lambda c: c.describe(c.entity(entity), who))


@app.get("/support/why")
async def why(user_id: str, deal: str, who: Who) -> Any:
    them = directory.actor(who.tenant, user_id)
    if them is None:
        raise HTTPException(404)
    e = await crm.run(lambda c: c.explain(them, "read", Opportunity, deal))  # by id: they may not see the record
    return {"allowed": e.allowed, "rule": e.rule, "chain": e.chain}


def sum_by_owner(t: Session) -> list[dict[str, Any]]:
    """Sum by owner, an amount a currency: a sum over unlike currencies is refused."""
    owner_, total = Opportunity.owner, Opportunity.amount.sum()
    rows = t.execute(select(owner_, total).group_by(owner_, Opportunity.amount.currency).order_by(owner_, Opportunity.amount.currency))
    return [{"owner": who, "total": str(amount)} for who, amount in rows]


@app.get("/deals/sums")
async def sums(s: Crm) -> Any:
    return await s.run(sum_by_owner)
