"""CRMs and delivery hosts that are closed when their test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from crm_core.hooks.plugin import Plugin
from crm_core.testing.databases import Database
from tests.events.raw import Handler, RawHost
from tests.events.world import World, box_plugin, world


@pytest.fixture
def plugin() -> Plugin:
    """A plugin with boxes, to which the test adds subscriptions."""
    return box_plugin()


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    """What must end with the test, before its database is dropped."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def new_world(database: Database, closing: ExitStack) -> Callable[..., World]:
    """Make CRMs on the test's database."""

    def make(plugin: Plugin, **options: Any) -> World:
        made = world(database, plugin, **options)
        closing.callback(made.crm.close)
        return made

    return make


@pytest.fixture
def new_host(database: Database, closing: ExitStack) -> Callable[..., RawHost]:
    """Make bare delivery hosts on the test's database; the first one makes the tables."""
    made: list[RawHost] = []

    def make(handlers: dict[str, Handler], **options: Any) -> RawHost:
        host = RawHost(database, handlers, **options)
        closing.callback(host.bound.dispose)
        if not made:
            host.create()
        made.append(host)
        return host

    return make
