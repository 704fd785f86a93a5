"""Memory does not grow with the file [C67, B3], and the rate is printed [B11]."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXTRA = 16 << 20

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


def imported(folder: Path, rows: int) -> tuple[int, int, float, int]:
    folder.mkdir()
    command = [sys.executable, "-c", PROGRAM, f"sqlite:///{folder}/crm.db", str(folder / "rows.csv"), str(rows)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    created, unchanged, seconds, peak = json.loads(run.stdout)
    return created, unchanged, seconds, peak


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process's memory is asked of Linux")
def test_a_hundred_thousand_rows_take_no_more_memory_than_ten_thousand(tmp_path: Path) -> None:
    small = imported(tmp_path / "small", 10_000)
    large = imported(tmp_path / "large", 100_000)
    assert (small[:2], large[:2]) == ((10_000, 10_000), (100_000, 100_000))
    rate, peaks = 100_000 / large[2], f"{large[3] >> 20} MiB at most, {small[3] >> 20} for 10,000"
    print(f"\nimport of 100,000 accounts, audited: {rate:,.0f} rows/s, {peaks}")
    assert large[3] - small[3] <= EXTRA
