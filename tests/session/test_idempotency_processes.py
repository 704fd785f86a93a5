"""One key at once in several processes: the work is done once, and all get one result."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from crm_core import Account, Actor

PROCESSES = 4
KEYS = 10
# Each says that it is ready and waits for the word, so that all begin at once.
PROGRAM = f"""
import json, sys
from crm_core import CRM, Account, Actor
crm = CRM(sys.argv[1])
system = Actor.system("test", tenant="main")
with crm.session(system, write=False) as s:
    s.query(Account).count()
print("ready", flush=True)
sys.stdin.readline()
ids = []
for n in range({KEYS}):
    ids.append(crm.transact(system, lambda s: s.create(Account(name=f"a{{n}}")).id, idempotency_key=f"k{{n}}", retries=9))
print(json.dumps(ids), flush=True)
crm.close()
"""


def test_a_key_used_by_several_processes_at_once_is_done_once(make_crm: Any) -> None:
    crm = make_crm()
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", PROGRAM, crm.url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": root}
    running: list[subprocess.Popen[str]] = [subprocess.Popen(command, **pipes) for _ in range(PROCESSES)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = []
    for process in running:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        results.append(json.loads(out))
    assert all(ids == results[0] for ids in results)
    with crm.session(Actor.system("test", tenant="main"), write=False) as s:
        assert sorted(a.id for a in s.query(Account).all()) == sorted(results[0])
    assert len(set(results[0])) == KEYS
