"""Attacks by requests on a resource, whatever the framework: bodies, query strings, headers, paths [A04, A05, A07, A21, A22, A25]."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs

from crm_core import CRM, Account, Actor, AutomationRule, AutomationRun, CRMError, RunOutcome, Session
from crm_core.ext.resource import Ask, Resource, opening
from tests.attacks.house import House, rule, undone
from tests.attacks.raid import ME, SYSTEM, World, each
from tests.laws.shop import Deal

WORLD = House
Request = Callable[[Session, Any], Any]


def ask(params: dict[str, str] | None = None, body: Any = None, headers: dict[str, str] | None = None, **named: str) -> Ask:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Ask(url="/x", params=params or {}, headers=headers or {}, body=content, **named)


@attrs.frozen
class Shop:
    """The resources that are attacked."""

    deals: Resource
    accounts: Resource

    @classmethod
    def of(cls, crm: CRM) -> Shop:
        filters = ["name", "custom.salary", "website", "custom.region"]
        return cls(Resource(crm, Deal, filters=["name", "salary", "code", "account"]), Resource(crm, Account, filters=filters))


def told(w: World, request: Callable[[Session], Any]) -> str:
    try:
        with w.crm.session(ME) as s:
            request(s)
    except CRMError as e:
        return json.dumps(e.problem())
    raise AssertionError("it was done")


def test_a07_no_request_tells_a_hidden_field_from_one_that_is_not_there(world: World) -> None:
    shop = Shop.of(world.crm)
    deal = {"name": "x", "account": world.mine.id, "amount": {"amount": 1, "currency": "EUR"}}
    requests: dict[str, Request] = {
        "create": lambda s, b: shop.deals.create(s, ask(body=deal | b)),
        "update": lambda s, b: shop.deals.update(s, ask(id=world.deal.id, body=b)),
        "create custom": lambda s, b: shop.accounts.create(s, ask(body={"name": "x", "custom": b})),
        "create custom, wrong beside": lambda s, b: shop.accounts.create(s, ask(body={"name": "x", "custom": b | {"born": "never"}})),
        "create by path": lambda s, b: shop.accounts.create(s, ask(body={"name": "x"} | {f"custom.{n}": v for n, v in b.items()})),
        "update custom": lambda s, b: shop.accounts.update(s, ask(id=world.mine.id, body={"custom": b})),
        "filter": lambda s, b: shop.deals.page(s, ask(dict.fromkeys(b, "1"))),
        "filter custom": lambda s, b: shop.accounts.page(s, ask({f"custom.{n}__in": "1,2" for n in b})),
        "sort": lambda s, b: shop.deals.page(s, ask({"sort": next(iter(b))})),
        "sort custom": lambda s, b: shop.accounts.page(s, ask({"sort": f"-custom.{next(iter(b))}"})),
        "expand": lambda s, b: shop.deals.page(s, ask({"expand": next(iter(b))})),
    }
    for name, request in requests.items():
        values: list[Any] = [1, "x", None, [], {}]
        for value in values:
            world.tried["A07"] += 1
            hidden, unknown = (told(world, lambda s, n=n: request(s, {n: value})).replace(n, "FIELD") for n in ("salary", "salarx"))  # type: ignore[misc]  # noqa: B023
            assert hidden == unknown, (name, value)
            world.handled["A07"] += 1


WEIRD = ["", "x", "-1", "9" * 30, "\N{ARABIC-INDIC DIGIT THREE}", "1.0", "null", "\x00", "\ud800", '"1", "2"', "../x", "a" * 100_000]
BODIES: list[Any] = [
    b"", b"[]", b"null", b"1", b"\xff", b'{"a":' * 5_000, b"{" * 100_000, b'{"name": NaN}', b'{"name": 1e999}', b'{"__proto__": {}}',
    b"{" + b'"a":1,' * 100_000 + b'"b":1}', "{}".encode("utf-16"), {"name": {"$ref": "x"}}, {"id": "x"}, {"tenant": "other"},
]  # fmt: skip
QUERIES: list[dict[str, str]] = [
    {"sort": "name\x00"}, {"": ""}, {"name__": "x"}, {"name": "\x00"}, {"name": "\ud800"}, {"name__in": "," * 5_000}, {"custom": "x"},
    {"custom.": "x"}, {"custom.region__x": "1"}, {"custom.region": "\x00"}, {"custom.region__in": "\ud800,x"}, {"expand": "name"},
    {"expand": "account.owner"}, {"sort": "custom.nothing"}, {"sort": "custom.region--"}, {"website": "x"}, {"website__isnull": "true"},
]  # fmt: skip


def test_a22_a_request_is_a_question_or_refused(world: World) -> None:
    shop, deal = Shop.of(world.crm), world.deal.id
    must: dict[str, tuple[list[Any], Callable[[World, Session, Any], Any]]] = {
        "id": ([*WEIRD, deal.upper(), f"{{{deal}}}", deal.replace("-", "")], lambda w, s, t: shop.deals.get(s, ask(id=t))),
        "action": ([*WEIRD, "sales.win", "__class__"], lambda w, s, t: shop.deals.perform(s, ask(id=deal, action=t))),
        "body": (BODIES, lambda w, s, t: shop.deals.create(s, ask(body=t))),
        "query": (QUERIES, lambda w, s, t: shop.accounts.page(s, ask(t))),
    }
    may: dict[str, tuple[list[Any], Callable[[World, Session, Any], Any]]] = {
        "size": (WEIRD, lambda w, s, t: shop.deals.page(s, ask({"size": t}))),
        "after": (WEIRD, lambda w, s, t: shop.deals.page(s, ask({"after": t}))),
        "change": (BODIES, lambda w, s, t: undone(s, lambda: shop.deals.update(s, ask(id=deal, body=t)))),
        "if-match": (
            WEIRD,
            lambda w, s, t: undone(s, lambda: shop.deals.update(s, ask(id=deal, headers={"if-match": t}, body={"name": "y"}))),
        ),
        "version": (
            [None, "1", 1.5, True, [], {}, 10**30, -1],
            lambda w, s, t: undone(s, lambda: shop.deals.update(s, ask(id=deal, body={"name": "y", "version": t}))),
        ),
        "key": (["", "\n", "\ud800", "x" * 300], lambda w, s, t: opened(w, **opening(ME, "POST", {"idempotency-key": t}))),
        "request": (["\n", "\ud800", "\x00", "x" * 100_000], lambda w, s, t: opened(w, request=t)),
    }
    for name, (values, attack) in must.items():
        world.assert_refused("A22", each(name, values, attack))
    for name, (values, attack) in may.items():
        world.assert_harmless("A22", each(name, values, attack))


def opened(w: World, **how: Any) -> None:
    with w.crm.session(ME, **how) as s:
        s.get(Account, w.mine.id)
        raise CRMError("refused") if not how.get("idempotency_key") else _Fine()


class _Fine(CRMError):
    """Leaves the session without a commit."""

    status = 400


def test_a02_an_automation_does_what_its_author_may_and_no_more(world: World) -> None:
    """Who sets it off lends it nothing: here it is the system."""
    with world.crm.session(SYSTEM) as s:
        record = s.create(Account(name="set off", owner="1"))
    with world.crm.session(ME) as s:
        acts: list[Any] = [{"set": {"owner": "2"}}, {"perform": "trick.redeem", "with": {"account": world.theirs.id}}]
        rules = [s.create(rule(condition=None, actions=[act])) for act in acts]
    world.crm.run_pending()
    with world.crm.session(Actor.system("test", tenant="main")) as s:
        s.update(Account, record.id, {"industry": "b"})
    world.crm.run_pending()
    with world.crm.session(SYSTEM) as s:
        runs = s.query(AutomationRun).where(AutomationRun.record == record.id).all()
        assert {run.outcome for run in runs} == {RunOutcome.DENIED, RunOutcome.FAILED}
        assert {run.params["error"] for run in runs} == {"denied", "not_found"}
        assert s.get(Account, record.id).owner == "1"
        for each_ in rules:
            s.delete(s.get(AutomationRule, each_.id))
