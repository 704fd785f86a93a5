"""The conformance suite: both connectors keep all its rules, and one that breaks a rule is told which, and why."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

from crm_erp_bridge.api import CheckResult, Conflict, Connector, Invalid, Ok, Op, OpResult, Page, SchemaField, Throttled
from crm_erp_bridge.conformance import Rules, Subject
from tests.erp_bridge.http_desk import START
from tests.erp_bridge.http_erp import HttpConnector
from tests.erp_bridge.subjects import FolderSubject, HttpSubject

ROOT = Path(__file__).resolve().parents[2]


class TestFolderDrop(Rules):
    """The folder keeps all rules that apply to it."""

    @pytest.fixture
    def subject(self) -> Iterator[Subject]:
        made = FolderSubject()
        yield made
        made.close()


class TestHttp(Rules):
    """So does a connector with a socket, with real faults on its way."""

    @pytest.fixture
    def subject(self) -> Iterator[Subject]:
        made = HttpSubject()
        yield made
        made.close()


class LetsIn(HttpConnector):
    def check(self) -> CheckResult:
        return CheckResult(version="1", server_time=datetime.fromisoformat("2026-01-01T00:00+00:00"), scopes=[])


class Lossy(HttpConnector):
    """Goes on after the last instant, and so loses what shares it."""

    def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
        page = super().read(entity, cursor, until, limit, scope)
        return page if page.complete else attrs.evolve(page, next=f"{page.records[-1].modified_at.isoformat()}|999999999")


class Silent(HttpConnector):
    """Takes any cursor."""

    def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
        known = cursor is None or cursor[:2] == "20"
        return super().read(entity, cursor, until, limit, scope) if known else Page([], complete=True)


class Doubling(HttpConnector):
    """Sends no key."""

    count: ClassVar[list[int]] = [0]

    def apply(self, ops: Sequence[Op]) -> list[OpResult]:
        self.count[0] += 1
        return super().apply([attrs.evolve(op, key=f"{op.key}/{self.count[0]}") for op in ops])


class Overwriting(HttpConnector):
    """Does not look at the version."""

    def apply(self, ops: Sequence[Op]) -> list[OpResult]:
        return super().apply([attrs.evolve(op, expect_version=None) for op in ops])


class AllOrNothing(HttpConnector):
    def apply(self, ops: Sequence[Op]) -> list[OpResult]:
        found = super().apply(ops)
        return [Invalid({"name": "required"}) for _ in ops] if any(isinstance(r, Invalid) for r in found) else found


class Impatient(HttpConnector):
    """Waits for ever as long as bytes come, and takes 429 for 60 seconds whatever the ERP asks."""

    def apply(self, ops: Sequence[Op]) -> list[OpResult]:
        try:
            return super().apply(ops)
        except Throttled:
            return [Ok("?", "?") for _ in ops]


class Wavering(HttpConnector):
    """Tells its fields in the order of the moment, with a new one each time."""

    count: ClassVar[list[int]] = [0]

    def schema(self, entity: str) -> dict[str, SchemaField]:
        self.count[0] += 1
        return {**super().schema(entity), f"x{self.count[0]}": SchemaField(type="text")}


class Trimming(HttpConnector):
    """Cuts what is long."""

    def apply(self, ops: Sequence[Op]) -> list[OpResult]:
        cut = [{k: v[:255] if isinstance(v, str) else v for k, v in op.data.items()} for op in ops]
        return super().apply([attrs.evolve(op, data=data) for op, data in zip(ops, cut, strict=True)])


class Snapping(HttpConnector):
    """Pages through what was there at the first page, and goes on from when it came to the last."""

    def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
        if cursor is None:
            self.rows = super().read(entity, None, until, 10_000, scope).records
        elif not cursor.startswith("#"):
            return super().read(entity, cursor, until, limit, scope)
        start = int(cursor[1:]) if cursor else 0
        complete = start + limit >= len(self.rows)
        following = self.check().server_time.isoformat() if complete else f"#{start + limit}"
        return Page(self.rows[start : start + limit], complete=complete, next=following)


class Homebound(HttpConnector):
    """Works in the thread that it knows."""

    def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("used in another thread")
        return super().read(entity, cursor, until, limit, scope)


class Promising(HttpConnector):
    """Promises a list of ids and has none."""

    list_ids = Connector.list_ids


class Hasty(HttpConnector):
    """Leaves out what is older than the newest it has seen."""

    newest = START

    def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
        page = super().read(entity, cursor, until, limit, scope)
        fresh = [r for r in page.records if r.modified_at > self.newest]
        self.newest = max([self.newest, *(r.modified_at for r in fresh)])
        return attrs.evolve(page, records=fresh)


class Headless(HttpConnector):
    """Reads records without their lines' table."""

    def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
        page = super().read(entity, cursor, until, limit, scope)
        return attrs.evolve(page, records=[attrs.evolve(r, version="1") for r in page.records])


class Floating(HttpConnector):
    """Reads amounts as floats."""

    def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
        page = super().read(entity, cursor, until, limit, scope)
        floats = [{k: float(v) if k == "total" else v for k, v in r.data.items()} for r in page.records]
        return attrs.evolve(page, records=[attrs.evolve(r, data=d) for r, d in zip(page.records, floats, strict=True)])


class Guessing(HttpConnector):
    def ask(self, question: str, args: dict[str, Any], *, timeout: timedelta) -> dict[str, Any]:
        return {"quantity": "0"}


