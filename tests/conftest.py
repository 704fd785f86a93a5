"""What every room's tests stand on: two databases, the shared data sets, reproducible properties."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from crm_core.testing.databases import Database, Databases
from crm_core.testing.plugin import filled
from tests.figures import LONG

_ROOT = Path(__file__).resolve().parent.parent

# A fixture is read, not changed, by the cases of a property; time limits would fail a busy machine.
_health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
settings.register_profile("local", deadline=None, print_blob=True, suppress_health_check=_health)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

if LONG or os.environ.get("CRM_TRUST_FIGURES"):  # a figure of time is one of a disk
    os.environ.setdefault("CRM_TEST_FOLDER", tempfile.gettempdir())


def pytest_collection_finish() -> None:
    """Leave what was collected, hundreds of megabytes, out of every later search for garbage, and search seldom: a sixth of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


MakeCRM = Callable[..., Any]


@pytest.fixture
def beside(request: pytest.FixtureRequest) -> list[Any]:
    """The modules that every CRM of this run has beside its own: ``CRM_TEST_BESIDE=sales,marketing``. See :mod:`tools.matrix`.

    A test marked ``alone`` is about what a CRM does without them, and gets none.
    """
    if request.node.get_closest_marker("alone"):
        return []
    return [importlib.import_module(f"crm_{name}").plugin for name in os.environ.get("CRM_TEST_BESIDE", "").split(",") if name]


@pytest.fixture
def make_crm(databases: Databases, beside: list[Any], crm_plugins: Any) -> Iterator[MakeCRM]:
    """Make CRMs on fresh databases with their tables in place: ``make_crm(plugins=[...], roles=[...])``, arguments as CRM's.

    Two calls give two databases; ``crm.url`` opens a second CRM on the same one.
    """
    made: list[tuple[Any, Database]] = []

    def make(*, plugins: Any = crm_plugins, **options: Any) -> Any:
        plugins = [*plugins, *(p for p in beside if p.name not in {given.name for given in plugins})]
        crm, database = filled(databases, plugins=plugins, **options)
        made.append((crm, database))
        return crm

    yield make
    for crm, database in made:
        crm.close()
        databases.drop(database)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package, empty as yet, in which a vendor freezes revisions."""
    (tmp_path / "vendor_of_ships").mkdir()
    (tmp_path / "vendor_of_ships" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    importlib.import_module("vendor_of_ships")
    yield "vendor_of_ships"
    sys.modules.pop("vendor_of_ships", None)


@pytest.fixture
def test_data() -> Callable[[str], Path]:
    """Find a file or folder of the shared data sets, or skip the test where they are not on this machine."""
    root = Path(os.environ.get("CRM_TEST_DATA") or _ROOT.parent / "shared" / "data")

    def find(path: str) -> Path:
        found = root / path
        if not found.exists():
            pytest.skip(f"the data set {path} is not there: set CRM_TEST_DATA to the folder that holds it")
        return found

    return find
