"""What plugins' services give and take under an idempotency key: a second run gets the same, or the first is told before it writes."""

from __future__ import annotations

import enum
from collections.abc import Generator, Iterable, Iterator
from datetime import time, timedelta
from typing import Any

import attrs
import pytest

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_core import Account, Actor, Conflict, CRMError, Invalid, Page, Plugin, Query, Ref, Refused, Session
from crm_core.errors import WrongArgument
from crm_core.storage.kept import returned

SYSTEM = Actor.system("test", tenant="main")
plugin = Plugin("shop", version="1.0.0")


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


@attrs.frozen
class Box:
    size: Size
    account: Ref[Account]
    open_for: timedelta


class Odd:
    """Nothing that can be written down."""


@plugin.service
class Shop:
    def __init__(self, session: Session) -> None:
        self._session = session

    def _open(self, name: str) -> Account:
        return self._session.create(Account(name=name))

    def names(self, prefix: str) -> Iterator[str]:
        for n in range(3):
            yield self._open(f"{prefix}{n}").name

    def boxes(self) -> Generator[Box]:
        yield Box(Size.LARGE, self._open("box").ref, timedelta(hours=1.5))

    def page(self) -> Page[Account]:
        self._open("paged")
        return self._session.query(Account).order_by(Account.name).page(2)

    def query(self) -> Query[Account]:
        return self._session.query(Account)

    def by_size(self) -> dict[Size, list[Box]]:
        return {Size.SMALL: [Box(Size.SMALL, self._open("small").ref, timedelta(1))]}

    def both(self) -> tuple[Size, Box | Account, set[str], time]:
        return Size.LARGE, Box(Size.SMALL, self._open("both").ref, timedelta()), {"a", "b"}, time(9, 30)

    def odd(self) -> Odd:
        self._open("odd")
        return Odd()

    def unsaid(self):  # type: ignore[no-untyped-def]  # as a vendor may forget to
        return Box(Size.SMALL, self._open("unsaid").ref, timedelta())

    def queried(self):  # type: ignore[no-untyped-def]  # as a vendor may forget to
        self._open("queried")
        return self._session.query(Account)

    def wrote_and_asked(self) -> Query[Account]:
        self._open("asked")
        return self._session.query(Account)

    def many(self, names: Iterable[str]) -> int:
        return len([self._open(name) for name in names])

    def take(self, what: Any) -> int:
        self._open("taken")
        return 1


@pytest.fixture
def crm(make_crm: Any) -> Any:
    return make_crm(plugins=[plugin])


def names(crm: Any) -> list[str]:
    with crm.session(SYSTEM, write=False) as s:
        return [a.name for a in s.query(Account).order_by(Account.name).all()]


@pytest.mark.parametrize(
    ("call", "made"),
    [
        (lambda shop: list(shop.names("n")), ["n0", "n1", "n2"]),
        (lambda shop: list(shop.boxes()), ["box"]),
        (lambda shop: shop.page(), ["paged"]),
        (lambda shop: shop.by_size(), ["small"]),
        (lambda shop: shop.both(), ["both"]),
        (lambda shop: shop.many(n for n in ("a", "b")), ["a", "b"]),
        (lambda shop: shop.many({"b", "a"}), ["a", "b"]),
    ],
    ids=["iterator", "generator", "page", "dict", "tuple", "given a generator", "given a set"],
)
def test_a_second_run_gets_what_the_first_one_got(crm: Any, call: Any, made: list[str]) -> None:
    def run() -> Any:
        with crm.session(SYSTEM, idempotency_key="k") as s:
            return call(s.use(Shop))

    first, second = run(), run()
    assert second == first
    assert type(second) is type(first)
    assert names(crm) == made


def test_an_iterator_of_the_first_run_is_read_like_that_of_the_second(crm: Any) -> None:
    for _ in range(2):
        with crm.session(SYSTEM, idempotency_key="k") as s:
            found = s.use(Shop).names("n")
            assert next(found) == "n0"
            assert isinstance(found, Iterator)
    assert names(crm) == ["n0", "n1", "n2"]


def test_other_items_of_a_generator_are_another_call(crm: Any) -> None:
    with crm.session(SYSTEM, idempotency_key="k") as s:
        s.use(Shop).many(n for n in ("a", "b"))
    with pytest.raises(Conflict) as e, crm.session(SYSTEM, idempotency_key="k") as s:
        s.use(Shop).many(n for n in ("a", "c"))
    assert e.value.code == "idempotency_mismatch"