class Hoarding(HttpConnector):
    """Keeps all that it ever read."""

    def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
        page = super().read(entity, cursor, until, limit, scope)
        self.kept = [*getattr(self, "kept", []), *([str(r.data) * 10 for r in page.records])]
        return page


class Telling(HttpConnector):
    def __repr__(self) -> str:
        return f"Telling({self._key})"


class Boasting(HttpConnector):
    """Promises tombstones, which its ERP does not have."""

    entities = {n: attrs.evolve(c, tombstones=True) for n, c in HttpConnector.entities.items()}  # noqa: RUF012  # as its base


class Modest(HttpConnector):
    """Promises neither tombstones nor a list of ids."""

    entities = {n: attrs.evolve(c, id_listing=False) for n, c in HttpConnector.entities.items()}  # noqa: RUF012  # as its base


FAULTY: list[tuple[int, type[HttpConnector], Callable[[Any], Any]]] = [
    (1, LetsIn, lambda s: Rules().test_rule_01_check_tells_who_answered_and_refuses_strangers(s)),
    (2, Wavering, lambda s: Rules().test_rule_02_the_fields_are_the_same_twice_and_cover_what_is_written(s)),
    (3, Trimming, lambda s: Rules().test_rule_03_what_is_written_comes_back_as_it_was(s)),
    (4, Lossy, lambda s: Rules().test_rule_04_pages_of_any_size_give_every_record(s, 7)),
    (5, Lossy, lambda s: Rules().test_rule_05_records_of_one_instant_all_arrive_across_a_page_edge(s)),
    (6, Hasty, lambda s: Rules().test_rule_06_what_is_committed_late_arrives_after_all(s)),
    (7, Snapping, lambda s: Rules().test_rule_07_what_changes_during_a_read_is_in_this_run_or_the_next(s)),
    (8, Lossy, lambda s: Rules().test_rule_08_a_restart_after_each_page_ends_the_same(s)),
    (9, Silent, lambda s: Rules().test_rule_09_a_cursor_that_is_none_is_said_to_be_expired(s)),
    (10, Headless, lambda s: Rules().test_rule_10_a_changed_line_or_address_changes_its_record(s)),
    (11, Boasting, lambda s: Rules().test_rule_11_what_is_deleted_is_seen(s)),
    (12, Doubling, lambda s: Rules().test_rule_12_the_same_key_makes_one_record(s)),
    (13, Doubling, lambda s: Rules().test_rule_13_a_connection_that_breaks_after_the_send_doubles_nothing(s)),
    (14, Overwriting, lambda s: Rules().test_rule_14_a_stale_version_is_a_conflict(s)),
    (15, AllOrNothing, lambda s: Rules().test_rule_15_one_bad_op_does_not_spoil_the_others(s)),
    (16, Impatient, lambda s: Rules().test_rule_16_a_busy_or_silent_erp_is_told_from_a_broken_record(s)),
    (18, Floating, lambda s: Rules().test_rule_18_amounts_are_the_erps_to_the_cent(s)),
    (19, Guessing, lambda s: Rules().test_rule_19_live_questions_have_the_erps_own_answer(s)),
    (20, Hoarding, lambda s: Rules().test_rule_20_memory_stays_flat_however_much_is_read(s)),
    (21, Homebound, lambda s: Rules().test_rule_21_readers_and_writers_at_once_do_not_disturb_each_other(s)),
    (22, Telling, lambda s: Rules().test_rule_22_nothing_shows_the_secret(s)),
    (24, Promising, lambda s: Rules().test_rule_24_what_is_promised_is_offered(s)),
]


@pytest.mark.parametrize(("number", "faulty", "rule"), FAULTY, ids=[f"rule {n} {c.__name__}" for n, c, _ in FAULTY])
def test_a_connector_that_breaks_a_rule_is_told_which_and_why(number: int, faulty: type[HttpConnector], rule: Callable[[Any], Any]) -> None:
    subject = HttpSubject()
    subject.make = faulty
    try:
        with pytest.raises(pytest.fail.Exception, match=rf"^rule {number}: \w+"):
            rule(subject)
    finally:
        subject.close()


def test_a_connector_that_promises_no_deletions_is_skipped_with_what_to_offer() -> None:
    subject = HttpSubject()
    subject.make = Modest
    try:
        with pytest.raises(pytest.skip.Exception, match="deletions cannot be seen: offer tombstones or list_ids"):
            Rules().test_rule_11_what_is_deleted_is_seen(subject)
    finally:
        subject.close()


def test_the_suite_runs_from_the_command_line_on_any_connector() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "crm_erp_bridge.conformance.options", "--pyargs", "crm_erp_bridge.conformance"]
    options = ["--connector=tests.erp_bridge.subjects:FolderSubject", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}  # the outer run's options
    run = subprocess.run([*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"\n\d\d passed, \d skipped", run.stdout)


def test_conflicts_carry_the_record_as_it_is_now() -> None:
    subject = HttpSubject()
    try:
        (id,) = subject.put([subject.sample(0)])
        subject.change(id, {"name": "Theirs"})
        (result,) = subject.connector().apply([subject.op(1, kind="update", remote_id=id, expect_version="1")])
        assert isinstance(result, Conflict)
        assert (result.current.data, result.current.version) == ({"name": "Theirs"}, "2")
    finally:
        subject.close()
