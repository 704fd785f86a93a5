"""Two processes on one database: what one switches off and on, the other follows by itself."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crm_core import Account
from tests.lifecycle.club import Perks, club, system
from tests.lifecycle.conftest import Open
from tests.lifecycle.test_uninstall import residue

ROOT = Path(__file__).parents[2]
ON = {
    "service": "done", "actions": ["club.award"], "panels": ["club.panel"], "check": "refused", "seen": ["few"], "action": "done",
    "job": "done", "route": 204,
}  # fmt: skip
OFF = {
    "service": "plugin_disabled", "actions": [], "panels": [], "check": "refused", "seen": ["few"], "action": "plugin_disabled",
    "job": "plugin_disabled", "route": 503,
}  # fmt: skip
DONE = ["awarded", "hourly", "visited"]


class Other:
    """The other process, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._said: queue.Queue[Any] = queue.Queue()
        self._did: list[Any] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(json.loads(line))

    def ask(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()

    def says(self, seconds: float = 20) -> Any:
        return self._said.get(timeout=seconds)

    def does(self, what: str) -> tuple[dict[str, Any], list[str]]:
        """Return what came of it, and what the club did before it was told; its job comes by the clock, too."""
        self.ask(what)
        did: list[str] = []
        while not isinstance(said := self.says(), dict):
            did += [said] if said != "hourly" or what == "use" else []
        self._did += did
        return said, did

    def uses_in_the_end(self, wanted: dict[str, Any]) -> bool:
        """Ask until it has heard of what was switched."""
        end = time.monotonic() + 10
        while self.does("use")[0] != wanted:
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True

    def has(self, what: str) -> bool:
        """Wait until the club did something, if it did not."""
        while what not in self._did:
            self._did.append(self.says())
        return True


@contextmanager
def other(url: str) -> Iterator[Other]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.lifecycle.other", url]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Other(process)
        finally:
            process.kill()


def test_another_process_stops_all_of_a_disabled_plugin_and_begins_again_with_what_waited(open_world: Open) -> None:
    w = open_world()
    with w.crm.session(system()) as s:
        for name, points in (("few", 1), ("many", 1000)):
            account = Account(name=name)
            account[Perks].points = points
            s.create(account)
    with other(w.crm.url) as process:
        assert [process.says(), process.says()] == ["phone on", "ready"]
        assert process.does("use") == (ON, DONE)
        w.crm.plugins.disable("club")
        began = time.monotonic()
        assert process.says() == "phone off"  # nobody asked it for anything
        assert time.monotonic() - began < 10
        names = [f"A {n}" for n in range(12)]
        for name in names:
            w.account(name)
        assert process.does("use") == (OFF, [])
        assert process.does("work") == ({"delivered": 0}, [])
        w.crm.plugins.disable("club", end_checks=True)
        assert process.uses_in_the_end({**OFF, "check": "passed"})
        w.crm.plugins.enable("club")
        assert process.says() == "phone on"
        assert process.does("work") == ({"delivered": 14}, [f"heard {name}" for name in ("few", "many", *names)])
        assert process.does("use") == (ON, DONE)


def test_where_a_plugins_data_is_dropped_another_process_refuses_and_leaves_nothing_behind(open_world: Open) -> None:
    w = open_world()
    w.account("few")
    with other(w.crm.url) as process:
        assert [process.says(), process.says()] == ["phone on", "ready"]
        assert process.does("work") == ({"delivered": 1}, ["heard few"])
        w.beside().plugins.uninstall("club", keep_data=False)
        assert process.does("ask")[0]["read"] in ("schema_behind", "plugin_dropped")  # at once, or when it has looked
        assert process.does("work")[0]["delivered"] == 0
        assert process.has("phone off")
        assert process.does("ask") == ({"read": "plugin_dropped", "written": "plugin_dropped"}, [])
        assert process.does("work") == ({"delivered": 0}, [])
        assert residue(w.beside()) == []
        w.beside(club([])).plugins.install("club")
        assert process.says() == "phone on"
        assert process.does("ask") == ({"read": "done", "written": "done"}, [])
