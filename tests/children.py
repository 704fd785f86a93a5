"""Real processes that may be killed, started quickly: from a server that has the imports already."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import attrs

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["crm_demo.command", "tests.events.crashing", "tests.faults.processes"])


@attrs.frozen
class Child:
    """A process that tells what it has done."""

    process: BaseProcess
    told: Connection

    def kill(self) -> list[Any]:
        """End it as ``kill -9`` does; return what it had told and nobody had read."""
        self.process.kill()
        return self.rest()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def ended(self) -> int:
        """Wait for its end; return its exit code."""
        self.rest()
        assert self.process.exitcode is not None
        return self.process.exitcode

    def rest(self) -> list[Any]:
        """Wait for its end; return what it had told and nobody had read."""
        found: list[Any] = []
        with suppress(EOFError, ConnectionResetError):
            while True:
                found.append(self.told.recv())
        self.process.join()
        self.told.close()
        return found


def start(work: Callable[..., None], *arguments: Any) -> Child:
    """Run ``work(tell, *arguments)`` in a process of its own."""
    ours, theirs = _context.Pipe(duplex=False)
    process = _context.Process(target=_run, args=(work, theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    return Child(process, ours)


def _run(work: Callable[..., None], *arguments: Any) -> None:
    # Each of hundreds of processes would warn of the same SQLite.
    logging.getLogger("crm_core").setLevel(logging.ERROR)
    work(*arguments)
