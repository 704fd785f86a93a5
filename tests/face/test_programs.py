"""The programs that an embedder, a vendor and an integrator drew before the first line of code: they run.

They stand beside the shared data sets (``CRM_TEST_FACE`` names another folder) and run from there as drawn, each as a process of its own
with the smallest host around it. What differs, :data:`DIFFERS` says, and decision 19 says why.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import crm_sales
from crm_core import Plugin
from crm_core.testing.databases import KINDS, Databases
from crm_core.testing.kit import Kit

ROOT = Path(__file__).resolve().parents[2]
HOSTS = Path(__file__).parent / "hosts"
DIFFERS = {
    "vendor": {
        "settings=Settings)\n": "settings=Settings)\nplugin.grants('account:read', 'sales.opportunity:read')\n",
        "if deal:": "if deal and deal.account:",
    },
    "embedder_fastapi": {
        ', locale="de", currency="EUR")': ', settings={SalesSettings: {"currency": "EUR"}})',
        "import Lead, Opportunity, Sales": "import Lead, Opportunity, Sales, Settings as SalesSettings",
    },
    "embedder_django": {},
    "integrator": {
        'Bridge("kingdee", Kingdee, ': 'Bridge("kingdee", Kingdee, settings=erp, ',
        '.allow(Lead, "claim")': '.allow(Lead, "read", where=F("owner").is_null()).permit("sales.claim")',
        "import crm_erp_bridge, crm_sales": (
            "import crm_erp_bridge, crm_sales\nfrom crm_core.rules import F\nfrom tests.face.hosts.erp import erp"
        ),
    },
}
# Each program on one database; CRM_TRUST_LONG=1 tries all of them on both.
PAIRS = ["vendor-sqlite", "embedder_fastapi-postgresql", "embedder_django-postgresql", "integrator-sqlite"]
if os.environ.get("CRM_TRUST_LONG"):
    PAIRS = [f"{name}-{kind}" for name in DIFFERS for kind in KINDS]
URLS = {"embedder_fastapi": "postgresql+asyncpg://app@db/app", "integrator": "postgresql+psycopg://crm@db/crm"}


@pytest.fixture
def drawn() -> Path:
    """Where the programs are."""
    data = Path(os.environ.get("CRM_TEST_DATA") or ROOT.parent / "shared" / "data")
    found = Path(os.environ.get("CRM_TEST_FACE") or data.parent / "face" / "users")
    if not found.exists():
        pytest.skip("the programs that users drew are not there: set CRM_TEST_FACE to their folder")
    return found


@pytest.fixture(scope="session")
def crm_plugins() -> Sequence[Plugin]:
    return [crm_sales.plugin]


def as_it_runs(drawn: Path, name: str) -> str:
    """Return a program as drawn, but for what differs."""
    text = (drawn / f"{name}.py").read_text(encoding="utf-8")
    for old, new in DIFFERS[name].items():
        assert text.count(old) == 1, f"{name}.py has {old!r} {text.count(old)} times"
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("pair", PAIRS)
def test_what_users_drew_runs(pair: str, drawn: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    name, kind = pair.split("-")
    databases: Databases = request.getfixturevalue("sqlite_databases" if kind == "sqlite" else "postgres_databases")
    database = databases.create()
    url = database.async_url if name == "embedder_fastapi" else database.url
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / f"{name}.py").write_text(as_it_runs(drawn, name).replace(URLS.get(name, url), url), encoding="utf-8")
    path = os.pathsep.join(map(str, [tmp_path, ROOT, *(ROOT / "plugins").iterdir()]))
    environment = {**os.environ, "PYTHONPATH": path}
    host = [sys.executable, str(HOSTS / f"{name}.py"), url]
    run = subprocess.run(host, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
    databases.drop(database)
    assert run.returncode == 0, run.stderr


def test_the_test_that_an_embedder_drew_passes(drawn: Path, crm_kit: Kit) -> None:
    program: dict[str, object] = {"__name__": "embedder_fastapi"}
    exec(compile(as_it_runs(drawn, "embedder_fastapi"), "embedder_fastapi.py", "exec"), program)  # the program under test
    test = program["test_deal"]
    assert callable(test)
    test(crm_kit)
