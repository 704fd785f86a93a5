"""A worker that is killed in the midst of a job: another one goes on from its checkpoint, when its lease is over and no sooner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from crm_core import CRM, Account, Actor
from tests.conftest import MakeCRM
from tests.jobs.test_jobs import expire
from tests.jobs.worker import STEPS, plugin

ROOT = Path(__file__).resolve().parents[2]


def worker(crm: CRM, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.jobs.worker", crm.url, *options]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    with process.stdout:
        return process.stdout.readline().strip()


def test_a_worker_that_is_killed_midway_is_followed_by_another_after_its_lease(make_crm: MakeCRM) -> None:
    crm: CRM = make_crm(plugins=[plugin])
    with worker(crm, "--hang") as killed:
        assert says(killed) == "halfway"
        killed.send_signal(signal.SIGKILL)
    with worker(crm) as early:
        assert says(early) == "done: 0", "its lease is not over"
    expire(crm)
    with worker(crm) as other:
        assert says(other) == "done: 1"
    with crm.session(Actor.system("test", tenant="main"), write=False) as s:
        names = [account.name for account in s.query(Account).order_by(Account.name).all()]
    by = [killed.pid] * (STEPS // 2) + [other.pid] * (STEPS - STEPS // 2)
    assert names == [f"step {step} of process {pid}" for step, pid in enumerate(by)]
    assert [(run.state, run.attempt) for run in crm.jobs.runs()] == [("done", 2), ("lost", 1)]
