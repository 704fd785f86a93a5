"""The embedder's program, in the host's own process and transaction, on both databases."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, event

from crm_core import Account, Actor, Ref, SchemaBehind, Session
from crm_core.testing.databases import Database
from crm_sales.api import Opportunity, Win
from crm_service.api import ServiceRequest

EXAMPLE = Path(__file__).parents[2] / "examples" / "embedder_fastapi.py"
Client = httpx.AsyncClient
Story = Callable[[Client], Awaitable[None]]


@pytest.fixture
def host(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The program, started on an empty database."""
    monkeypatch.setenv("APP_DATABASE", database.async_url)
    if database.kind == "postgresql":
        monkeypatch.setenv("APP_CRM_SCHEMA", "crm")
    found = importlib.util.spec_from_file_location("embedder_fastapi", EXAMPLE)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "embedder_fastapi", module)
    found.loader.exec_module(module)
    yield module
    module.crm.close()


def play(host: ModuleType, *stories: Story) -> None:
    """Migrate as the host does, start it, and send requests."""

    async def main() -> None:
        def migrate(connection: Connection) -> None:
            with Operations.context(MigrationContext.configure(connection)):
                host.upgrade()

        async with host.engine.begin() as connection:
            await connection.run_sync(migrate)
        transport = httpx.ASGITransport(host.app)
        async with host.app.router.lifespan_context(host.app), Client(transport=transport, base_url="http://app") as client:
            for story in stories:
                await story(client)
        await host.engine.dispose()

    asyncio.run(main())


