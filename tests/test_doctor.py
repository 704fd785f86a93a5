"""The doctor finds what is wrong, names it, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from crm_core import CRM, Account, Actor, Created, Event, LoadError, Plugin, Session
from crm_core.doctor import Finding, examine, worst
from crm_core.events.sequencer import sequence
from crm_core.runtime import FixedClock, Runtime
from crm_core.storage.keys.local import FileKeys
from crm_core.testing.databases import Database
from crm_core.testing.state import state_hash

ADMIN = Actor.system("test", tenant="main")
news = Plugin("news", version="1.2.0", requires={"core": ">=0.1,<3"})
news.grants("account:read")
broken: list[bool] = []


@news.on(Created[Account])
def tell(s: Session, event: Event[Account]) -> None:
    if broken:
        raise ZeroDivisionError


def of(crm: Any, check: str) -> list[Finding]:
    return [f for f in examine(crm) if f.check == check]


def test_all_is_well_with_a_fresh_crm_and_looking_changes_nothing(make_crm: Callable[..., Any]) -> None:
    crm = make_crm(plugins=[news])
    with crm.session(ADMIN) as s:
        s.create(Account(name="Acme"))
    crm.run_pending()
    before = state_hash(crm)
    found = examine(crm)
    assert state_hash(crm) == before
    assert {f.check for f in found} >= {"database", "schema", "events", "parked", "keys", "clock", "plugins"}
    # The tests' PostgreSQL is told to forget what a power cut would take; that is an error, and said to be one.
    unsafe = ["fsync", "full_page_writes", "synchronous_commit"] if crm.bound.kind == "postgresql" else []
    assert [f.params["setting"] for f in found if f.level == "error"] == unsafe
    assert {f.check for f in found if f.level == "warning"} <= {"database"}  # an old SQLite is worth a warning
    assert all(crm.messages.template(f.code, "zh") for f in found)


def test_a_database_without_our_tables_is_said_to_be_so(database: Database) -> None:
    crm = CRM(database.url, plugins=[news])
    (schema,) = of(crm, "schema")
    assert (schema.level, schema.code) == ("error", "schema_missing")
    assert worst(examine(crm)) == "error"
    assert not {"events", "parked"} & {f.check for f in examine(crm)}
    crm.close()


def test_a_subscription_that_is_behind_is_named_with_its_delay(make_crm: Callable[..., Any]) -> None:
    crm = make_crm(plugins=[news], runtime=Runtime.seeded(1, clock=FixedClock(datetime.now(UTC) - timedelta(hours=1))))
    with crm.session(ADMIN) as s:
        s.create(Account(name="Acme"))
    if crm.bound.kind == "postgresql":
        (waits,) = of(crm, "sequencer")
        assert (waits.level, waits.params["count"]) == ("warning", 1)
        assert waits.params["seconds"] > 3_500
        with crm.bound.begin() as connection:
            sequence(connection, crm.tables)
    (late,) = of(crm, "events")
    assert (late.level, late.params["subscription"], late.params["events"]) == ("warning", "news.tell", 1)
    assert 3_500 < late.params["seconds"] < 4_500
    crm.run_pending()
    assert [f.code for f in of(crm, "events")] == ["doctor_events"]


def test_an_open_transaction_that_wrote_to_the_journal_is_named_by_its_pid(make_crm: Callable[..., Any]) -> None:
    crm = make_crm(plugins=[news])
    if crm.bound.kind != "postgresql":
        assert of(crm, "sequencer") == []
        return
    host = create_engine(crm.url, connect_args={"application_name": "the shop"})
    with host.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with crm.session(ADMIN, on=connection) as s:
            s.create(Account(name="Acme"))
        opened = next(f for f in of(crm, "sequencer") if f.code == "doctor_open")
        assert (opened.params["pid"], opened.params["application"]) == (pid, "the shop")
        connection.rollback()
    assert [f.code for f in of(crm, "sequencer")] == ["doctor_sequenced"]
    host.dispose()


@contextmanager
def failing() -> Iterator[None]:
    broken.append(True)
    yield
    broken.clear()


def test_parked_lines_and_what_failed_are_told(make_crm: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    crm = make_crm(plugins=[news])
    with crm.session(ADMIN) as s:
        acme = s.create(Account(name="Acme"))
    with failing():
        crm.run_pending()
    (parked,) = of(crm, "parked")
    assert (parked.level, parked.params["lines"], parked.params["waiting"]) == ("warning", 1, 1)
    assert parked.params["subscriptions"] == ["news.tell"]
    (plugin, _) = of(crm, "plugins")
    assert (plugin.level, plugin.params["plugin"], plugin.params["reason"]) == ("warning", "news", "ZeroDivisionError")
    (record,) = (r for r in caplog.records if getattr(r, "crm_event", "") == "subscriber_failed")
    facts = record.__dict__["crm_facts"]
    assert (facts["plugin"], facts["function"], facts["record"], facts["attempt"]) == ("news", "news.tell", acme.id, 1)
    assert "Acme" not in str(facts)


def test_a_quarantine_is_an_error(make_crm: Callable[..., Any]) -> None:
    crm = make_crm(plugins=[news], quarantine_after=1)
    with crm.session(ADMIN) as s:
        s.create(Account(name="Acme"))
    with failing():
        crm.run_pending()
    quarantined = next(f for f in of(crm, "plugins") if f.code == "doctor_quarantined")
    assert (quarantined.level, quarantined.params["plugin"], quarantined.params["tenants"]) == ("error", "news", ["main"])


def test_a_plugin_that_would_not_go_with_an_upgrade_is_named(make_crm: Callable[..., Any]) -> None:
    crm = make_crm(plugins=[news])
    (bad,) = (f for f in examine(crm, against={"core": "3.0"}) if f.check == "upgrade")
    assert (bad.level, bad.params["plugin"], bad.params["needed"]) == ("error", "news", ">=0.1,<3")
    (good,) = (f for f in examine(crm, against={"core": "2.9.1"}) if f.check == "upgrade")
    assert good.level == "ok"
    with pytest.raises(LoadError) as caught:
        examine(crm, against={"neews": "1.0"})
    assert caught.value.params["suggestion"] == "news"


def test_keys_that_another_root_wrapped_are_an_error(make_crm: Callable[..., Any], tmp_path: Path) -> None:
    right, wrong = FileKeys.create(tmp_path / "right.keys"), FileKeys.create(tmp_path / "wrong.keys")
    crm = make_crm(plugins=[news], keys=right)
    with crm.session(ADMIN) as s:
        s.create(Account(name="Acme"))
    assert [f.code for f in of(crm, "keys")] == ["doctor_keys"]
    other = CRM(crm.url, plugins=[news], keys=wrong)
    assert [f.level for f in of(other, "keys")] == ["error"]
    other.close()


def test_clocks_that_differ_are_told(make_crm: Callable[..., Any]) -> None:
    crm = make_crm(plugins=[news])
    slow = CRM(crm.url, plugins=[news], runtime=Runtime.seeded(1, clock=FixedClock(datetime.now(UTC) - timedelta(minutes=5))))
    (clock,) = of(slow, "clock")
    assert clock.level == "warning"
    assert 290 < clock.params["seconds"] < 400
    slow.close()


def test_a_host_s_file_without_a_wal_is_told(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    crm = CRM(engine)
    crm.migrate()
    assert "doctor_no_wal" not in {f.code for f in of(crm, "database")}
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=DELETE")
    assert "doctor_no_wal" in {f.code for f in of(crm, "database")}
    engine.dispose()


def test_the_worst_level_counts() -> None:
    ok, warning, error = (Finding("x", level, "y") for level in ("ok", "warning", "error"))
    assert [worst([ok]), worst([ok, warning]), worst([warning, error, ok])] == ["ok", "warning", "error"]


def test_an_engine_of_the_host_s_that_logs_what_is_written_is_told(database: Database) -> None:
    first = CRM(database.url)
    first.migrate()
    first.close()

    def level(**options: Any) -> tuple[str, str]:
        engine = create_engine(database.url, **options)
        crm = CRM(engine)
        (found,) = of(crm, "log")
        engine.dispose()
        return found.level, found.code

    assert level() == ("ok", "doctor_log")
    assert level(echo=True, hide_parameters=True) == ("ok", "doctor_log")
    assert level(echo=True) == ("warning", "doctor_log_values")
    own = CRM(database.url)
    own.bound.engine.echo = True
    assert [f.level for f in of(own, "log")] == ["ok"], "our own engine hides them"
    own.close()
