"""What is left in the process, and in what a CRM does, when one with plugins was closed: nothing."""

from __future__ import annotations

import atexit
import gc
import importlib
import logging
import os
import sys
import threading
import warnings
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from sqlalchemy.event import registry as listeners

from crm_core import CRM, Account, Plugin
from crm_core.cli.scaffold import Names, write
from crm_core.hooks.surroundings import Surroundings
from crm_core.testing.databases import Database
from tests.figures import LONG
from tests.lifecycle.club import club, system
from tests.lifecycle.conftest import one

MODULES = ("analytics", "erp_bridge", "marketing", "sales", "service")
CYCLES = 50 if LONG else 5


@attrs.frozen
class Process:
    """What a plugin or a CRM could leave in a process."""

    threads: list[str]
    files: int
    handlers: dict[str, int]
    filters: int
    at_exit: int
    listeners: int
    surroundings: Surroundings
    modules: frozenset[str]
    ours: Counter[str]

    @classmethod
    def now(cls) -> Process:
        """Look at it."""
        gc.collect()
        named = {"root": logging.root, **{n: each for n, each in logging.root.manager.loggerDict.items() if n.startswith(("crm_", "acme"))}}
        return cls(
            sorted(t.name for t in threading.enumerate()),
            len(os.listdir("/proc/self/fd")),
            {name: len(getattr(logger, "handlers", ())) for name, logger in named.items()},
            len(warnings.filters),
            atexit._ncallbacks(),
            len(listeners._key_to_collection) + len(listeners._collection_to_key),
            Surroundings.now(),
            frozenset(sys.modules),
            Counter(type(each).__qualname__ for each in gc.get_objects() if _is_ours(type(each)) and _lives(each)),
        )


def _is_ours(kind: type) -> bool:
    return str(kind.__module__).startswith("crm_core")  # some have a descriptor there


def _lives(each: Any) -> bool:
    """Say whether something is of one CRM: definitions are the modules' own, and stay as long as those."""
    return type(each).__name__ in {"CRM", "Registry", "Health", "Tables", "Session", "Shape", "Delivery", "Jobs", "Worker", "Bound", "Unit"}


@pytest.fixture(scope="module")
def scaffolded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    """A plugin as ``crm plugin new`` writes it."""
    folder = tmp_path_factory.mktemp("vendor")
    written = write(Names("acme.loyalty", "Card", "Account", "Acme"), folder)
    source = next(path.parent.parent for path in written if path.parts[-2:] == ("acme_loyalty", "__init__.py"))
    before = set(sys.modules)
    sys.path.insert(0, str(source))
    yield importlib.import_module("acme_loyalty").plugin
    sys.path.remove(str(source))
    for name in set(sys.modules) - before:
        del sys.modules[name]


def used(url: str, plugins: list[Plugin], *, whole: bool) -> weakref.ref[CRM]:
    """Open a CRM, have it do something, or, as a *whole*, something of everything, and close it."""
    crm = CRM(url, plugins=plugins, stuck_after=60)
    if whole:
        crm.migrate()
    with crm.running(), crm.session(system()) as s:
        account = s.create(Account(name="A"))
        if whole:
            s.view360(account)
    crm.run_pending()
    if whole:
        worker = crm.worker()
        worker.start()
        worker.stop()
    crm.close()
    return weakref.ref(crm)


def assert_flat(url: str, plugins: list[Plugin], count: int, *, whole: bool = True) -> None:
    """Open and close it again and again: after the first time, nothing is more than it was."""
    used(url, plugins, whole=True)
    before = Process.now()
    kept = [used(url, plugins, whole=whole) for _ in range(count)]
    after = Process.now()
    assert attrs.asdict(after, recurse=False) == attrs.asdict(before, recurse=False)
    assert [ref() for ref in kept] == [None] * count


@one
def test_all_modules_and_a_scaffolded_plugin_leave_nothing_behind(database: Database, scaffolded: Plugin) -> None:
    plugins = [*(importlib.import_module(f"crm_{name}").plugin for name in MODULES), scaffolded]
    assert_flat(database.url, plugins, CYCLES if LONG else 1)
    crm = CRM(database.url)
    parts = {part.plugin for part in crm.registry.contributions()}
    assert parts <= {"core"}
    registry = crm.registry
    assert {p.name for p in registry.plugins} == {"core"}
    assert not any((registry.jobs, registry.routes, registry.lifespans, registry.services, registry.subscriptions, registry.actions))
    assert {name.partition(".")[0] for name in crm.labels()}.isdisjoint({*MODULES, "acme"})
    with crm.session(system()) as s:
        account = s.query(Account).first()
        assert account is not None
        assert not any(name.startswith((*MODULES, "acme")) for name in crm.to_json(account))
        assert not any(name.startswith((*MODULES, "acme")) for name in s.describe(Account)["fields"])
    crm.run_pending()
    crm.close()


def test_opened_and_closed_again_and_again_all_counts_stay_flat(database: Database) -> None:
    """Five times; fifty, and with all modules, in the long form: CRM_TRUST_LONG=1."""
    assert_flat(database.url, [club([])], CYCLES, whole=LONG)
