"""A plugin to test delivery with: boxes that change, and an effect for every event that its subscribers see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import attrs

from crm_core.crm import CRM
from crm_core.entities.fields import Ref
from crm_core.entities.money import Money
from crm_core.events.event import Created, Event, Updated
from crm_core.hooks.plugin import Plugin
from crm_core.permissions.actor import Actor
from crm_core.runtime import FixedClock, Runtime
from crm_core.session import Session
from crm_core.testing.databases import Database
from tests.events.boxes import START, Box, Effect

ADMIN = Actor.system("test", tenant="main")


class Opened(Event[Box], name="box.opened", version=1):
    """A domain event."""

    price: Money
    by: str = "nobody"


class Opener:
    """A service of the plugin, whose code may emit the plugin's events."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def open(self, box: Box, price: str = "3") -> None:
        """Say that a box was opened."""
        self._session.emit(Opened(record=box.ref, price=Money(price, "EUR")))


def box_plugin() -> Plugin:
    """Return a plugin that declares the entities and the event."""
    plugin = Plugin("box", version="1.0")
    plugin.entities(Box, Effect)
    plugin.events(Opened)
    plugin.service(Opener)
    return plugin


def recorder(plugin: Plugin, poison: set[str] | None = None, **options: Any) -> set[str]:
    """Let *plugin* keep an effect for each change of a box; it fails for the names in the set that is returned."""
    bad: set[str] = set() if poison is None else poison

    @plugin.on(Updated[Box], **options)
    @plugin.on(Created[Box], **options)
    def record(s: Session, event: Any) -> None:
        what, size = ("created", 0) if isinstance(event, Created) else ("updated", event.changes["size"].new)
        box = s.get(Box, event.record)
        s.create(Effect(event=event.id, box=event.record.id, what=what, size=size))
        if box.name in bad:
            raise ValueError(f"poison {box.name}")

    return bad


@attrs.frozen
class World:
    """A CRM with a standing clock."""

    crm: CRM
    clock: FixedClock

    def boxes(self, names: Sequence[str]) -> list[Box]:
        """Create boxes."""
        with self.crm.session(ADMIN) as s:
            return s.create_many([Box(name=n) for n in names]).ok

    def grow(self, box: Box, size: int) -> None:
        """Change a box."""
        with self.crm.session(ADMIN) as s:
            s.update(Box, box.id, {"size": size})

    def effects(self, box: Box | Ref[Box] | None = None) -> list[Effect]:
        """Return the effects, of one box, in the order they were made."""
        with self.crm.session(ADMIN, write=False) as s:
            query = s.query(Effect).order_by(Effect.id)
            return (query if box is None else query.where(Effect.box == box.id)).all()

    def later(self, **delta: float) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(**delta))


def world(database: Database, plugin: Plugin, *, seed: int | str = 7) -> World:
    """Return a migrated CRM on an empty database."""
    clock = FixedClock(START)
    crm = CRM(database.url, plugins=[plugin], runtime=Runtime.seeded(seed, clock=clock))
    crm.migrate()
    return World(crm, clock)
