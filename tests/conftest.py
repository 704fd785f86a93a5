"""What every room's tests stand on: two databases, the shared data sets, reproducible properties."""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.databases import KINDS, Database, Databases, PostgresDatabases, SQLiteDatabases
from tests.services import CannotStart, PostgresServer

_ROOT = Path(__file__).resolve().parent.parent
_server = pytest.StashKey[PostgresServer]()

# A fixture is read, not changed, by the cases of a property; time limits would fail a busy machine.
_health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
settings.register_profile("local", deadline=None, print_blob=True, suppress_health_check=_health)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def _postgres(config: pytest.Config) -> PostgresServer:
    """Start this run's server, or end the run with the reason: a run without PostgreSQL proves half of what it should."""
    if _server not in config.stash:
        try:
            config.stash[_server] = PostgresServer.start(durable=bool(os.environ.get("CRM_TEST_DURABLE")))
        except CannotStart as problem:
            pytest.exit(f"PostgreSQL could not be started: {problem}", returncode=3)
    return config.stash[_server]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each parallel worker where the one server is."""
    node.workerinput["postgres"] = str(_postgres(node.config).directory)


def pytest_collection_finish() -> None:
    """Leave what was collected, hundreds of megabytes, out of every later search for garbage."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server that this process started."""
    if _server in config.stash:
        config.stash[_server].stop()
        del config.stash[_server]


@pytest.fixture(scope="session")
def postgres_databases(request: pytest.FixtureRequest) -> PostgresDatabases:
    """Databases of this run's PostgreSQL."""
    given = getattr(request.config, "workerinput", None)
    directory = Path(given["postgres"]) if given else _postgres(request.config).directory
    return PostgresDatabases(directory, given["workerid"] if given else "main")


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SQLiteDatabases:
    """SQLite databases in a temporary folder."""
    return SQLiteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(params=KINDS)
def databases(request: pytest.FixtureRequest) -> Databases:
    """The source of databases, SQLite's and then PostgreSQL's, for a test that needs several or a prepared one."""
    return request.getfixturevalue("sqlite_databases" if request.param == "sqlite" else "postgres_databases")  # type: ignore[no-any-return]  # by name


@pytest.fixture
def database(databases: Databases) -> Iterator[Database]:
    """An empty database: the test runs once on SQLite and once on PostgreSQL."""
    made = databases.create()
    yield made
    databases.drop(made)


MakeCRM = Callable[..., Any]
_digests: dict[tuple[Any, ...], str] = {}  # of a schema, by the classes and links that make it


def _schema_of(crm: Any, prefix: str) -> str:
    """Say what a migration of *crm* makes: its tables and where its subscriptions begin. Equal texts, equal databases."""
    from crm_core.storage.revisions.steps import declared, digest

    subscriptions = [f"{s.name} {s.from_start}" for s in crm.subscribers]
    registry = crm.registry
    classes = [c for e in registry.entities for c in (e, *registry.extensions(e))]
    known = (prefix, *(p.name for p in registry.plugins), *classes, *registry.links)
    if known not in _digests:
        _digests[known] = "\n".join(f"{p.name} {digest(declared(crm.tables, p.name))}" for p in registry.plugins)
    return "\n".join([prefix, _digests[known], *subscriptions])


@pytest.fixture
def beside(request: pytest.FixtureRequest) -> list[Any]:
    """The modules that every CRM of this run has beside its own: ``CRM_TEST_BESIDE=sales,marketing``. See :mod:`tools.matrix`.

    A test marked ``alone`` is about what a CRM does without them, and gets none.
    """
    if request.node.get_closest_marker("alone"):
        return []
    return [importlib.import_module(f"crm_{name}").plugin for name in os.environ.get("CRM_TEST_BESIDE", "").split(",") if name]


@pytest.fixture
def make_crm(databases: Databases, beside: list[Any]) -> Iterator[MakeCRM]:
    """Make CRMs on fresh databases with their tables in place: ``make_crm(plugins=[...], roles=[...])``, arguments as CRM's.

    Two calls give two databases; ``crm.url`` opens a second CRM on the same one.
    """
    from crm_core import CRM

    made: list[tuple[Any, Database]] = []

    def make(*, plugins: Any = (), prefix: str = "crm_", keys: Any = None, **options: Any) -> Any:
        plugins = [*plugins, *(p for p in beside if p.name not in {given.name for given in plugins})]

        def prepare(database: Database) -> None:
            crm = CRM(database.url, plugins=plugins, prefix=prefix, keys=keys)
            crm.migrate()
            crm.close()

        database = databases.reserve()
        crm = CRM(database.url, plugins=plugins, prefix=prefix, keys=keys, **options)
        databases.fill(database, _schema_of(crm, prefix), prepare)
        made.append((crm, database))
        return crm

    yield make
    for crm, database in made:
        crm.close()
        databases.drop(database)


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
