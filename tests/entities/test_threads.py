"""An entity that several threads ask for first has one table, or a query of it could never be read."""

from __future__ import annotations

import sys

from crm_core.entities.entity import Entity
from crm_core.entities.fields import Field
from crm_core.entities.meta import logical_table
from tests.threads import at_once


def test_threads_that_ask_at_once_get_one_table() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):

            class Thing(Entity):
                name: Field[str]

            found = at_once(logical_table, [Thing] * 6)
            assert len({id(table) for table in found}) == 1
    finally:
        sys.setswitchinterval(interval)
