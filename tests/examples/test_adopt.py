"""The host that adopts its own table, as a real process on both databases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from crm_core.testing.databases import Database

EXAMPLE = Path(__file__).parents[2] / "examples" / "adopt.py"
TOLD = """\
new: Acme
new: Gamma
new: Delta
new: Beta
industry: None -> Chairs, name: Acme -> Acme GmbH
website: None -> https://acme.example
owner: None -> 1
owner: None -> 1
taken up: 1
flaws: ['name']
"""


def test_a_host_adopts_its_customers_and_is_observed(database: Database) -> None:
    run = subprocess.run([sys.executable, str(EXAMPLE), database.url], capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stdout) == (0, TOLD), run.stderr
