"""An entity that several threads ask for first has one table, or a query of it could never be read."""

from __future__ import annotations

import sys
import threading
from typing import Any

from crm_core.entities.entity import Entity
from crm_core.entities.fields import Field
from crm_core.entities.meta import logical_table


def test_threads_that_ask_at_once_get_one_table() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):

            class Thing(Entity):
                name: Field[str]

            found: list[Any] = []
            ready = threading.Barrier(6)

            def ask(entity: type[Thing] = Thing, found: list[Any] = found, ready: threading.Barrier = ready) -> None:
                ready.wait()
                found.append(logical_table(entity))

            threads = [threading.Thread(target=ask) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len({id(table) for table in found}) == 1
    finally:
        sys.setswitchinterval(interval)
