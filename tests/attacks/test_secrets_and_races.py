"""Attacks on secrets in what is shown, and on what two do at once [A29, A35]."""

from __future__ import annotations

import json
import logging
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from crm_core import CRM, Account, Conflict, CRMError, Money, NotFound
from crm_sales.api import Lead, Sales
from tests.attacks.raid import SYSTEM, World
from tests.laws.shop import Deal
from tests.threads import at_once

SECRET = "s3cr3t-p4ssw0rd"
URLS = [
    f"postgresql+psycopg://admin:{SECRET}@127.0.0.1:1/nowhere",
    f"postgresql+psycopg://admin:{SECRET}@nowhere.invalid/x",
    f"postgresql+psycopg://127.0.0.1:1/x?user=admin&password={SECRET}",
    f"postgresql+nodriver://admin:{SECRET}@127.0.0.1/x",
    f"mysql://admin:{SECRET}@127.0.0.1/x",
    f"oracle://admin:{SECRET}@127.0.0.1/x",
    f"://admin:{SECRET}@",
]


@pytest.mark.parametrize("url", URLS)
def test_a29_a_password_is_in_no_error_log_or_repr(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    try:
        crm = CRM(url)
        said += [repr(crm), repr(crm.bound)]
        with crm.session(SYSTEM) as s:
            said.append(repr(s))
            s.query(Account).all()
    except CRMError as e:
        said += [str(e), repr(e), json.dumps(e.problem()), *traceback.format_exception(e)]
    assert said
    for text in (*said, caplog.text):
        assert SECRET not in text


def raced(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Do *work* so many times at once; return the results, refusals included."""

    def run(n: int) -> Any:
        try:
            return work(n)
        except CRMError as e:
            return e

    return at_once(run, range(count))


def test_a35_what_is_done_at_once_is_done_once(world: World) -> None:
    crm = world.crm
    with crm.session(SYSTEM) as s:
        record = s.create(Account(name="raced", owner="9"))
        lead = s.create(Lead(name="Ann", company="Acme", owner="9"))

    def stale(n: int) -> Any:
        with crm.session(SYSTEM) as s:
            return s.update(Account, record.id, {"name": f"n{n}"}, version=1).version

    results = raced(8, stale)
    world.tried["A35"] += 3
    assert Counter(type(r).__name__ for r in results) == {"int": 1, "Conflict": 7}
    world.handled["A35"] += 1

    def convert(n: int) -> Any:
        with crm.session(SYSTEM) as s:
            return s.use(Sales).convert(s.get(Lead, lead.id))

    results = raced(8, convert)
    assert len({repr(r) for r in results}) == 1, "a lead that was converted says what became of it"
    with crm.session(SYSTEM) as s:
        assert s.query(Account).where(Account.name == "Acme").count() == 1
    world.handled["A35"] += 1

    def unique(n: int) -> Any:
        with crm.session(SYSTEM) as s:
            return s.create(Deal(name="x", account=record.ref, amount=Money(1, "EUR"), code="once")).id

    assert Counter(type(r).__name__ for r in raced(8, unique)) == {"str": 1, "Conflict": 7}
    world.handled["A35"] += 1


def test_a35_one_key_has_one_body(world: World) -> None:
    crm = world.crm

    def keyed(n: int, name: str = "same") -> Any:
        with crm.session(SYSTEM, idempotency_key="raced") as s:
            return s.create(Account(name=name, owner="9")).id

    world.tried["A35"] += 3
    results = raced(8, keyed)
    assert len({r for r in results if isinstance(r, str)}) == 1, results
    assert all(isinstance(r, str | Conflict) or r.status == 503 for r in results), results
    world.handled["A35"] += 1
    with pytest.raises(Conflict):
        keyed(0, "another body")
    world.handled["A35"] += 1
    with crm.session(SYSTEM) as s:
        assert s.query(Account).where(Account.name == "same").count() == 1

    def gone(n: int) -> Any:
        with crm.session(SYSTEM) as s:
            s.delete(doomed)
            return True

    with crm.session(SYSTEM) as s:
        doomed = s.create(Account(name="doomed", owner="9"))
    results = raced(8, gone)
    assert Counter(r if r is True else type(r) for r in results) == {True: 1, NotFound: 7}, results
    world.handled["A35"] += 1
