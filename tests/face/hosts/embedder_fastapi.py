"""The smallest host around the program in FastAPI: who logs in, its migration, and requests."""

import asyncio
from typing import Annotated, Any

import httpx
from alembic.migration import MigrationContext
from alembic.operations import Operations
from fastapi import Header
from programs import embedder_fastapi as program  # type: ignore[import-not-found]
from sqlalchemy import Connection

from crm_core import Account, Actor, SchemaBehind, Session
from crm_sales.api import Lead

LOCALES = {3: "en", 7: "zh"}
host = Actor.system("host", tenant="org1")
crm = program.crm


def current_user(who: Annotated[int, Header()]) -> Any:
    return program.Me(id=who, org="org1", roles=["sales_rep"], locale=LOCALES[who])


async def story(client: httpx.AsyncClient) -> None:
    account = await crm.run(lambda c: c.transact(host, lambda s: s.create(Account(name="Acme", owner="7"))))
    body = {"name": "100 seats", "account": account.id, "amount": "12000", "currency": "EUR"}
    made = await client.post("/deals", json=body, headers={"who": "7"})
    assert (made.status_code, made.json()["account"]["name"]) == (201, "Acme"), made.text
    deal = made.json()["id"]
    changed = await client.patch(f"/deals/{deal}", json={"name": "120 seats", "version": 1}, headers={"who": "7"})
    assert (changed.json()["name"], changed.json()["version"]) == ("120 seats", 2)
    assert (await client.patch(f"/deals/{deal}", json={"name": "x", "version": 1}, headers={"who": "7"})).status_code == 409
    page = (await client.get("/deals?stage=new&amount__gte=EUR:1000&sort=-created_at", headers={"who": "7"})).json()
    assert ([d["id"] for d in page["data"]], page["has_more"], page["actions"]) == ([deal], False, {deal: []})
    form = (await client.get("/meta/opportunity", headers={"who": "7"})).json()
    assert form["fields"]["name"]["label"] == "名称"
    program.MyDirectory.actor = lambda *_: Actor("8", tenant="org1", roles={"sales_rep"})  # as drawn it knows nobody
    why = (await client.get(f"/support/why?user_id=8&deal={deal}", headers={"who": "3"})).json()
    assert why["allowed"] is False
    sums = await crm.run(lambda c: c.transact(host, program.sum_by_owner))
    assert [(owner, str(total)) for owner, total in sums] == [("7", "EUR 12000.00")]


async def day_100() -> None:
    def work(s: Session) -> None:
        assert [row for row, _ in program.import_leads(s, [Lead(name="A", owner="7"), Lead(name="x" * 300)])] == [1]
        program.optimistic(s, s.create(Account(name="Old")).id)

    await crm.run(lambda c: c.transact(host, work))


async def main() -> None:
    def migrate(connection: Connection) -> None:
        with Operations.context(MigrationContext.configure(connection)):
            program.upgrade()

    try:
        await program.boot()
    except SchemaBehind:
        pass
    else:
        raise AssertionError("ready without its tables")
    async with program.engine.begin() as connection:
        await connection.run_sync(migrate)
    await program.boot()
    program.app.dependency_overrides[program.current_user] = current_user
    async with httpx.AsyncClient(transport=httpx.ASGITransport(program.app), base_url="http://app") as client:
        await story(client)
    await day_100()
    await program.engine.dispose()


asyncio.run(main())
program.sell_plan("org2")
assert crm.tenants.get("org2").modules == ("sales", "service")
assert program.nightly("org1") == 1
program.offboard("org2")
assert "org2" not in [tenant.name for tenant in crm.tenants.list()]
asyncio.run(program.engine.dispose())
