"""Attacks with values: whatever comes from outside is answered, or refused with a typed error, at once and alike on both databases."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from crm_core import Account, Actor, CRMError, ExchangeRate, Interaction, Money, Session
from crm_core.entities.activity import Participant
from crm_core.testing.state import state_hash
from tests.laws.shop import Deal, plugin

SYSTEM = Actor.system("test", tenant="main")
AT = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
DEEP: Any = []
for _ in range(200_000):
    DEEP = [DEEP]


def cursor(s: Session, *values: Any) -> str:
    """Forge a cursor of the query by *name*."""
    real = s.query(Deal).order_by(Deal.salary).page(1).next
    assert real is not None
    digest = json.loads(base64.urlsafe_b64decode(real + "=" * (-len(real) % 4)))[0]
    return base64.urlsafe_b64encode(json.dumps([digest, *values]).encode()).decode()


def matching(**params: Any) -> Callable[[Session, Deal], Any]:
    allow = ["name", "salary", "amount", "stage", "code", "account", "id", "created_at", "details"]
    return lambda s, d: s.query(Deal).matching(params, allow=allow).all()


def update(name: str, value: Any) -> Callable[[Session, Deal], Any]:
    return lambda s, d: s.update(Deal, d.id, {name: value})


def paged(*values: Any) -> Callable[[Session, Deal], Any]:
    return lambda s, d: s.query(Deal).order_by(Deal.salary).page(1, after=cursor(s, *values))


def saved(**values: Any) -> Callable[[Session, Deal], Any]:
    def attack(s: Session, deal: Deal) -> Deal:
        for name, value in values.items():
            setattr(deal, name, value)
        return s.save(deal)

    return attack


ID = "00000000-0000-0000-0000-000000000000"
ATTACKS: dict[str, Callable[[Session, Any], Any]] = {
    "a digit that is no number": matching(salary="²"),
    "two signs": matching(salary="--5"),
    "an instant before time began": matching(created_at__gt="0001-01-01T00:00:00+14:00"),
    "an instant after time ends": matching(created_at__gt="9999-12-31T23:59:59-14:00"),
    "NUL in a prefix": matching(name__startswith="\x00"),
    "half a surrogate in a prefix": matching(name__startswith="\ud800"),
    "NUL in a filter": matching(name="\x00"),
    "half a surrogate in a filter": matching(name="\ud800"),
    "no id": matching(id="x"),
    "no reference": matching(account="x"),
    "an id that is no text": matching(id="'; DROP TABLE crm_account; --"),
    "no text": matching(name=None),
    "a number for a text": matching(name=5),
    "a list for a text": matching(name__in=["a"]),
    "sorting by a number": matching(sort=5),
    "sorting by a list": matching(sort=["name"]),
    "sorting by a case": matching(sort="(CASE WHEN 1=1 THEN id ELSE name END)"),
    "a huge amount": matching(amount="EUR:1e1000000"),
    "an amount that is none": matching(amount="EUR:sNaN"),
    "amounts in a list": matching(amount__in="EUR:1,EUR:2"),
    "amounts isnull": matching(amount__isnull="true"),
    "an amount by prefix": matching(amount__startswith="EUR:1"),
    "5 MB": matching(name="x" * 5_000_000),
    "5 MB prefix": matching(name__startswith="x" * 5_000_000),
    "2000 ids": matching(id__in=",".join([ID] * 2000)),
    "JSON by value": matching(details="x"),
    "a cursor of another type": lambda s, d: s.query(Deal).page(1, after=5),  # type: ignore[arg-type]  # the attack
    "a deep cursor": lambda s, d: s.query(Deal).page(1, after=base64.urlsafe_b64encode(b"[" * 200_000).decode()),
    "a cursor with an object": paged({"a": 1}, ID),
    "a cursor with text for a number": paged("x", ID),
    "a cursor with a huge number": paged(10**30, ID),
    "a cursor with a number for an id": paged(1, 5),
    "a cursor with no id": paged(1, "x"),
    "a cursor with a list": paged([1], [ID]),
    "a cursor with true": paged(True, True),
    "a cursor with NaN": paged(float("nan"), ID),
    "a version that is text": lambda s, d: s.update(Deal, d.id, {"name": "n"}, version="1"),  # type: ignore[arg-type]  # the attack
    "a version of long ago": lambda s, d: s.update(Deal, d.id, {"name": "n"}, version=-1),
    "a version far ahead": lambda s, d: s.update(Deal, d.id, {"name": "n"}, version=10**40),
    "changes in a list": lambda s, d: s.update(Deal, d.id, [("name", "n")]),  # type: ignore[arg-type]  # the attack
    "changes that are text": lambda s, d: s.update(Deal, d.id, "name"),  # type: ignore[arg-type]  # the attack
    "an id that is a number": lambda s, d: s.update(Deal, 5, {"name": "n"}),  # type: ignore[arg-type]  # the attack
    "an id that is a list": lambda s, d: s.get(Deal, ["x"]),  # type: ignore[arg-type]  # the attack
    "deleting what was never stored": lambda s, d: s.delete(Account(name="x")),
    "saving what was never stored": lambda s, d: s.save(Account(name="x")),
    "a signalling NaN": update("amount", {"amount": "sNaN", "currency": "EUR"}),
    "a deep body": update("details", DEEP),
    "a deep list for a text": update("name", DEEP),
    "a surrogate in JSON": update("details", {"a": "\ud800"}),
    "a surrogate in a key": update("details", {"\ud800": 1}),
    "money of a list": update("amount", {"amount": [1], "currency": ["EUR"]}),
    "money of an object": update("amount", {"amount": {}, "currency": {}}),
    "a currency with NUL": update("amount", {"amount": "1", "currency": "\x00\x00\x00"}),
    "a huge int": update("salary", 10**5000),
    "a tampered version": saved(version="x", name="y"),
    "a tampered id": saved(id=5, name="y"),
    "a tampered reference": saved(account="x"),
    "a grantee with NUL": lambda s, d: s.share(d, "user:\x00"),
    "a grantee of 5 MB": lambda s, d: s.share(d, "user:" + "x" * 5_000_000),
    "a grantee that is none": lambda s, d: s.share(d, None),  # type: ignore[arg-type]  # the attack
    "an action that is a list": lambda s, d: s.share(d, "user:1", ["read"]),  # type: ignore[arg-type]  # the attack
    "a key with NUL": lambda s, d: s.crm.session(SYSTEM, on=s._unit.connection, idempotency_key="\x00").__enter__(),
    "a reason with half a surrogate": lambda s, d: s.crm.session(SYSTEM, reason="\ud800").__enter__(),
    "a request id of 5 MB": lambda s, d: s.crm.session(SYSTEM, request="x" * 5_000_000).__enter__(),
    "a surrogate where": lambda s, d: s.query(Deal).where(Deal.name == "\ud800").all(),
    "a NUL where": lambda s, d: s.query(Deal).where(Deal.name == "\x00").all(),
    "a huge int where": lambda s, d: s.query(Deal).where(Deal.salary > 10**30).all(),
    "a dict where": lambda s, d: s.query(Deal).where(Deal.name == {"a": 1}).all(),
    "a participant that is an object": lambda s, d: s.create(Interaction(at=AT, participants=[Participant({"a": 1})])),  # type: ignore[arg-type]  # the attack
    "a participant with NUL": lambda s, d: s.create(Interaction(at=AT, participants=[Participant("\x00")])),
    "a participant of 5 MB": lambda s, d: s.create(Interaction(at=AT, participants=[Participant("a", "x" * 5_000_000)])),
    "a participant that is a set": lambda s, d: s.create(Interaction(at=AT, participants=[Participant({1})])),  # type: ignore[arg-type]  # the attack
    "an instant that cannot be UTC": lambda s, d: s.create(Interaction(at=datetime.fromisoformat("0001-01-01T00:00:00+14:00"))),
    "expanding a number": lambda s, d: s.crm.to_json(d, expand=[5]),  # type: ignore[list-item]  # the attack
    "a limit of nothing": lambda s, d: s.query(Deal).count(limit=-1),
    "a limit without bounds": lambda s, d: s.query(Deal).count(limit=10**30),
}


def test_whatever_comes_from_outside_is_answered_or_refused_with_a_typed_error(make_crm: Any) -> None:
    crm = make_crm(plugins=[plugin])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="A"))
        deal = s.create(Deal(name="d", account=account.ref, amount=Money(1, "EUR"), details={"a": 1}, salary=1))
        s.create(Deal(name="e", account=account.ref, amount=Money(1, "EUR"), salary=2))
        rate = s.create(ExchangeRate(base="EUR", quote="USD", valid_from=AT.date(), rate=Decimal(1)))
    before = state_hash(crm)
    for name, attack in ATTACKS.items():
        started = time.process_time()
        try:
            with crm.session(SYSTEM) as s:
                answer: Any = attack(s, s.get(Deal, deal.id))
        except CRMError as e:
            answer = e.problem()
        except Exception as e:
            raise AssertionError(name) from e
        assert not isinstance(answer, dict) or answer["status"] < 500, name
        assert len(str(answer)) < 5_000, name
        assert time.process_time() - started < 2, name
        assert state_hash(crm) == before, name
    with crm.session(SYSTEM) as s, pytest.raises(CRMError):
        s.update(ExchangeRate, rate.id, {"rate": "sNaN"})
