"""A resource in detail: what it takes and refuses, how it is documented, and in which language errors are; on a synchronous engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from flask import Flask

import crm_sales
from crm_core import CRM, Account, Actor, Change, Contact, CRMError, Denied, NotFound, Plugin, Role, WriteCtx, check_write
from crm_core.errors import Invalid, LoadError, WrongArgument
from crm_core.ext import fastapi as crm_fastapi
from crm_core.ext import flask as crm_flask
from crm_core.ext.problem import language, problem
from crm_core.ext.resource import VERBS, Resource
from crm_core.ext.resource import Ask as Asked
from crm_sales.api import Opportunity

plugin = Plugin("shop", version="1.0.0")


class Gift(Exception):
    pass


@plugin.hook(check_write, on=Account)
def fall(ctx: WriteCtx, changes: list[Change]) -> None:
    if any(getattr(change.record, "name", "") == "Fail" for change in changes):
        raise Gift


@pytest.fixture(scope="module")
def crm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CRM]:
    blind = Role("blind").allow(Contact, "read", "create", fields={"account": "none"})
    url = f"sqlite:///{tmp_path_factory.mktemp('resource') / 'crm.db'}"
    crm = CRM(url, plugins=[crm_sales.plugin, plugin], roles=[blind])
    crm.migrate()
    yield crm
    crm.close()


def who(request: Request) -> Actor:
    name = request.headers.get("user", "")
    if not name:
        raise Denied(action="login")
    return Actor(name, roles={"sales.rep" if name == "bob" else "blind"}, locale=request.headers.get("locale", "en"))


@pytest.fixture(scope="module")
def app(crm: CRM) -> FastAPI:
    app = FastAPI()
    session = crm_fastapi.install(app, crm, actor=who)
    for entity, name in ((Account, "accounts"), (Contact, "contacts"), (Opportunity, "deals")):
        router = crm_fastapi.router(crm, entity, session=session, filters=["name", "owner"])
        app.include_router(router, prefix=f"/shops/{{shop}}/{name}")
    return app


Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(app: FastAPI) -> Ask:
    def call(method: str, path: str, user: str = "bob", headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        async def main() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://shop/shops/1", verify=False) as client:
                return await client.request(method, path, headers={"user": user, **(headers or {})}, **options)

        return asyncio.run(main())

    return call


def test_a_deal_is_won_by_the_action_that_its_list_offers(ask: Ask) -> None:
    account = ask("POST", "accounts", json={"name": "Acme"}).json()["id"]
    made = ask("POST", "deals", json={"name": "100 seats", "account": account, "amount": {"amount": "12.50", "currency": "EUR"}})
    url = made.headers["location"].removeprefix("/shops/1/")
    assert {"sales.win", "sales.lose"} <= {action["name"] for action in ask("GET", f"{url}/actions").json() if action["allowed"]}
    wrong = ask("POST", f"{url}/actions/sales.win", json={})
    assert [(e["field"], e["code"]) for e in wrong.json()["errors"]] == [("reason", "required")]
    won = ask("POST", f"{url}/actions/sales.win", json={"reason": "price"})
    assert (won.status_code, won.json()["stage"]) == (200, "won")
    unknown = ask("POST", f"{url}/actions/sales.wni", json={})
    assert (unknown.status_code, unknown.json()["params"]["suggestion"]) == (422, "sales.win")


def test_references_are_expanded_where_they_may_be_read(ask: Ask) -> None:
    account = ask("POST", "accounts", json={"name": "Acme"}).json()["id"]
    deal = ask("POST", "deals", json={"name": "x", "account": account, "amount": {"amount": "1", "currency": "EUR"}}).json()["id"]
    one = ask("GET", f"deals/{deal}", params={"expand": "account"}).json()
    page = ask("GET", "deals", params={"expand": "account", "name": "x"}).json()["data"]
    assert (one["account"]["name"], page[0]["account"]["name"]) == ("Acme", "Acme")
    hidden, unknown = (ask("GET", "contacts", user="eve", params={"expand": name}) for name in ("account", "nothing"))
    assert (hidden.status_code, unknown.status_code) == (422, 422)
    assert hidden.json() == {**unknown.json(), "title": hidden.json()["title"], "params": hidden.json()["params"]}


def test_a_record_tells_its_history_page_by_page_and_a_hidden_one_as_none(ask: Ask, crm: CRM) -> None:
    made = ask("POST", "accounts", json={"name": "Old"}).json()["id"]
    ask("PATCH", f"accounts/{made}", json={"name": "New"})
    first = ask("GET", f"accounts/{made}/history", params={"size": "1"}).json()
    rest = ask("GET", f"accounts/{made}/history", params={"after": first["next"]}).json()
    assert [(e["verb"], e["actor"], e["changes"]["name"]) for page in (first, rest) for e in page["data"]] == [
        ("updated", "bob", {"old": "Old", "new": "New"}),
        ("created", "bob", {"old": None, "new": "Old"}),
    ]
    assert (first["has_more"], rest["has_more"], rest["next"]) == (True, False, None)
    assert ask("GET", f"accounts/{made}/history", params={"size": "x"}).json()["code"] == "bad_page_size"
    with crm.session(Actor.system("test", tenant="main")) as s:
        theirs = s.create(Account(name="Hidden", owner="ann")).id
    nobody = "00000000-0000-7000-8000-000000000000"
    hidden, missing = (ask("GET", f"accounts/{id}/history") for id in (theirs, nobody))
    assert (hidden.status_code, hidden.content.replace(theirs.encode(), nobody.encode())) == (404, missing.content)


@pytest.mark.parametrize("size", ["0", "1001", "-1", "1.5", "x", "9" * 40])
def test_a_page_has_one_to_a_thousand_records(ask: Ask, size: str) -> None:
    assert ask("GET", "accounts", params={"size": size}).json()["code"] == "bad_page_size"


def test_a_cursor_of_another_sorting_is_refused(ask: Ask) -> None:
    for n in range(3):
        ask("POST", "accounts", json={"name": f"Cursor {n}"})
    after = ask("GET", "accounts", params={"size": "1", "sort": "name"}).json()["next"]
    wrong = ask("GET", "accounts", params={"size": "1", "sort": "-name", "after": after})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "bad_cursor")


@pytest.mark.parametrize("tag", ['W/"1"', '"1"', "1", "*", ' "1" '])
def test_a_version_is_an_etag_in_any_spelling(ask: Ask, tag: str) -> None:
    url = ask("POST", "accounts", json={"name": "Tagged"}).headers["location"].removeprefix("/shops/1/")
    assert ask("PATCH", url, json={"industry": "tools"}, headers={"If-Match": tag}).status_code == 200


@pytest.mark.parametrize("tag", ['"x"', '"-1"', '"1", "2"', '"' + "9" * 30 + '"', ""])
def test_what_is_no_version_is_refused(ask: Ask, tag: str) -> None:
    url = ask("POST", "accounts", json={"name": "Tagged"}).headers["location"].removeprefix("/shops/1/")
    wrong = ask("PATCH", url, json={"industry": "tools"}, headers={"If-Match": tag})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "wrong_type")


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b"\xff", b"[" * 100_000, b'{"name": NaN}', b'{"name": ' + b"9" * 5_000 + b"}"])
def test_a_body_that_is_no_object_of_json_is_refused(ask: Ask, body: bytes) -> None:
    wrong = ask("POST", "accounts", content=body)
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (422, "wrong_type")


def test_a_body_that_was_sent_as_a_form_is_told_to_come_as_json(ask: Ask) -> None:
    (wrong,) = ask("POST", "accounts", data={"name": "Acme"}).json()["errors"]
    told = "The body came as application/x-www-form-urlencoded. Send JSON, with Content-Type: application/json."
    assert (wrong["code"], wrong["message"]) == ("body_not_json", told)


def test_a_get_writes_nothing_and_takes_no_key(ask: Ask, crm: CRM) -> None:
    assert ask("GET", "accounts", headers={"Idempotency-Key": "looked"}).status_code == 200
    assert crm.outcome("bob/looked") is None
    assert ask("POST", "accounts", json={"name": "Once"}, headers={"Idempotency-Key": "made", "X-Request-ID": "r-7"}).status_code == 201
    assert crm.outcome("bob/made") is not None
    assert ask("POST", "accounts", json={"name": "Once"}, headers={"X-Request-ID": "x" * 300}).status_code == 422


def test_who_is_not_known_hears_of_it_in_the_language_of_the_browser(ask: Ask) -> None:
    found = ask("GET", "accounts", user="", headers={"Accept-Language": "fr, zh-CN;q=0.9, en;q=0.1"})
    assert (found.status_code, found.headers["content-language"]) == (403, "zh-CN")
    known = ask("GET", "accounts/x", headers={"Accept-Language": "zh", "locale": "en"})
    assert (known.status_code, known.headers["content-language"]) == (404, "en")


def test_a_plugin_that_fails_is_a_problem_too_and_is_logged(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "crm_core.ext.problem"):
        failed = ask("POST", "accounts", json={"name": "Fail"})
    assert (failed.status_code, failed.json()["code"]) == (500, "plugin_failed")
    assert "Gift" in caplog.text


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("", "en"),
        ("zh", "zh"),
        ("zh-Hans-CN", "zh_Hans_CN"),
        ("de, en;q=0.5, zh;q=0.8", "zh"),
        ("zh;q=0, en", "en"),
        ("*", "en"),
        ("zh;q=2", "en"),
        (", ;q=,\x00" * 200, "en"),
    ],
)
def test_the_language_that_is_liked_best_and_spoken_is_chosen(crm: CRM, accepted: str, expected: str) -> None:
    assert language(accepted, crm.messages) == expected


def test_each_error_is_a_problem_with_its_own_status(crm: CRM) -> None:
    error: CRMError = NotFound(entity="account")
    answer = problem(error, crm.messages, Actor("7", locale="zh_CN"), "en")
    assert (answer.status, answer.headers["Content-Type"], answer.headers["Content-Language"]) == (404, "application/problem+json", "zh-CN")
    assert answer.body == error.problem("zh_CN", crm.messages)


def test_what_is_no_verb_or_field_is_named_when_the_application_starts(crm: CRM) -> None:
    with pytest.raises(LoadError) as verb:
        Resource(crm, Account, expose=["remove"])
    with pytest.raises(LoadError) as field:
        Resource(crm, Account, filters=["nmae"])
    assert (verb.value.code, field.value.code, field.value.params["suggestion"]) == ("resource_verb", "resource_filter", "name")
    with pytest.raises(WrongArgument):
        Resource(crm, "account")  # type: ignore[arg-type]  # the mistake under test


def test_openapi_tells_each_operation_from_the_entity(app: FastAPI, crm: CRM) -> None:
    document = app.openapi()
    operations = [o for path in document["paths"].values() for o in path.values()]
    ids = [o["operationId"] for o in operations]
    assert len(ids) == len(set(ids)) == 3 * len(VERBS)
    post = document["paths"]["/shops/{shop}/deals"]["post"]
    body = post["requestBody"]["content"]["application/json"]["schema"]
    entity = crm.json_schema(Opportunity)
    assert body["required"] == entity["required"]
    assert set(body["properties"]) == {n for n, f in entity["properties"].items() if not f.get("readOnly")}
    assert post["responses"]["201"]["content"]["application/json"]["schema"]["properties"] == entity["properties"]
    listed = document["paths"]["/shops/{shop}/deals"]["get"]
    assert [p["name"] for p in listed["parameters"]] == ["name", "owner", "sort", "after", "expand", "size"]
    changed = document["paths"]["/shops/{shop}/deals/{id}"]["patch"]
    assert [p["name"] for p in changed["parameters"]] == ["id", "If-Match"]
    assert "application/problem+json" in changed["responses"]["4XX"]["content"]


def test_the_place_of_what_was_created_is_a_header_whatever_its_path_is_called(ask: Ask) -> None:
    for shop in ("b%C3%BCro", "%E5%BA%97", "a%0d%0ab"):
        made = ask("POST", f"http://shop/shops/{shop}/accounts", json={"name": "Far"})
        assert made.status_code == 201
        assert ask("GET", f"http://shop{made.headers['location']}").json()["name"] == "Far"


@pytest.mark.parametrize("key", ["x" * 300, "a\tb"])
def test_a_key_that_cannot_be_one_is_refused(ask: Ask, key: str) -> None:
    answer = ask("POST", "accounts", json={"name": "Keyed"}, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_idempotency_key")


def test_flask_without_a_session_of_the_hosts_has_a_transaction_of_its_own(crm: CRM) -> None:
    app = Flask("shop")
    session = crm_flask.install(app, crm, actor=lambda: Actor("bob", roles={"sales.rep"}))
    app.register_blueprint(
        crm_flask.blueprint(crm, Account, session=session, expose=["create", "get", "update"]), url_prefix="/<shop>/accounts"
    )
    client = app.test_client()
    made = client.post("/1/accounts", json={"name": "Flask"})
    assert made.status_code == 201
    url = made.headers["Location"]
    assert client.patch(url, json={"name": "Flask Ltd", "version": 1}).json["version"] == 2  # type: ignore[index]  # it has a body
    assert client.get(url, headers={"If-None-Match": '"2"'}).status_code == 304
    assert client.get("/1/accounts").status_code == 405
    missing = client.get("/1/accounts/7")
    assert (missing.status_code, missing.mimetype) == (404, "application/problem+json")


def test_a_list_is_filtered_by_a_custom_field_of_its_tenant(crm: CRM) -> None:
    resource = Resource(crm, Account, filters=["name", "custom.tier"])
    with crm.session(Actor.system("setup", tenant="main")) as s:
        s.custom_fields.add(Account, "tier", kind="text", label="Tier")
    with crm.session(Actor.system("setup", tenant="main")) as s:
        s.create(Account(name="Golden", custom={"tier": "gold"}))
        s.create(Account(name="Plain"))
        found = resource.page(s, Asked(url="/accounts", params={"custom.tier": "gold"}, headers={})).body
    assert [record["name"] for record in found["data"]] == ["Golden"]
    with crm.session(Actor.system("setup", tenant="elsewhere")) as s, pytest.raises(Invalid) as unknown:
        resource.page(s, Asked(url="/accounts", params={"custom.tier": "gold"}, headers={}))
    assert unknown.value.code == "unknown_filter"
