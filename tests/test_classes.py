"""Classes whose methods are generated at the first look behave as attrs' own, whichever look is the first."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import attrs
import cattrs
import pytest

from crm_core import Account
from crm_core.classes import define, frozen, later
from crm_core.entities.values import Address


def made(frozen: Callable[[Any], Any] = frozen) -> Any:
    """Return a class that nobody has looked at."""

    @frozen
    class Given:
        a: int
        b: str = "x"
        c: list[int] = attrs.field(factory=list, kw_only=True)

    return Given


def at_once(cls: Any) -> Any:
    """Have attrs itself make the class."""
    return attrs.frozen(cls, slots=False)


LOOKS: dict[str, Callable[[Any], Any]] = {
    "make": lambda cls: cls(1, c=[2]),
    "repr": lambda cls: repr(cls(1)),
    "equal": lambda cls: (cls(1) == cls(1), cls(1) == cls(2), cls(1) != cls(1)),
    "hashed": lambda cls: len({cls(1, c=()), cls(1, c=()), cls(2, c=())}),
    "fields": lambda cls: [(f.name, f.default, f.kw_only) for f in attrs.fields(cls)][:2],
    "has": attrs.has,
    "signature": lambda cls: str(inspect.signature(cls)),
    "evolve": lambda cls: attrs.asdict(attrs.evolve(cls(1), b="y")),
    "structure": lambda cls: cattrs.Converter().structure({"a": "3"}, cls).a,
    "base": lambda cls: [f.name for f in attrs.fields(attrs.frozen(type("Sub", (cls,), {"__annotations__": {"d": "int"}, "d": 1})))],
    "of a plain subclass": lambda cls: type("Sub", (cls,), {})(5).a,
    "too many": lambda cls: _error(lambda: cls(1, 2, 3)),
    "set": lambda cls: _error(lambda: setattr(cls(1), "a", 2)),
    "delete": lambda cls: _error(lambda: delattr(cls(1), "a")),
}


def _error(act: Callable[[], object]) -> str:
    try:
        act()
    except (TypeError, AttributeError) as e:
        return f"{type(e).__name__}: {e}"
    return "no error"


@pytest.mark.parametrize("first", LOOKS)
def test_each_look_may_be_the_first(first: str) -> None:
    theirs, ours = made(at_once), made()
    for name in [first, *LOOKS]:
        expected, got = LOOKS[name](theirs), LOOKS[name](ours)
        assert repr(got) == repr(expected), name


def test_what_was_made_without_its_constructor_is_whole() -> None:
    # As pickle and copy do, here before anybody looked at the class.
    ours = made()
    one, two = object.__new__(ours), object.__new__(ours)
    for each in (one, two):
        each.__dict__.update(a=1, b="x", c=())
    assert one == two
    assert hash(one) == hash(two)
    assert repr(one).endswith("(a=1, b='x', c=())")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.a = 2
    assert copy.deepcopy(one) == one


def test_a_pickled_value_is_itself_in_a_new_process() -> None:
    given = Address(street="1 Way", city="Ede")
    code = "import pickle, sys; one, two = pickle.load(sys.stdin.buffer); print(one == two, len({one, two}), repr(one))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps((given, copy.copy(given))), capture_output=True, check=True, timeout=60
    )
    assert done.stdout.decode().strip() == f"True 1 {given!r}"


def test_own_methods_and_options_are_kept() -> None:
    @define(eq=False)
    class Own:
        a: int

        def __repr__(self) -> str:
            return "own"

    @frozen
    class Hashed:
        a: int

        def __hash__(self) -> int:
            return 7

    @frozen(order=True)
    class Ordered:
        a: int

    @define
    class Changing:
        a: int

    assert (repr(Own(1)), Own(1) == Own(1)) == ("own", False)
    assert (hash(Hashed(1)), Hashed(1) == Hashed(1)) == (7, True)
    assert Ordered(1) < Ordered(2)
    with pytest.raises(TypeError):
        hash(Changing(1))


def test_many_threads_may_look_first() -> None:
    for _ in range(20):
        ours = made()
        start = threading.Barrier(8)
        found: list[Any] = []

        def look(cls: Any = ours, start: threading.Barrier = start, found: list[Any] = found) -> None:
            start.wait()
            found.append(cls(1, b="y"))

        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert all(one == found[0] for one in found)


def test_what_cannot_be_generated_says_so_each_time() -> None:
    @frozen
    class Wrong:
        a: int = 1
        b: str = attrs.field()  # type: ignore[misc]  # that it cannot be so is the point

    for _ in range(2):
        with pytest.raises(ValueError, match="No mandatory attributes"):
            Wrong(1, "x")


def test_nothing_is_generated_before_a_look() -> None:
    looked = []

    class Waiting: ...

    def generate() -> None:
        looked.append(1)
        Waiting.one = 1  # type: ignore[attr-defined]
        Waiting.two = 2  # type: ignore[attr-defined]

    later(Waiting, ("one", "two"), generate)
    assert looked == []
    assert (Waiting.two, Waiting.one, Waiting().two, looked) == (2, 1, 2, [1])  # type: ignore[attr-defined]


def test_an_entity_shows_its_constructor_to_tools() -> None:
    parameters = inspect.signature(Account).parameters
    assert "name" in parameters
    assert "phones" in parameters
    assert attrs.has(Account)
