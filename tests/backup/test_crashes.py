"""[C74, R13] A process that is killed on the way, and a disk that is full: what is there is as it was, and the next try succeeds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crm_core import CRM, FileKeys
from crm_core.backup import backup, restore, verify
from tests.backup.conftest import Empty
from tests.backup.world import plain, raw

ROOT = Path(__file__).resolve().parents[2]

# Dies with the process's power: nothing is flushed, rolled back or closed.
KILL = """
import os, signal, sys
from crm_core import CRM
from crm_core import FileKeys
from crm_core.backup import backup, restore
from tests.backup.world import lab
import crm_core.backup.restoring as restoring
import crm_core.storage.backup.archive as archive
verb, url, path, key = sys.argv[1:]
crm, key = CRM(url, plugins=[lab]), FileKeys(key)
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
if verb == "backup":
    archive._give_name = die
    backup(crm, path, key)
else:
    restoring.fence = die
    restore(crm, path, key, force=True)
"""

# The first file that grows beyond this much fails to, as on a full disk.
FULL = """
import resource, sys
from crm_core import CRM
from crm_core import FileKeys
from crm_core.backup import backup
from crm_core.errors import Unavailable
from tests.backup.world import lab
crm = CRM(sys.argv[1], plugins=[lab])
crm.migrations.check()
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
try:
    backup(crm, sys.argv[2], FileKeys(sys.argv[3]))
except Unavailable as e:
    print(e.code, e.params["reason"])
"""


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_r13_a_backup_that_is_killed_leaves_no_backup_and_the_next_one_is_made(crm: CRM, key: FileKeys, tmp_path: Path) -> None:
    before = raw(crm)
    killed = run(KILL, "backup", crm.url, tmp_path / "all.crm", tmp_path / "key")
    assert (killed.returncode, "Error" in killed.stderr) == (-9, False)
    [left] = [name for name in os.listdir(tmp_path) if name.endswith(".part")]
    assert sorted(os.listdir(tmp_path)) == sorted([left, "key"])
    # It was killed when all but its name was there, so the journal may tell of it.
    assert {n: r for n, r in raw(crm).items() if "journal" not in n} == {n: r for n, r in before.items() if "journal" not in n}
    backup(crm, tmp_path / "all.crm", key)
    verify(tmp_path / "all.crm", key)


def test_r13_a_restore_that_is_killed_leaves_the_target_as_it_was(crm: CRM, empty: Empty, key: FileKeys, tmp_path: Path) -> None:
    backup(crm, tmp_path / "all.crm", key)
    kept, before = plain(crm), raw(crm)
    killed = run(KILL, "restore", crm.url, tmp_path / "all.crm", tmp_path / "key")
    assert (killed.returncode, "Error" in killed.stderr) == (-9, False)
    assert raw(crm) == before
    other = empty()
    restore(other, tmp_path / "all.crm", key)
    assert plain(other) == kept


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of a file's size to be set")
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_c74_a_full_disk_leaves_no_file_and_says_why(crm: CRM, tmp_path: Path, key: FileKeys) -> None:
    before = raw(crm)
    told = run(FULL, crm.url, tmp_path / "all.crm", tmp_path / "key")
    assert told.stdout == "backup_no_room File too large\n", told.stderr
    assert os.listdir(tmp_path) == ["key"]
    assert raw(crm) == before
