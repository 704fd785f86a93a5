"""Forks: a child works with connections of its own.

On PostgreSQL it leaves the parent's to it. SQLite is harder: its locks are counted in the process that holds them, and a child inherits the
counts without the locks, so that it would write where it must wait. So the parent closes its idle connections before it forks, and where
one is in use just then, the child is told that it cannot work there.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Pool

T = TypeVar("T")


def around_forks(owner: T, before: Callable[[T], None], child: Callable[[T], None]) -> None:
    """Call *before* in the parent and *child* in the new process at every fork while *owner* lives."""
    if not hasattr(os, "register_at_fork"):  # Windows has no fork
        return
    known = weakref.ref(owner)

    def calling(work: Callable[[T], None]) -> Callable[[], None]:
        def call() -> None:
            found = known()
            if found is not None:
                work(found)

        return call

    # Nothing takes them off again; what stays of an owner that is gone are these two functions.
    os.register_at_fork(before=calling(before), after_in_child=calling(child))


def in_use(pool: Pool) -> bool:
    """Say whether a connection of a pool is with somebody; of a pool that does not count we cannot know."""
    counts: Any = pool
    return hasattr(counts, "checkedout") and counts.checkedout() > 0


def is_open(pool: Pool) -> bool:
    """Say whether a pool has a connection at all."""
    counts: Any = pool
    return in_use(pool) or (hasattr(counts, "checkedin") and counts.checkedin() > 0)
