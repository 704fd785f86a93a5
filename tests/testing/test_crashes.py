"""The crash injector: at each point of a write it is known what is there afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, Created, Plugin, Session
from crm_core.testing import Crashed, crash
from crm_core.testing.crashes import DIED, POINTS, Point

SETUP = Actor.system("test", tenant="main")
PROGRAM = """
import sys
from crm_core import CRM, Account, Actor
from crm_core.testing import crash
from crm_core.testing.crashes import die
crm = CRM(sys.argv[1])
with crash(crm, sys.argv[2], by=die), crm.session(Actor.system("test", tenant="main")) as s:
    s.create(Account(name="A"))
"""


def names(crm: CRM) -> list[str]:
    with crm.session(SETUP, write=False) as s:
        return [a.name for a in s.query(Account).all()]


@pytest.mark.parametrize("at", POINTS)
def test_what_is_there_after_a_crash_is_known_and_a_key_is_done_once(make_crm: Any, at: Point) -> None:
    crm: CRM = make_crm(plugins=[])
    with pytest.raises(Crashed) as raised, crash(crm, at), crm.session(SETUP, idempotency_key="k") as s:
        s.create(Account(name="A"))
    assert (raised.value.point, raised.value.kept) == (at, at == "after_commit")
    assert names(crm) == (["A"] if raised.value.kept else [])
    assert (crm.outcome("k") is not None) == raised.value.kept
    with crm.session(SETUP, idempotency_key="k") as s:
        s.create(Account(name="A"))
    assert names(crm) == ["A"]


@pytest.mark.parametrize("at", ["before_commit", "after_commit"])
def test_a_delivery_that_crashes_is_done_once_in_the_end(make_crm: Any, at: Point) -> None:
    plugin = Plugin("echo", version="1")
    plugin.grants("account:read,create")

    @plugin.on(Created[Account])
    def echo(s: Session, event: Created[Account]) -> None:
        if event.new["name"] == "A":
            s.create(Account(name="echo"))

    crm: CRM = make_crm(plugins=[plugin])
    with crm.session(SETUP) as s:
        s.create(Account(name="A"))
    with pytest.raises(Crashed), crash(crm, at):
        crm.run_pending()
    crm.run_pending()
    assert sorted(names(crm)) == ["A", "echo"]


@pytest.mark.parametrize("at", ["before_journal", "after_commit"])
def test_a_process_dies_there_as_a_kill_would_have_it(make_crm: Any, at: Point) -> None:
    crm: CRM = make_crm(plugins=[])
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM, crm.url, at], env=os.environ, check=False)
    assert run.returncode == DIED
    assert names(crm) == (["A"] if at == "after_commit" else [])
