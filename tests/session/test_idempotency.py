"""What is done under a key is done once, whoever runs it again; the answer is the first one's."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest

from crm_core import Account, Actor, BulkResult, Conflict, Money, Plugin, Ref, Session

SYSTEM = Actor.system("test", tenant="main")
plugin = Plugin("shop", version="1.0.0")
CALLS: list[str] = []


@attrs.frozen
class Opened:
    account: Ref[Account]
    record: Account | None
    balance: Money
    rate: Decimal
    at: datetime
    names: list[str]


@plugin.service
class Shop:
    def __init__(self, session: Session) -> None:
        self._session = session

    def open(self, name: str) -> Opened:
        CALLS.append(name)
        account = self._session.create(Account(name=name))
        return Opened(account.ref, account, Money("1.50", "EUR"), Decimal("0.1"), datetime(2026, 1, 1, tzinfo=UTC), ["a", "b"])


@pytest.fixture
def crm(make_crm: Any) -> Any:
    CALLS.clear()
    return make_crm(plugins=[plugin])


def test_a_second_run_gets_the_first_ones_results_with_their_types(crm: Any) -> None:
    def work() -> tuple[Opened, BulkResult[Account]]:
        with crm.session(SYSTEM, idempotency_key="k") as s:
            opened = s.use(Shop).open("Acme")
            many = s.create_many([Account(name="x"), Account(name="")], on_error="collect")
            return opened, many

    first, second = work(), work()
    assert first[0] == second[0]
    assert [r.id for r in first[1].ok] == [r.id for r in second[1].ok]
    assert [(i, e.code) for i, e in second[1].failed] == [(1, "invalid")]
    assert CALLS == ["Acme"]


def test_a_key_is_its_actors_and_its_works(crm: Any) -> None:
    with crm.session(SYSTEM, idempotency_key="k") as s:
        s.create(Account(name="Acme"))
    with pytest.raises(Conflict), crm.session(SYSTEM, idempotency_key="k") as s:
        s.create(Account(name="Other"))
    with pytest.raises(Conflict), crm.session(Actor.system("other", tenant="main"), idempotency_key="k") as s:
        s.create(Account(name="Acme"))
    with crm.session(Actor.system("test", tenant="second"), idempotency_key="k") as s:
        assert s.create(Account(name="Acme")).tenant == "second"
    with crm.session(SYSTEM) as s:
        assert s.query(Account).count() == 1


def test_a_failed_run_leaves_its_key_free(crm: Any) -> None:
    with pytest.raises(ZeroDivisionError), crm.session(SYSTEM, idempotency_key="k") as s:
        s.create(Account(name="lost"))
        raise ZeroDivisionError
    assert crm.outcome("k") is None
    with crm.session(SYSTEM, idempotency_key="k") as s:
        s.create(Account(name="kept"))
    with crm.session(SYSTEM) as s:
        assert [a.name for a in s.query(Account).all()] == ["kept"]


def test_ten_concurrent_runs_of_one_key_are_one(crm: Any) -> None:
    ids: list[str] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            ids.append(crm.transact(SYSTEM, lambda s: s.create(Account(name="once")).id, idempotency_key="k"))
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert errors == []
    assert len(ids) == 10
    assert len(set(ids)) == 1
    with crm.session(SYSTEM) as s:
        assert s.query(Account).count() == 1
