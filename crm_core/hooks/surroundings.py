"""What a plugin shares with the whole process and must leave as it found it: seen after its import and after each of its subscribers."""

from __future__ import annotations

import decimal
import locale
import logging
import os
import signal
import socket
import sys
from typing import Any, Self

import attrs

_SIGNALS = tuple(number for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM") if (number := getattr(signal, name, None)) is not None)


@attrs.frozen
class Surroundings:
    """The state that all code of a process, or of a thread, works in.

    Attributes:
        decimal_context: the thread's precision, rounding and traps. Our own sums do not ask it.
        locale, socket_timeout, signal_handlers, recursion_limit, time_zone, logging_off: the process's.
    """

    decimal_context: Any
    locale: str
    socket_timeout: float | None
    signal_handlers: tuple[Any, ...]
    recursion_limit: int
    time_zone: str | None
    logging_off: int

    @classmethod
    def now(cls) -> Self:
        """Look at them; it takes some microseconds."""
        context = decimal.getcontext()
        return cls(
            (context.prec, context.rounding, context.Emin, context.Emax, tuple(context.traps.items())),
            locale.setlocale(locale.LC_ALL),
            socket.getdefaulttimeout(),
            tuple(map(signal.getsignal, _SIGNALS)),
            sys.getrecursionlimit(),
            os.environ.get("TZ"),
            logging.root.manager.disable,
        )

    def changed(self) -> list[str]:
        """Name what is different now."""
        now = type(self).now()
        return [a.name for a in attrs.fields(type(self)) if getattr(self, a.name) != getattr(now, a.name)]