def as_(who: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {who}"}


async def new_account(host: ModuleType, owner: str = "3") -> str:
    """Make an account in the host's own transaction, as one of its jobs would."""

    def work(s: Session) -> str:
        return s.create(Account(name="Acme", owner=owner)).id

    async with host.maker.begin() as tx, host.crm.asession(Actor.system("test", tenant="org1"), on=tx) as s:
        found: str = await s.run(work)
        return found


async def new_deal(client: Client, account: str, who: str = "bob", **values: str) -> dict[str, Any]:
    body = {"name": "100 seats", "account": account, "amount": "12000", "currency": "EUR", **values}
    answer = await client.post("/deals", json=body, headers=as_(who))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_process_does_not_become_ready_before_its_schema_is_there(host: ModuleType) -> None:
    async def main() -> None:
        with pytest.raises(SchemaBehind):
            async with host.app.router.lifespan_context(host.app):
                raise AssertionError("unreachable")
        await host.engine.dispose()

    asyncio.run(main())


def test_the_hosts_autogenerate_sees_none_of_our_tables(host: ModuleType) -> None:
    parents = {"schema_name": host.crm.tables.schema}
    assert not host.crm.migrations.include_name("crm_account", "table", parents)
    assert host.crm.migrations.include_name("users", "table", {"schema_name": None})


def test_a_deal_is_created_in_the_requests_transaction_and_each_user_sees_their_own(host: ModuleType) -> None:
    async def story(client: Client) -> None:
        deal = await new_deal(client, await new_account(host))
        assert (deal["owner"], deal["amount"], deal["stage"]) == ("7", {"amount": "12000.00", "currency": "EUR"}, "new")
        sees = {}
        for who in ("ann", "bob", "cid", "eve"):
            answer = await client.get("/deals", headers=as_(who))
            sees[who] = [d["id"] for d in answer.json()["data"]]
        assert sees == {"ann": [deal["id"]], "bob": [deal["id"]], "cid": [], "eve": []}

    play(host, story)


def test_what_fails_leaves_nothing_and_answers_a_problem_in_the_users_language(host: ModuleType) -> None:
    async def story(client: Client) -> None:
        account = await new_account(host)
        body = {"name": "x" * 300, "account": account, "amount": "1", "currency": "EUR"}
        answer = await client.post("/deals", json=body, headers=as_("bob"))
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert answer.json()["errors"][0]["message"] == "值的长度超出上限 255：300。"
        hidden = await client.post("/deals", json={**body, "name": "x"}, headers=as_("eve"))
        assert (hidden.status_code, hidden.json()["code"]) == (404, "not_found")
        nobody = await client.post("/deals", json=body)
        assert nobody.status_code == 401
        assert (await client.get("/deals", headers=as_("ann"))).json()["data"] == []

    play(host, story)


def test_a_patch_keeps_what_is_missing_and_conflicts_on_an_old_version(host: ModuleType) -> None:
    async def story(client: Client) -> None:
        deal = await new_deal(client, await new_account(host))
        url = f"/deals/{deal['id']}"
        changed = await client.patch(url, json={"name": "120 seats", "version": deal["version"]}, headers=as_("bob"))
        assert (changed.json()["name"], changed.json()["owner"]) == ("120 seats", "7")
        stale = await client.patch(url, json={"name": "80 seats", "version": deal["version"]}, headers=as_("ann"))
        assert stale.status_code == 409
        params = stale.json()["params"]
        assert (params["yours"], params["theirs"], params["base"]) == ({"name": "80 seats"}, {"name": "120 seats"}, {"name": "100 seats"})
        given_away = await client.patch(url, json={"owner": "8", "version": 2}, headers=as_("bob"))
        assert given_away.status_code == 403

    play(host, story)


def test_a_list_filters_sorts_pages_and_tells_what_may_be_done(host: ModuleType) -> None:
    async def story(client: Client) -> None:
        account = await new_account(host)
        for amount in ("500", "1500", "2500", "3500"):
            await new_deal(client, account, amount=amount)
        found, after = [], None
        while True:
            query = {"amount__gte": "EUR:1000", "sort": "-created_at", "size": "2", **({"after": after} if after else {})}
            page = (await client.get("/deals", params=query, headers=as_("bob"))).json()
            found += page["data"]
            after = page["next"]
            if not page["has_more"]:
                break
        assert [d["amount"]["amount"] for d in found] == ["3500.00", "2500.00", "1500.00"]
        assert found[0]["account"]["name"] == "Acme"
        assert page["actions"][found[-1]["id"]] == ["sales.win", "sales.lose"]
        wrong = await client.get("/deals", params={"probability": "1"}, headers=as_("bob"))
        assert (wrong.status_code, wrong.json()["code"]) == (422, "unknown_filter")
        assert (await client.get("/deals/sums", headers=as_("ann"))).json() == [{"owner": "7", "total": "EUR 8000.00"}]

    play(host, story)


def test_a_form_is_described_in_the_users_language_and_by_their_rights(host: ModuleType) -> None:
    async def story(client: Client) -> None:
        form = (await client.get("/meta/sales.opportunity", headers=as_("bob"))).json()
        assert form["actions"] == {"read": True, "create": True, "update": True, "delete": False, "export": False, "assign": False}
        assert form["fields"]["name"] == {
            "label": "名称",
            "type": "str",
            "required": True,
            "writable": True,
            "masked": False,
            "classified": "personal",
            "max_length": 255,
        }
        assert (await client.get("/meta/account", headers=as_("bob"))).json()["fields"]["name"]["writable"] is False
        assert (await client.get("/meta/nothing", headers=as_("bob"))).json()["code"] == "unknown_entity"

    play(host, story)


def test_support_learns_why_somebody_does_not_see_a_deal(host: ModuleType) -> None:
    async def story(client: Client) -> None:
        deal = await new_deal(client, await new_account(host))
        answers = {}
        for user in ("3", "8"):
            query = {"user_id": user, "deal": deal["id"]}
            answers[user] = (await client.get("/support/why", params=query, headers=as_("ann"))).json()
        assert answers["3"]["allowed"] is True
        assert "'7' reports to '3'" in answers["3"]["chain"][0]
        assert answers["8"]["allowed"] is False
        assert "does not report to '8'" in answers["8"]["chain"][0]

    play(host, story)


def test_what_the_hosts_transaction_undoes_is_undone_in_the_crm(host: ModuleType) -> None:
    async def story(client: Client) -> None:
        with pytest.raises(ZeroDivisionError):
            async with host.maker.begin() as tx, host.crm.asession(host.as_actor(host.PEOPLE["ann"]), on=tx) as s:
                await s.create(Account(name="Never"))
                raise ZeroDivisionError
        async with host.crm.asession(Actor.system("test", tenant="org1"), write=False) as s:
            assert await s.run(lambda t: t.query(Account).count()) == 0

    play(host, story)


def test_a_deal_that_is_won_is_handed_over_when_events_are_delivered(host: ModuleType) -> None:
    async def story(client: Client) -> None:
        deal = await new_deal(client, await new_account(host))
        async with host.maker.begin() as tx, host.crm.asession(host.as_actor(host.PEOPLE["bob"]), on=tx) as s:
            won = await s.run(lambda t: t.perform(Win(Ref(Opportunity, deal["id"]), reason="price")))
            assert won.stage == "won"
        assert await host.crm.run(lambda c: c.run_pending()) > 0
        async with host.crm.asession(Actor.system("test", tenant="org1"), write=False) as s:
            assert await s.run(lambda t: [r.subject for r in t.query(ServiceRequest).all()]) == ["Onboarding: 100 seats"]

    play(host, story)


def test_a_commit_that_fails_is_no_201(host: ModuleType) -> None:
    class DiskFull(Exception):
        pass

    def fail(_: Connection) -> None:
        raise DiskFull

    async def story(client: Client) -> None:
        body = {"name": "100 seats", "account": await new_account(host), "amount": "12000", "currency": "EUR"}
        transport = httpx.ASGITransport(host.app, raise_app_exceptions=False)
        event.listen(host.engine.sync_engine, "commit", fail)
        async with Client(transport=transport, base_url="http://app") as lenient:
            assert (await lenient.post("/deals", json=body, headers=as_("bob"))).status_code == 500
        event.remove(host.engine.sync_engine, "commit", fail)
        assert (await client.get("/deals", headers=as_("bob"))).json()["data"] == []

    play(host, story)
