"""What processes do that deliver and die at a named point, or say when they are inside a batch and wait there."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from typing import Any

import sqlalchemy as sa

from crm_core.events.subscription import Fenced
from crm_core.testing.databases import Database
from tests.events.raw import RawHost

POINTS = ("before effect", "after effect", "before position", "after position", "before commit", "after commit", "between batches")


def host(database: Database, point: str = "", **options: Any) -> RawHost:
    """Return a host whose third event is where the process dies."""
    seen: list[str] = []

    def handle(session: Any, event: Any) -> None:
        seen.append(event.id)
        if point == "before effect" and len(seen) == 3:
            os._exit(9)
        session.effect(event)
        if point == "after effect" and len(seen) == 3:
            os._exit(9)

    made = RawHost(database, {"box.record": handle}, **options)
    if point.endswith(("position", "commit")):
        _arm(made.bound.engine, point, seen)
    return made


def _arm(engine: sa.Engine, point: str, seen: list[str]) -> None:
    def statement(conn: Any, cursor: Any, text: str, *rest: Any) -> None:
        if seen and text.startswith("UPDATE crm_subscription"):
            os._exit(9)

    def commit(conn: Any) -> None:
        if seen:
            os._exit(9)

    if point.endswith("position"):
        sa.event.listen(engine, f"{point.split()[0]}_cursor_execute", statement)
    elif point == "before commit":
        sa.event.listen(engine, "commit", commit)


def deliver(tell: Connection, url: str, point: str, external: bool) -> None:
    """Deliver what there is, and die on the way."""
    made = host(Database("postgresql" if url.startswith("postgresql") else "sqlite", url), point, external=external)
    delivery = made.delivery()
    if point in ("after commit", "between batches"):
        delivery.run_pending(limit=3 if point == "after commit" else 1)
        os._exit(9)
    delivery.run_pending()
    os._exit(0)


def deliver_with_a_short_lease(tell: Connection, url: str) -> None:
    """Deliver with a lease of a second; the first event takes half of it."""

    def handle(session: Any, event: Any) -> None:
        session.effect(event)
        tell.send("inside")
        time.sleep(0.5)

    made = RawHost(Database("postgresql", url), {"box.record": handle})
    try:
        tell.send("delivered" if made.delivery(lease=1).run_pending() else "failed")
    except (Exception, Fenced):
        tell.send("failed")
