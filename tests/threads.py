"""Work that several threads do at once."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

Given = TypeVar("Given")
Result = TypeVar("Result")


def at_once(work: Callable[[Given], Result], given: Collection[Given]) -> list[Result]:
    """Do *work* with each that is given, in threads of their own that begin together; return the results in that order.

    Raises:
        BaseException: what the first of them raised, when all have ended.
    """
    together = Barrier(len(given))

    def begin(each: Given) -> Result:
        together.wait()
        return work(each)

    with ThreadPoolExecutor(len(given)) as pool:
        return list(pool.map(begin, given))
