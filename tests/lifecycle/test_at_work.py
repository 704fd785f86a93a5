"""A plugin's data is not dropped under a process that works with it, as far as that can be seen, and only on purpose then."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crm_core import CRM, Account, Actor, Conflict, Created, CRMError, Entity, Event, Field, Plugin, Session
from crm_core.cli.app import app

SETUP = Actor.system("setup", tenant="main")
SECONDS = 30


class Slow:
    """A plugin whose job and external subscriber take their time, until they are let go."""

    def __init__(self) -> None:
        self.begun, self.free = threading.Event(), threading.Event()
        self.ended: list[str] = []
        self.thread = threading.current_thread()
        self.plugin = Plugin("acme.slow", version="1.0.0")
        self.plugin.grants("account:read")

        class Note(Entity):
            text: Field[str]

        self.plugin.entities(Note)
        self.note = Note

        @self.plugin.job(every="0 3 * * *", external=True)
        def sync(s: Session) -> None:
            """Talk to somebody slow."""
            self._wait()

        @self.plugin.on(Created[Account], external=True)
        def send(s: Session, event: Event[Account]) -> None:
            """Tell somebody slow."""
            self._wait()

    def _wait(self) -> None:
        self.begun.set()
        assert self.free.wait(SECONDS)


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.free.set()


@pytest.fixture
def busy(slow: Slow, make_crm: Any, request: pytest.FixtureRequest) -> Iterator[CRM]:
    """A CRM beside another one that works with the plugin, as another process does."""
    crm: CRM = make_crm(plugins=[slow.plugin])
    with crm.session(SETUP) as s:
        s.create(slow.note(text="kept"))
        s.create(Account(name="Acme"))
    other = CRM(crm.url, plugins=[slow.plugin])
    work = {"job": lambda: other.jobs.run("acme.slow.sync"), "subscriber": other.run_pending}[request.param]
    thread = threading.Thread(target=_dropped_or_done, args=[work, slow])
    slow.thread = thread
    thread.start()
    assert slow.begun.wait(SECONDS)
    yield crm
    slow.free.set()
    thread.join(SECONDS)
    other.close()


def _dropped_or_done(work: Any, slow: Slow) -> None:
    try:
        work()
    except CRMError as e:
        slow.ended.append(e.code)


PARTS = [("job", "acme.slow.sync"), ("subscriber", "acme.slow.send")]
each = pytest.mark.parametrize(("busy", "part"), PARTS, indirect=["busy"], ids=[kind for kind, _ in PARTS])


@each
def test_data_is_not_dropped_while_a_process_works_with_the_plugin_unless_it_is_meant(busy: CRM, slow: Slow, part: str) -> None:
    leases = busy.plugins.removal("acme.slow").at_work
    assert (list(leases), leases[part] > datetime.now(UTC)) == ([part], True)
    with pytest.raises(Conflict) as refused:
        busy.plugins.uninstall("acme.slow", keep_data=False)
    assert (refused.value.code, refused.value.params["plugin"]) == ("plugin_at_work", "acme.slow")
    assert part in str(refused.value)
    with busy.session(SETUP) as s:
        assert s.query(slow.note).one().text == "kept"
    busy.plugins.uninstall("acme.slow", keep_data=False, at_work=True)
    assert busy.plugins.list() == []
    slow.free.set()
    slow.thread.join(SECONDS)
    assert slow.ended == (["plugin_dropped"] if part.endswith("sync") else [])


@each
def test_data_that_is_kept_is_in_nobodys_way_and_what_has_ended_holds_nothing(busy: CRM, slow: Slow, part: str) -> None:
    busy.plugins.uninstall("acme.slow", keep_data=True)
    slow.free.set()
    for _ in range(SECONDS * 10):
        if not busy.plugins.removal("acme.slow").at_work:
            break
        threading.Event().wait(0.1)
    busy.plugins.uninstall("acme.slow", keep_data=False)
    assert busy.plugins.list() == []


@pytest.mark.parametrize("busy", ["job"], indirect=True)
def test_the_command_says_who_works_and_how_to_go_on_all_the_same(busy: CRM, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = ModuleType("slow_shop")
    shop.crm = busy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "slow_shop", shop)

    def uninstall(*options: str) -> Result:
        return CliRunner().invoke(app, ["plugins", "uninstall", "acme.slow", "--app", "slow_shop", *options])

    assert "acme.slow.sync" in uninstall("--plan").output
    refused = uninstall("--drop-data", "--yes")
    assert (refused.exit_code, "works with acme.slow now: acme.slow.sync" in refused.output, "--at-work" in refused.output) == (
        1,
        True,
        True,
    )
    assert uninstall("--drop-data", "--yes", "--at-work").exit_code == 0
