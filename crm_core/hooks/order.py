"""Topological order with ties kept as given, for plugins and for implementations of a hook."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from ..errors import CRMError


def ordered(count: int, comes_after: Mapping[int, Collection[int]], cycle: Callable[[list[int]], CRMError]) -> list[int]:
    """Order ``0 .. count-1`` so that each number comes after those it must, the smallest possible one first.

    Args:
        comes_after: for a number, those that come before it.
        cycle: makes the error from a circle, given as a path that ends where it began.
    """
    waiting = {n: set(comes_after.get(n, ())) for n in range(count)}
    done: list[int] = []
    while waiting:
        ready = next((n for n in waiting if not waiting[n]), None)
        if ready is None:
            raise cycle(_circle(waiting))
        done.append(ready)
        del waiting[ready]
        for before in waiting.values():
            before.discard(ready)
    return done


def _circle(waiting: Mapping[int, Collection[int]]) -> list[int]:
    """Follow what each number waits for until one comes again; all that are left wait for another that is left."""
    path = [next(iter(waiting))]
    while True:
        n = min(waiting[path[-1]])
        if n in path:
            return [*path[path.index(n) :], n]
        path.append(n)
