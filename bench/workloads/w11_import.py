"""W11: what importing and opening cost, with compiled files: the processor's time of new interpreters, in turns; the best, and ratios."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.measure import Measure
from bench.workloads import Scale

_BASE = "import sqlalchemy"
_STORE = "from crm_core import CRM; CRM('sqlite://')"
_PLUGIN = "from crm_core import CRM; import crm_sales; CRM('sqlite://', plugins=[crm_sales.plugin])"
# What is asked of both: an engine on a file, one row written, and found again.
_OURS = """
import sys
from crm_core import CRM, Account, Actor, Role
crm = CRM(f"sqlite:///{sys.argv[1]}", roles=[Role("clerk").allow(Account, "read", "create")])
if len(sys.argv) > 2:
    crm.migrate()
with crm.session(Actor("7", roles={"clerk"})) as s:
    s.create(Account(name="Acme"))
    assert s.query(Account).where(Account.name == "Acme").first()
"""
_CORE = """
import sys, uuid
import sqlalchemy as sa
engine = sa.create_engine(f"sqlite:///{sys.argv[1]}")
metadata = sa.MetaData()
table = sa.Table("own", metadata, sa.Column("id", sa.String(36), primary_key=True), sa.Column("name", sa.String(255)))
if len(sys.argv) > 2:
    metadata.create_all(engine)
with engine.begin() as connection:
    connection.execute(table.insert(), [{"id": str(uuid.uuid4()), "name": "Acme"}])
    assert connection.execute(sa.select(table).where(table.c.name == "Acme").limit(1)).all()
"""
_DJANGO = (
    "import django; from django.conf import settings; "
    "settings.configure(INSTALLED_APPS=['django.contrib.contenttypes', 'django.contrib.auth', 'auditlog']); django.setup()"
)
_CODE = {
    "ours": {
        "bare interpreter": "pass",
        "import crm_core": "import crm_core",
        "an entity": "from crm_core import Entity, Field, Plugin, Role, Actor, Event, field",
        _BASE: _BASE,
        "a CRM on SQLite": _STORE,
        "a CRM with sales": _PLUGIN,
        "a CRM, a session that writes and reads": _OURS,
        "SQLAlchemy's core, the same": _CORE,
    },
    "django": {"import, setup": _DJANGO},
    "sqlalchemy": {"import sqlalchemy.orm, continuum": "import sqlalchemy.orm, sqlalchemy_continuum"},
}


def run(system: str, scale: Scale) -> Iterator[Measure]:
    """Measure one system's imports in the environment that this process runs in."""
    codes = _CODE[system]
    found: dict[str, list[tuple[float, float]]] = {case: [] for case in codes}
    with tempfile.TemporaryDirectory() as folder:
        for n in range(scale.count + 2):
            for place, (case, code) in enumerate(codes.items()):
                took = _process(code, Path(folder) / f"{place}.db", *(["first"] if n == 0 else []))
                if n:  # the first one makes the tables, and the compiled files
                    found[case].append(took)
    for case, took in found.items():
        wall, cpu = map(min, zip(*took, strict=True))
        ratios = [one[1] / base[1] for one, base in zip(took, found.get(_BASE, took), strict=True)]
        yield Measure("W11", case, wall, cpu, {"of import sqlalchemy": round(median(ratios), 2)} if _BASE in found else {})


def _process(code: str, *arguments: object) -> tuple[float, float]:
    """Return the microseconds of a new interpreter: on the clock, and of the processor."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    after, end = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return (end - begin) * 1e6, cpu * 1e6
