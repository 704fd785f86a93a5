"""Which exceptions are not a plugin's failure though they come out of its function: somebody else waits for them."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable
from types import CodeType
from typing import Any


def is_the_hosts(cause: BaseException, fn: Callable[..., Any]) -> bool:
    """Say whether what *fn* raised must reach the host: an interrupt, a cancelled task, the end of a test, a signal's ``sys.exit``.

    A function that calls ``sys.exit`` itself, or raises BaseException or a kind of its own package, has failed like any other.
    """
    kind = type(cause)
    if isinstance(cause, Exception) or kind in (BaseException, BaseExceptionGroup):
        return False
    if kind is SystemExit:
        return _came_by_signal(cause)
    return _package(kind) != _package(fn)


def code_of(fn: object) -> CodeType | None:
    """Return the code that runs when a function, method, partial or callable object is called; None of what is not written in Python."""
    while (inner := getattr(fn, "func", None) or getattr(fn, "__func__", None) or getattr(fn, "__wrapped__", None)) is not None:
        fn = inner
    found = getattr(fn, "__code__", None) or (getattr(type(fn).__call__, "__code__", None) if callable(fn) else None)
    return found if isinstance(found, CodeType) else None


def _came_by_signal(cause: BaseException) -> bool:
    handlers = {code_of(handler) for number in signal.valid_signals() if callable(handler := signal.getsignal(number))}
    return any(frame.f_code in handlers for frame, _ in traceback.walk_tb(cause.__traceback__))


def _package(thing: Any) -> str:
    return str(getattr(thing, "__module__", "")).partition(".")[0]
