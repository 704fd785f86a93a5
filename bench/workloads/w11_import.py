"""W11: what importing costs, with compiled files; the best of several new interpreters."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from bench.measure import Measure
from bench.workloads import Scale

_STORE = "from crm_core import CRM; CRM('sqlite://')"
_DJANGO = (
    "import django; from django.conf import settings; "
    "settings.configure(INSTALLED_APPS=['django.contrib.contenttypes', 'django.contrib.auth', 'auditlog']); django.setup()"
)
_CODE = {
    "ours": {
        "bare interpreter": "pass",
        "import crm_core": "import crm_core",
        "an entity": "from crm_core import Entity, Field, Plugin, Role, Actor, Event, field",
        "import sqlalchemy": "import sqlalchemy",
        "a CRM on SQLite": _STORE,
    },
    "django": {"import, setup": _DJANGO},
    "sqlalchemy": {"import sqlalchemy.orm, continuum": "import sqlalchemy.orm, sqlalchemy_continuum"},
}


def run(system: str, scale: Scale) -> Iterator[Measure]:
    """Measure one system's imports in the environment that this process runs in."""
    for case, code in _CODE[system].items():
        found = []
        for _ in range(scale.count + 2):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, stdin=subprocess.DEVNULL, capture_output=True)
            found.append((time.perf_counter() - begin) * 1e6)
        yield Measure("W11", case, min(found), min(found), {})
