"""What runs in processes that may be killed."""

from __future__ import annotations

import resource
import signal
import time
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import sqlalchemy as sa

from crm_core import CRM
from crm_core.errors import CRMError
from crm_core.storage import sqlite
from tests.events.boxes import Box
from tests.events.world import ADMIN, box_plugin
from tests.faults.ledger import SYSTEM, write_pair


def write_for_ever(tell: Connection, url: str, tag: str) -> None:
    """Write pairs, and tell the name of each when it is committed."""
    crm = CRM(url)
    if crm.bound.kind == "sqlite":
        sa.event.listen(crm.bound.engine.pool, "connect", lambda c, _: sqlite.run(c, "PRAGMA wal_autocheckpoint = 40"))
    n = 0
    while True:
        name = f"{tag}-{n}"
        crm.transact(SYSTEM, partial(write_pair, name=name), retries=9)
        tell.send(name)
        n += 1


def add_up(tell: Connection, url: str, box: str, times: int) -> None:
    """Say that all is ready, then add one to a box so many times; tell how long each took, and what went wrong."""
    crm = CRM(url, plugins=[box_plugin()])
    with crm.session(ADMIN, write=False) as s:
        s.get(Box, box)
    tell.send("ready")
    tell.send(add_one_each(crm, box, times))
    crm.close()


def add_one_each(crm: CRM, box: str, times: int) -> tuple[list[float], list[str]]:
    """Add one to a box so many times; return how long each took, and what went wrong."""
    waits: list[float] = []
    errors: list[str] = []

    def work(s: Any) -> None:
        s.update(Box, box, {"size": s.lock(Box, box).size + 1})

    for _ in range(times):
        began = time.perf_counter()
        try:
            crm.transact(ADMIN, work, retries=5)
        except Exception as e:
            errors.append(repr(e))
        waits.append(time.perf_counter() - began)
    return waits, errors


def write_until_files_are_full(tell: Connection, url: str, limit: int) -> None:
    """Write with a limit on the size of files until that is too much, then without; tell what was committed, refused, and then again."""
    crm = CRM(url)
    with crm.session(SYSTEM, write=False):
        pass
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    done: list[str] = []
    code = ""
    while not code:
        try:
            with crm.session(SYSTEM) as s:
                write_pair(s, str(len(done)))
            done.append(str(len(done)))
        except CRMError as e:
            code = e.code
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    with crm.session(SYSTEM) as s:
        write_pair(s, "again")
    tell.send((done, code))
    crm.close()
