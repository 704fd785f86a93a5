"""Subject: the plugin under test, what it requires, and CRMs in which it is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from ...errors import LoadError
from ...hooks.plugin import Plugin
from ...hooks.registry import discover
from ...ports import Files, Http, LiveNotifier, Mailer, MemoryFiles, MemoryHttp, MemoryMailer, Notifier
from ...runtime import FixedClock, Runtime
from ..databases import Databases
from ..factory import Example, Factory
from ..kit import START
from .rule import Unproved
from .source import Source

if TYPE_CHECKING:
    import sqlite3

    from ...crm import CRM
    from .drift import Drift
    from .exercise import Exercise
    from .second import Footprint, Second

SEED = 1
IN_MEMORY: Mapping[Any, Callable[[], object]] = {Files: MemoryFiles, Http: MemoryHttp, Mailer: MemoryMailer, Notifier: LiveNotifier}


class Subject:
    """A plugin under test.

    Args:
        plugin: the plugin.
        others: plugins that may be loaded beside it; what it requires is taken from them, else from those that are installed.
        examples: how to make what its declarations do not tell; see :func:`crm_core.testing.example`.
        databases: where its migrations are tried; by name.
        batch: how many records the rule of hooks writes at once.
    """

    def __init__(
        self,
        plugin: Plugin,
        *,
        others: Iterable[Plugin] = (),
        examples: Mapping[Any, Example] | None = None,
        databases: Mapping[str, Databases] | None = None,
        batch: int = 1_000,
    ) -> None:
        self.plugin = plugin
        self.others = [p for p in others if p is not plugin]
        self.examples = dict(examples or {})
        self.databases = dict(databases or {})
        self.batch = batch
        self.notes: list[str] = []
        self._images: dict[tuple[str, ...], bytes] = {}

    @cached_property
    def required(self) -> Sequence[Plugin]:
        """What it requires, and what that requires.

        Raises:
            LoadError: one is not there.
        """
        known = {p.name: p for p in self.others}
        found: dict[str, Plugin] = {}
        wanted = [n for n in self.plugin.requires if n != "core"]
        while wanted:
            name = wanted.pop()
            if name not in found:
                found[name] = known[name] if name in known else discover([name])[0]
                wanted += [n for n in found[name].requires if n != "core"]
        return list(found.values())

    @cached_property
    def companions(self) -> Sequence[Plugin]:
        """Its companions, as far as what stands beside them is there."""
        from ...hooks.companions import with_companions

        sides = {beside for _, beside in self.plugin.definitions.companions}
        beside = [p for p in self.others if p.name in sides]
        return [p for p in with_companions([self.plugin, *beside]) if p is not self.plugin and p not in beside]

    @cached_property
    def hosts(self) -> Sequence[Plugin]:
        """Where it is a companion: the plugins of its own package that it joins."""
        package = self.source.root.partition(".")[0]
        return [p for p in self.required if Source(p).root.partition(".")[0] == package] if "." in self.source.root else []

    @property
    def names(self) -> frozenset[str]:
        """Its own name and its companions'."""
        return frozenset({self.plugin.name, *(c.name for c in self.companions)})

    @cached_property
    def source(self) -> Source:
        """Its source, without its companions'."""
        return Source(self.plugin, frozenset(target.partition(":")[0] for target, _ in self.plugin.definitions.companions))

    @contextmanager
    def crm(self, *beside: Plugin, url: Any = "sqlite://", migrate: bool = True, without: bool = False, **options: Any) -> Iterator[CRM]:
        """Open a CRM with the plugin, what it requires, and *beside*, in memory; clock, ids and randomness are those of every other.

        Args:
            without: leave the plugin itself out.

        Raises:
            Unproved: its tables are to be made, and its revisions do not make what its code declares.
        """
        from ...crm import CRM

        if migrate and not without and self.drift:
            raise Unproved(self.drift.short)
        mine = [] if without else [self.plugin]
        plugins = [*mine, *self.required, *(p for p in beside if p is not self.plugin and p not in self.required)]
        runtime = Runtime.seeded(SEED, clock=FixedClock(START))
        crm = CRM(url, plugins=plugins, runtime=runtime, ports=self._ports(plugins), quarantine_after=None, **options)
        try:
            if migrate and crm.bound.engine.url.database is not None:
                crm.migrate()
            elif migrate:
                self._fill(crm, beside, without, options)
            yield crm
        finally:
            crm.close()

    def _ports(self, plugins: Sequence[Plugin]) -> list[object]:
        """Give what *plugins* need to reach the outside: ours in memory, and a port of their own by its example."""
        from ...hooks.companions import with_companions

        needed = dict.fromkeys(port for plugin in with_companions(plugins) for port in plugin.definitions.ports)
        made = {port: self.examples.get(port, IN_MEMORY.get(port)) for port in needed}
        return [make() for make in made.values() if make is not None]

    def _fill(self, crm: CRM, beside: tuple[Plugin, ...], without: bool, options: Mapping[str, Any]) -> None:
        """Give a database in memory its tables, from an image of those that were made before."""
        key = tuple(p.name for p in crm.registry.plugins)
        if key not in self._images:
            # In a CRM of its own: data migrations draw ids, and every CRM is to begin with the same one.
            with self.crm(*beside, migrate=False, without=without, **options) as maker:
                maker.migrate()
                self._images[key] = _database(maker).serialize()
        _database(crm).deserialize(self._images[key])

    def factory(self) -> Factory:
        """Return a new factory, which makes what every other one made."""
        return Factory(SEED, self.examples)

    @cached_property
    def load_error(self) -> LoadError | None:
        """Why the plugin does not load with what it requires; None where it does."""
        try:
            with self.crm(migrate=False):
                return None
        except LoadError as e:
            return e

    @cached_property
    def drift(self) -> Drift | None:
        """What its code declares and its frozen revisions do not have; None where they are alike."""
        from .drift import drift_of

        return drift_of(self)

    @cached_property
    def exercise(self) -> Exercise:
        """What happened when everything that it declares was used once; done at the first look."""
        from .exercise import exercised
        from .using import listening

        _ = self.untouched
        listeners, called = listening(self.plugin)
        with self.crm(*listeners) as crm:
            return exercised(self, crm, called)

    @cached_property
    def untouched(self) -> Footprint:
        """The process as it was before the plugin was used for the first time."""
        from .second import Footprint

        with self.crm():  # what the core imports and remembers when it opens a database is its own
            pass
        return Footprint.of(self)

    @cached_property
    def second(self) -> Second:
        """What happened when all that was done a second time, in another CRM, beside a third one."""
        from .second import second_of

        return second_of(self)

    def note(self, text: str) -> None:
        """Keep what was measured, for the report."""
        self.notes.append(text)


def _database(crm: CRM) -> sqlite3.Connection:
    """Return the one connection of a CRM in memory."""
    connection = crm.bound.engine.raw_connection()
    try:
        return cast("sqlite3.Connection", connection.driver_connection)
    finally:
        connection.close()
