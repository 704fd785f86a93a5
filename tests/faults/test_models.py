"""Models: what Hypothesis does with delivery, and with records that several people change, is what a few lines of Python say it is."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from crm_core import CRM
from crm_core.errors import Conflict, NotFound
from crm_core.testing.databases import Database
from tests.conftest import MakeCRM
from tests.events.boxes import Box
from tests.events.raw import EFFECT, RawHost
from tests.events.world import ADMIN, box_plugin
from tests.figures import LONG, figure

RUNS, STEPS = (200, 50) if LONG else (10, 30)
PEOPLE = st.integers(0, 2)
RECORDS = st.integers(0, 2)


class DeliveryModel(RuleBasedStateMachine):
    """Events of three records, handed out by workers that fail, stop and come back; a line of the record waits behind what failed."""

    host: RawHost
    bad: set[str]
    dying: list[bool]
    done = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).done += 1
        self.bad.clear()
        self.dying.clear()
        self.skipped: list[str] = []
        self.open: list[tuple[sa.Connection, str]] = []
        system = self.host.tables.system
        with self.host.begin() as connection:
            for table in (EFFECT, system.journal, system.journal_position, system.parking, system.subscription, system.sequencer):
                connection.execute(sa.delete(table))
        self.records = self.host.records(3)
        self.delivery = self.host.delivery(tries=3)
        self.delivery.run_pending()

    def teardown(self) -> None:
        for connection, _ in self.open:
            connection.close()
        self.bad.clear()
        self.dying.clear()
        self.host.clock.advance(timedelta(days=1))
        self.delivery.run_pending()
        for line in self.delivery.parked():
            self.delivery.retry(line.subscription, line.record)
        self.delivery.run_pending()
        assert self.delivery.parked() == []
        assert self.host.effects() == {r: e for r in self.records if (e := self._wanted(r))}

    def _wanted(self, record: str) -> list[str]:
        return [i for i in self.host.expected().get(record, []) if i not in self.skipped]

    @rule(which=RECORDS, count=st.integers(1, 4))
    def happen(self, which: int, count: int) -> None:
        """Something happens to a record, unless a transaction that is open has it."""
        if self.records[which] not in {record for _, record in self.open}:
            self.host.journal([self.records[which]] * count)

    @precondition(lambda self: self.host.bound.kind == "postgresql" and not self.open)
    @rule(which=RECORDS)
    def begin(self, which: int) -> None:
        connection = self.host.bound.engine.connect()
        self.host.write(connection, [self.records[which]])
        self.open.append((connection, self.records[which]))

    @precondition(lambda self: self.open)
    @rule(commit=st.booleans())
    def end(self, commit: bool) -> None:
        connection, _ = self.open.pop()
        if commit:
            connection.commit()
        connection.close()

    @rule(limit=st.sampled_from([None, 1, 3]))
    def deliver(self, limit: int | None) -> None:
        self.delivery.run_pending(limit=limit)

    @rule()
    def die(self) -> None:
        """A worker is interrupted in the handler."""
        self.dying.append(True)
        with suppress(KeyboardInterrupt):
            self.delivery.run_pending()
        self.dying.clear()

    @rule(which=RECORDS)
    def sicken(self, which: int) -> None:
        self.bad.add(self.records[which])

    @rule()
    def heal(self) -> None:
        self.bad.clear()

    @rule(seconds=st.sampled_from([-3600, 1, 10, 86_400]))
    def wait(self, seconds: int) -> None:
        self.host.clock.advance(timedelta(seconds=seconds))

    @rule(what=st.sampled_from(["retry", "skip"]))
    def decide(self, what: str) -> None:
        for line in self.delivery.parked()[:1]:
            if what == "retry":
                self.delivery.retry(line.subscription, line.record)
                continue
            done = len(self.host.effects().get(line.record, []))
            self.skipped.append(self._wanted(line.record)[done])
            self.delivery.skip(line.subscription, line.record)

    @invariant()
    def effects_are_the_beginning_of_what_happened(self) -> None:
        effects = self.host.effects()
        for record in self.records:
            found = effects.get(record, [])
            assert found == self._wanted(record)[: len(found)]


class LockingModel(RuleBasedStateMachine):
    """Three people who read, change, save, delete and restore two records, each from the copy that they have."""

    crm: CRM
    done = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).done += 1
        with self.crm.session(ADMIN) as s:
            made = s.create_many([Box(name=f"box {n}") for n in range(3)]).ok
            self.ids = [box.id for box in made]
            copies = {(person, i): s.get(Box, i) for person in range(3) for i in self.ids}
        self.stored = dict.fromkeys(self.ids, (0, 1, True))
        self.copies: dict[tuple[int, str], tuple[Box, int]] = {at: (box, 1) for at, box in copies.items()}

    @rule(who=PEOPLE, which=RECORDS)
    def read(self, who: int, which: int) -> None:
        _, version, alive = self.stored[i := self.ids[which]]
        with self.crm.session(ADMIN, write=False) as s:
            if alive:
                self.copies[who, i] = s.get(Box, i), version
            else:
                assert s.find(Box, i) is None

    @rule(who=PEOPLE, which=RECORDS, new=st.integers(0, 5))
    def save(self, who: int, which: int, new: int) -> None:
        """A copy is saved if it was read at the version that is stored."""
        i = self.ids[which]
        size, version, alive = self.stored[i]
        copy, base = self.copies[who, i]
        copy.size = new
        with self.crm.session(ADMIN) as s:
            if not alive:
                with pytest.raises(NotFound):
                    s.save(copy)
            elif base != version:
                with pytest.raises(Conflict):
                    s.save(copy)
            else:
                saved = s.save(copy)
                self.stored[i] = new, version + (new != size), True
                self.copies[who, i] = saved, self.stored[i][1]
                assert (saved.size, saved.version) == self.stored[i][:2]

    @rule(who=PEOPLE, which=RECORDS, new=st.integers(0, 5))
    def update_at_a_version(self, who: int, which: int, new: int) -> None:
        i = self.ids[which]
        size, version, alive = self.stored[i]
        base = self.copies[who, i][1]
        with self.crm.session(ADMIN) as s:
            if not alive:
                with pytest.raises(NotFound):
                    s.update(Box, i, {"size": new}, version=base)
            elif base != version:
                with pytest.raises(Conflict):
                    s.update(Box, i, {"size": new}, version=base)
            else:
                changed = s.update(Box, i, {"size": new}, version=base)
                self.stored[i] = new, version + (new != size), True
                assert (changed.size, changed.version) == self.stored[i][:2]

    @rule(which=RECORDS)
    def remove_or_restore(self, which: int) -> None:
        i = self.ids[which]
        size, version, alive = self.stored[i]
        with self.crm.session(ADMIN) as s:
            if alive:
                s.delete(s.get(Box, i))
            else:
                s.restore(Box, i)
        self.stored[i] = size, version + 1, not alive

    @invariant()
    def the_database_is_as_the_model(self) -> None:
        with self.crm.session(ADMIN, write=False) as s:
            found = {b.id: (b.size, b.version, True) for b in s.get_many(Box, self.ids)}
        assert found == {i: state for i, state in self.stored.items() if state[2]}


def agreeing(model: type[DeliveryModel] | type[LockingModel], **given: Any) -> int:
    """Let Hypothesis try a model on what is given; return how many runs agreed."""
    made = type("Model", (model,), {**given, "done": 0})
    run_state_machine_as_test(made, settings=settings(max_examples=RUNS, stateful_step_count=STEPS))
    return int(made.done)  # type: ignore[attr-defined]  # both have it


def test_delivery_is_as_its_model(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    bad: set[str] = set()
    dying: list[bool] = []

    def handle(session: Any, event: Any) -> None:
        session.effect(event)
        if dying:
            raise KeyboardInterrupt
        if event.record.id in bad:
            raise ValueError("poison")

    host = RawHost(database, {"box.record": handle})
    host.create()
    runs = agreeing(DeliveryModel, host=host, bad=bad, dying=dying)
    assert runs >= RUNS
    figure("R6 model of delivery", database=database.kind, cases=runs, result=f"{runs} runs of {STEPS} steps agree", bar="all agree")
    host.bound.dispose()


def test_optimistic_locking_is_as_its_model(make_crm: MakeCRM) -> None:
    crm = make_crm(plugins=[box_plugin()])
    runs = agreeing(LockingModel, crm=crm)
    assert runs >= RUNS
    figure("R4 model of locking", database=crm.bound.kind, cases=runs, result=f"{runs} runs of {STEPS} steps agree", bar="all agree")
