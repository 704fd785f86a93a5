"""Worker processes: what ``crm worker`` runs, on a clock that goes faster, with several subscriptions and rules by the clock."""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any

import attrs

from crm_core import CRM, Created, Plugin, Runtime, Session, Updated
from crm_core.runtime import Ids
from tests.automation import office
from tests.events.boxes import START, Box, Effect
from tests.events.world import box_plugin

SPEED = 120
"""Seconds of the CRM in a second of the world: a rule that runs every minute runs twice a second."""


@attrs.frozen
class FastClock:
    """A clock that all processes share: it started at an instant of the machine's."""

    started: float

    def now(self) -> datetime:
        """Return the time."""
        return START + timedelta(seconds=(time.time() - self.started) * SPEED)

    def monotonic(self) -> float:
        """Return seconds."""
        return time.monotonic()


def boxes_heard_by(subscriptions: int, waits: float) -> Plugin:
    """Return boxes with several subscriptions, each of which leaves an effect for every change, and waits so many seconds for it."""
    plugin = box_plugin()

    def add(number: int) -> None:
        def hear(s: Session, event: Any) -> None:
            time.sleep(waits)
            s.create(Effect(event=event.id, box=event.record.id, what=f"hear{number}"))

        hear.__name__ = f"hear{number}"
        plugin.on(Created[Box])(hear)
        plugin.on(Updated[Box])(hear)

    for number in range(subscriptions):
        add(number)
    return plugin


def open_crm(url: str, subscriptions: int, started: float, waits: float = 0) -> CRM:
    """Open the CRM that all processes share."""
    clock, source = FastClock(started), random.SystemRandom()
    return CRM(url, plugins=[boxes_heard_by(subscriptions, waits), office.plugin], runtime=Runtime(clock, Ids(clock, source), source))


def work(tell: Connection, url: str, subscriptions: int, started: float, waits: float = 0) -> None:
    """Deliver until killed."""
    crm = open_crm(url, subscriptions, started, waits)
    with crm.bound.begin(write=False):
        tell.send("ready")
    crm.worker().run()
