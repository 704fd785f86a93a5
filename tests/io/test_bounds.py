"""Memory does not grow with the file [C67, B3], and the rate is printed [B11]."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crm_core.testing.databases import Databases

ROOT = Path(__file__).resolve().parents[2]
EXTRA = 16 << 20
ROWS = int(os.environ.get("CRM_TEST_IMPORT_ROWS") or 20_000)

# In a process of its own: what an import takes at most is then what the process took at most.
PROGRAM = """
import json, re, sys, time
from pathlib import Path
from crm_core import CRM, Actor
from crm_core.io import Importer, mapping_of

url, path, rows = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
with path.open("w") as stream:
    stream.write("id,name,industry,owner,mail,city,country\\n")
    for n in range(rows):
        stream.write(f"{n},Company number {n},industry {n % 7},user{n % 40},info@company{n}.example,City {n % 500},DE\\n")
crm = CRM(url)
crm.migrate()
fields = {"name": "name", "industry": "industry", "owner": "owner", "website": "mail"}
mapping = mapping_of({"key": "x:{id}", "ignore": ["city", "country"], "fields": fields})
importer = Importer(crm, Actor.system("import", tenant="main"), mapping, entity="account")
start = time.perf_counter()
report = importer.run(path)
seconds = time.perf_counter() - start
again = importer.run(path)
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])  # getrusage knows the parent's peak, not ours
print(json.dumps([report.created, again.unchanged, seconds, peak * 1024]))
"""


def imported(folder: Path, url: str, rows: int) -> tuple[int, int, float, int]:
    folder.mkdir()
    command = [sys.executable, "-c", PROGRAM, url, str(folder / "rows.csv"), str(rows)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    created, unchanged, seconds, peak = json.loads(run.stdout)
    return created, unchanged, seconds, peak


@pytest.mark.timeout(3600)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process's memory is asked of Linux")
def test_many_rows_take_no_more_memory_than_a_tenth_of_them(databases: Databases, tmp_path: Path) -> None:
    """[C67] CRM_TEST_IMPORT_ROWS=1000000 is the long form."""
    small, large = databases.create(), databases.create()
    few = imported(tmp_path / "small", small.url, ROWS // 10)
    many = imported(tmp_path / "large", large.url, ROWS)
    databases.drop(small)
    databases.drop(large)
    assert (few[:2], many[:2]) == ((ROWS // 10, ROWS // 10), (ROWS, ROWS))
    peaks = f"{many[3] >> 20} MiB at most, {few[3] >> 20} for {ROWS // 10:,}"
    print(f"\nimport of {ROWS:,} accounts, audited, into {large.kind}: {ROWS / many[2]:,.0f} rows/s, {peaks}")
    assert many[3] - few[3] <= EXTRA
