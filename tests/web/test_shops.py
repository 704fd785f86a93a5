"""The shops in FastAPI, Flask and Django, on both databases: real processes, real requests, the same answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import httpx
import pytest

from tests.web.hosts import PAIRS, Host, served

PROBLEM = "application/problem+json"
_numbers = count(1)


@pytest.fixture(scope="module", params=PAIRS)
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A shop that listens, one for all tests of this file."""
    name, kind = request.param.split("-")
    databases: Any = request.getfixturevalue("sqlite_databases" if kind == "sqlite" else "postgres_databases")
    database = databases.create()
    with served(name, database, tmp_path_factory.mktemp(name)) as host:
        yield host
    databases.drop(database)


@pytest.fixture
def bob(host: Host) -> Iterator[httpx.Client]:
    with host.client("bob") as client:
        yield client


@pytest.fixture
def ann(host: Host) -> Iterator[httpx.Client]:
    with host.client("ann") as client:
        yield client


def new(host: Host, client: httpx.Client, name: str = "", **values: Any) -> dict[str, Any]:
    answer = client.post(host.accounts, json={"name": name or f"Customer {next(_numbers)}", **values})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_what_is_created_is_where_its_answer_says(host: Host, bob: httpx.Client) -> None:
    answer = bob.post(host.accounts, json={"name": "Acme", "industry": "tools"})
    assert (answer.status_code, answer.headers["etag"]) == (201, '"1"')
    assert answer.json()["owner"] == "2"
    found = bob.get(answer.headers["location"])
    assert found.json() == answer.json()
    again = bob.get(answer.headers["location"], headers={"If-None-Match": found.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_list_filters_sorts_and_goes_on_after_a_cursor(host: Host, bob: httpx.Client) -> None:
    mark = f"Page {next(_numbers)}"
    for letter in "ABCDE":
        new(host, bob, f"{mark} {letter}")
    names, query = [], {"name__startswith": mark, "sort": "-name", "size": "2"}
    while True:
        page = bob.get(host.accounts, params=query).json()
        names.append([account["name"][-1] for account in page["data"]])
        if not page["has_more"]:
            break
        query["after"] = page["next"]
    assert names == [["E", "D"], ["C", "B"], ["A"]]
    wrong = bob.get(host.accounts, params={"industry": "tools"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "unknown_filter")
    assert bob.get(host.accounts, params={"size": "many"}).json()["code"] == "bad_page_size"


def test_what_is_hidden_answers_as_what_does_not_exist(host: Host, bob: httpx.Client) -> None:
    made = new(host, bob)
    with host.client("cid") as cid:
        hidden, unknown = (cid.get(f"{host.accounts.rstrip('/')}/{id}") for id in (made["id"], made["id"][::-1]))
    assert (hidden.status_code, hidden.headers["content-type"]) == (404, PROBLEM)
    assert (unknown.status_code, unknown.content) == (404, hidden.content)


def test_wrong_values_are_named_field_by_field_in_the_users_language(host: Host) -> None:
    wrong = {"name": "x" * 300, "industries": "tools", "owner": 7.5}
    told = {}
    for user in ("bob", "cid"):
        with host.client(user) as client:
            answer = client.post(host.accounts, json=wrong)
            assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
            told[user] = {error["field"]: error["message"] for error in answer.json()["errors"]}
            assert client.post(host.accounts, content=b"{").json()["errors"][0]["code"] == "wrong_type"
    assert sorted(told["bob"]) == ["industries", "name", "owner"]
    assert told["cid"]["name"] == "值的长度超出上限 255：300。"


def test_a_change_on_an_old_version_conflicts_and_shows_all_three(host: Host, bob: httpx.Client) -> None:
    made = new(host, bob, "Base")
    url = f"{host.accounts.rstrip('/')}/{made['id']}"
    changed = bob.patch(url, json={"name": "Theirs"}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.headers["etag"], changed.json()["kind"]) == (200, '"2"', made["kind"])
    for stale in ({"json": {"name": "Yours"}, "headers": {"If-Match": '"1"'}}, {"json": {"name": "Yours", "version": 1}}):
        answer = bob.patch(url, **stale)
        assert (answer.status_code, answer.json()["code"]) == (409, "stale_version")
        shown = {name: answer.json()["params"][name] for name in ("yours", "theirs", "base")}
        assert shown == {"yours": {"name": "Yours"}, "theirs": {"name": "Theirs"}, "base": {"name": "Base"}}
    assert bob.patch(url, json={"name": "Free"}).status_code == 200


def test_only_who_may_delete_deletes(host: Host, bob: httpx.Client, ann: httpx.Client) -> None:
    url = f"{host.accounts.rstrip('/')}/{new(host, bob)['id']}"
    denied = bob.delete(url)
    assert (denied.status_code, denied.json()["code"]) == (403, "denied")
    assert ann.delete(url, headers={"If-Match": '"7"'}).status_code == 409
    gone = ann.delete(url, headers={"If-Match": '"1"'})
    assert (gone.status_code, gone.content) == (204, b"")
    assert bob.get(url).status_code == 404


def test_the_hosts_row_and_ours_stay_or_vanish_together(host: Host, bob: httpx.Client) -> None:
    made = new(host, bob)
    url = f"{host.accounts.rstrip('/')}/{made['id']}"
    before = bob.get("/orders").json()
    assert bob.post("/orders", json={"account": made["id"], "item": "planes", "quantity": 1_000}).status_code == 422
    assert (bob.get(url).json()["industry"], bob.get("/orders").json()) == (None, before)
    assert bob.post("/orders", json={"account": made["id"], "item": "saws", "quantity": 3}).status_code == 201
    assert (bob.get(url).json()["industry"], bob.get("/orders").json()) == ("buys saws", [*before, {"item": "saws", "quantity": 3}])
    with host.client("cid") as cid:
        assert cid.post("/orders", json={"account": made["id"], "item": "saws", "quantity": 1}).status_code == 404


def test_a_request_that_comes_twice_happens_once(host: Host) -> None:
    key = f"key-{next(_numbers)}"
    with host.client("bob", **{"Idempotency-Key": key}) as client:
        first, second = (client.post(host.accounts, json={"name": "Once"}) for _ in range(2))
        other = client.post(host.accounts, json={"name": "Other"})
    with host.client("cid", **{"Idempotency-Key": key}) as client:
        theirs = client.post(host.accounts, json={"name": "Once"})
    assert first.json() == second.json()
    assert (theirs.status_code, theirs.json()["owner"]) == (201, "3")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_mismatch")


def test_subscribers_run_after_the_commit(host: Host, bob: httpx.Client) -> None:
    wanted, bodies = f"Send a welcome to {new(host, bob)['name']}", list[str]()
    end = time.monotonic() + 30
    while wanted not in bodies and time.monotonic() < end:
        bodies = [note["body"] for note in bob.get(host.notes, params={"size": "1000"}).json()["data"]]
        time.sleep(0.05)
    assert wanted in bodies


def test_a_crowd_is_served(host: Host) -> None:
    mark = f"Crowd {next(_numbers)}"

    def work(number: int) -> int:
        with host.client("bob") as client:
            made = client.post(host.accounts, json={"name": f"{mark} {number}"})
            order = client.post("/orders", json={"account": made.json()["id"], "item": "saws", "quantity": 1})
        return made.status_code + order.status_code

    with ThreadPoolExecutor(host.crowd) as pool:
        assert set(pool.map(work, range(32))) == {402}
    with host.client("bob") as client:
        found = client.get(host.accounts, params={"name__startswith": mark, "size": "100"}).json()
    assert {account["industry"] for account in found["data"]} == {"buys saws"}
    assert len(found["data"]) == 32


def test_what_is_not_exposed_is_not_there(host: Host, bob: httpx.Client) -> None:
    assert bob.post(host.notes, json={"body": "x"}).status_code == 405
    assert bob.put(host.accounts, json={}).status_code == 405


def test_a_form_is_described_and_actions_are_listed(host: Host, bob: httpx.Client) -> None:
    base = host.accounts.rstrip("/")
    form = bob.get(f"{base}/describe").json()
    assert (form["entity"], form["actions"]["delete"], form["fields"]["name"]["required"]) == ("account", False, True)
    url = f"{base}/{new(host, bob)['id']}/actions"
    assert bob.get(url).json() == []
    assert bob.post(f"{url}/sales.win", json={}).json()["code"] == "unknown_action"
