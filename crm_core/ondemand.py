"""What is made when it is first asked for: a CRM of sixty entities that reads three makes three tables, and imports what it uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from threading import RLock
from typing import Any, Self, TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")


class OnFirstUse(cached_property[V]):
    """A property that is made when it is first read, once, in whichever thread reads first: cached_property has no lock in Python 3.12."""

    def __init__(self, make: Callable[[Any], V]) -> None:
        super().__init__(make)
        self._alone = RLock()

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> V: ...
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Self | V:
        with self._alone:
            return super().__get__(instance, owner)


class OnDemand(Mapping[K, V]):
    """What *make* returns for each of *keys*, made once, in whichever thread asks first."""

    def __init__(self, keys: Iterable[K], make: Callable[[K], V]) -> None:
        self._keys = dict.fromkeys(keys)
        self._make = make
        self._made: dict[K, V] = {}
        self._lock = RLock()

    def __getitem__(self, key: K) -> V:
        found = self._made.get(key)
        if found is not None:
            return found
        if key not in self._keys:
            raise KeyError(key)
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(key)
        return self._made[key]

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[K]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
