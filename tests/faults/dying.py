"""A process that delivers and dies at a numbered point: before or after any statement, or before a COMMIT."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import sqlalchemy as sa

from crm_core import CRM, Created, FixedClock, Plugin, Runtime, Session
from crm_core.permissions import prepared
from tests.events.boxes import START, Box, Effect
from tests.events.world import box_plugin, recorder

DIED = 9


def plugin_with(poison: set[str]) -> Plugin:
    """Return boxes, a subscriber that leaves effects, and one that talks to the outside, which here is a table, too."""
    plugin = box_plugin()
    recorder(plugin, poison)

    @plugin.on(Created[Box], external=True)
    def tell(s: Session, event: Any) -> None:
        s.create(Effect(event=event.id, box=event.record.id, what="told"))

    return plugin


def open_crm(url: str, seed: str, poison: set[str]) -> CRM:
    """Open the CRM with a standing clock."""
    return CRM(url, plugins=[plugin_with(poison)], runtime=Runtime.seeded(seed, clock=FixedClock(START)))


def deliver_and_die(tell: Connection, url: str, at: int) -> None:
    """Deliver, with one box that cannot be, and die at the point *at*; tell how many points there were where it was not reached."""
    crm = open_crm(url, f"dying {at}", {"bad"})
    points = Points(at)
    points.watch(crm)
    crm.run_pending()
    points.at = 0
    crm.close()
    tell.send(points.seen)


class Points:
    """Counts the points, and dies at one."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.seen = 0

    def reach(self, *_: Any) -> None:
        """Note a point."""
        self.seen += 1
        if self.seen == self.at:
            os._exit(DIED)

    def watch(self, crm: CRM) -> None:
        """Count what goes through SQLAlchemy, and what goes to the driver beside it."""
        for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
            sa.event.listen(crm.bound.engine, name, self.reach)
        plain = prepared._cursor

        @contextmanager
        def counted(connection: sa.Connection, sql: str) -> Iterator[Any]:
            self.reach()
            with plain(connection, sql) as cursor:
                yield cursor
            self.reach()

        prepared._cursor = counted
