"""A host's own workers, as real processes on both databases: each event is handled once, and a worker that is killed loses nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from crm_core.testing.databases import Database

EXAMPLE = Path(__file__).parents[2] / "examples" / "worker.py"


def test_forked_workers_handle_each_event_once_though_some_are_killed(database: Database) -> None:
    jobs = os.environ.get("CRM_TEST_JOBS", "16")
    command = [sys.executable, str(EXAMPLE), database.url, "--jobs", jobs, "--kill", "2"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    found = re.fullmatch(r"(\d+) jobs, (\d) workers killed, (\d+) parcels, packed by (\d+) processes\n", run.stdout)
    assert found, run.stderr
    assert (found[1], int(found[3])) == (jobs, int(jobs) + 1)
    assert int(found[2]) >= 1
    print(database.kind, run.stdout)