def test_a_query_is_asked_anew_by_each_run(crm: Any) -> None:
    for _ in range(2):
        with crm.session(SYSTEM, idempotency_key="k") as s:
            s.create(Account(name="one"))
            assert s.use(Shop).query().where(Account.name == "one").count() == 1
    assert names(crm) == ["one"]


@pytest.mark.parametrize(("name", "kind"), [("odd", "Odd"), ("unsaid", "Box"), ("queried", "Query"), ("wrote_and_asked", "Query")])
def test_what_a_second_run_could_not_get_is_refused_and_nothing_is_written(crm: Any, name: str, kind: str) -> None:
    for _ in range(2):
        with crm.session(SYSTEM, idempotency_key="k") as s:
            s.create(Account(name="before"))
            with pytest.raises(Refused) as e:
                getattr(s.use(Shop), name)()
            s.create(Account(name="z after"))
        assert (e.value.code, e.value.params) == ("idempotency_result", {"call": f"Shop.{name}", "given": kind})
        assert names(crm) == ["before", "z after"]


@pytest.mark.parametrize("given", [Odd(), object(), [Odd()], {"x": print}], ids=["object", "bare object", "in a list", "function"])
def test_an_argument_that_tells_no_second_call_from_another_is_a_mistake(crm: Any, given: Any) -> None:
    with crm.session(SYSTEM, idempotency_key="k") as s:
        with pytest.raises(WrongArgument) as e:
            s.use(Shop).take(given)
        assert (e.value.code, e.value.params["call"]) == ("idempotency_argument", "Shop.take")
        assert "Shop.take" in str(e.value)
    assert names(crm) == []


def test_every_service_of_ours_says_what_it_returns() -> None:
    plugins = (crm_analytics, crm_erp_bridge, crm_marketing, crm_sales, crm_service)
    methods = [
        m for p in plugins for service in p.plugin.definitions.services for n, m in vars(service).items() if n[0] != "_" and callable(m)
    ]
    assert len(methods) > 50
    assert [m.__qualname__ for m in methods if returned(m) is Any] == []


# Savepoints


class Undo(Exception):
    pass


def test_what_a_savepoint_undid_is_undone_again_in_a_second_run(crm: Any) -> None:
    seen: list[list[str]] = []
    for _ in range(2):
        with crm.session(SYSTEM, idempotency_key="k") as s:
            seen.append([])
            s.create(Account(name="before"))
            with pytest.raises(Undo), s.savepoint():
                lost = s.create(Account(name="lost"))
                seen[-1].append(s.get(Account, lost.id).name)
                seen[-1] += s.use(Shop).names("l")
                with s.savepoint():
                    s.update(Account, lost.id, {"name": "lost twice"})
                raise Undo
            with s.savepoint():
                s.create(Account(name="kept"))
                with pytest.raises(Undo), s.savepoint():
                    s.create(Account(name="inner"))
                    raise Undo
            seen[-1].append(s.create(Account(name="z after")).name)
        assert names(crm) == ["before", "kept", "z after"]
    assert seen == [["lost", "l0", "l1", "l2", "z after"]] * 2


def test_an_error_in_an_undone_savepoint_is_met_again_though_it_would_not_come_now(crm: Any) -> None:
    for name in ("", "Acme"):
        with crm.session(SYSTEM, idempotency_key="k") as s:
            with pytest.raises(Invalid), s.savepoint():
                s.create(Account(name="lost"))
                s.create(Account(name=""))
            assert name is not None
    assert names(crm) == []


@pytest.mark.parametrize("inside", [True, False])
def test_a_second_run_that_would_keep_what_the_first_undid_is_another_use_of_the_key(crm: Any, inside: bool) -> None:
    with crm.session(SYSTEM, idempotency_key="k") as s, pytest.raises(Undo), s.savepoint():
        s.create(Account(name="lost"))
        raise Undo

    def again() -> None:
        with crm.session(SYSTEM, idempotency_key="k") as s:
            if inside:
                with s.savepoint():
                    s.create(Account(name="lost"))
            else:
                s.create(Account(name="lost"))

    with pytest.raises(CRMError) as e:
        again()
    assert e.value.code == "idempotency_mismatch"
    assert names(crm) == []
