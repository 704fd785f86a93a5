"""A program that forks with connections in the pool: ``forking.py URL CHILDREN RECORDS [hold]``.

Each child writes and reads while the parent goes on; with ``hold`` the parent is in the middle of a transaction when it forks. It prints
what a test wants to know.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from typing import Any

from sqlalchemy import text

from crm_core import CRM, Account, Actor, Refused

WHO = Actor.system("fork", tenant="main")


def write(crm: CRM, who: str, records: int) -> None:
    for n in range(records):
        with crm.session(WHO) as s:
            s.create(Account(name=f"{who} {n}"))
        with crm.session(WHO, write=False) as s:
            assert s.query(Account).where(Account.name == f"{who} {n}").count() == 1


def backends(crm: CRM) -> set[int]:
    """Return the server's processes behind three connections that are open at once."""
    opened = [crm.bound.engine.connect() for _ in range(3)]
    found = {c.execute(text("SELECT pg_backend_pid()")).scalar_one() for c in opened} if crm.bound.kind == "postgresql" else {os.getpid()}
    for connection in opened:
        connection.close()
    return found


def main(url: str, children: int, records: int, *, hold: bool) -> None:
    crm = CRM(url)
    crm.migrate()
    write(crm, "before", 1)
    mine = backends(crm)
    held, free = threading.Event(), threading.Event()

    def in_the_middle() -> None:
        with crm.session(WHO) as s:
            s.create(Account(name="held"))
            held.set()
            free.wait(30)

    writer = threading.Thread(target=in_the_middle if hold else held.set)
    writer.start()
    held.wait(30)
    pids = [child(crm, f"child {n}", records, mine) for n in range(children)]
    time.sleep(0.2)
    free.set()
    writer.join()
    write(crm, "parent", records)
    codes = sorted({os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids})
    with crm.session(WHO, write=False) as s:
        names = [a.name for a in s.query(Account).all()]
    assert backends(crm) & mine, "the parent's connections were ended by a child"
    print(f"{len(names)} records, {len(set(names))} names, children ended with {codes}")
    crm.close()


def child(crm: CRM, who: str, records: int, parents: set[int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        assert not backends(crm) & parents, "a connection of the parent is used"
        write(crm, who, records)
        crm.close()
        status = 0
    except Refused as e:
        status = 3 if e.code == "forked_while_open" else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    given: Any = sys.argv
    main(given[1], int(given[2]), int(given[3]), hold="hold" in given)
