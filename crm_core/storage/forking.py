"""After a fork: a child works with connections of its own, and waits for nobody who stayed in the parent."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def renew_in_children(owner: T, renew: Callable[[T], None]) -> None:
    """Call *renew* with *owner* in every process that is forked while *owner* lives."""
    if not hasattr(os, "register_at_fork"):  # Windows has no fork
        return
    known = weakref.ref(owner)

    def child() -> None:
        found = known()
        if found is not None:
            renew(found)

    # Nothing takes it off again; what stays of an owner that is gone is this function.
    os.register_at_fork(after_in_child=child)
