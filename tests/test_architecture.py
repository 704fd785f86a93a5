"""What may know what. import-linter holds the arrows between modules; these tests hold what it cannot see."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = sorted((ROOT / "crm_core").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
OTHERS = sorted(path for room in ("crm_demo", "tests", "tools") for path in (ROOT / room).rglob("*.py"))

PUBLIC = {"crm_core", "crm_core.rules"}
# A plugin may build expressions. What runs, defines or hides SQL is not its own: engines, connections, text, Table, MetaData, the ORM.
EXPRESSIONS = {
    *("Select", "ColumnElement", "and_", "or_", "not_", "select", "union_all", "exists", "func", "case", "cast", "literal", "null", "true"),
    *("false", "distinct", "extract", "between", "asc", "desc", "Integer", "Numeric", "String"),
}
# What leads past the pipeline and the lens: connections and engines, tables of the database, the core's own writer, full rights.
DOORS = {
    *("bound", "engine", "connection", "exec_driver_sql", "get_bind", "dbapi_connection", "driver_connection"),
    *("table", "tables", "tables_by_name", "writer", "system"),
}
# The writer of CSV files is the standard library's.
HARMLESS = {"csv.writer"}
# Who may load a module by its name: a tester names the connector on pytest's command line.
LOADERS = {"crm_erp_bridge/conformance/options.py"}
# Definitions only: a host pays for the database libraries when it opens a database, not when it imports us.
LIGHT = [
    *("__init__.py", "errors.py", "messages.py", "runtime.py", "versions.py", "settings.py", "rules.py", "events/event.py"),
    *("entities/*.py", "hooks/*.py", "permissions/actor.py", "permissions/predicates.py", "permissions/roles.py"),
]
# Rooms and parts that some hosts use, and those when they do: a session's, a migration's, an operator's, a plugin's that declares such.
UNOPENED = (
    *(f"crm_core.{room}" for room in ("adoption", "asession", "audit", "automation", "backup", "catalogues.en", "catalogues.zh", "cli")),
    *(f"crm_core.{room}" for room in ("custom_fields", "deliveries", "describe", "doctor", "ext", "inbound", "io", "jobs")),
    *(f"crm_core.{room}" for room in ("lifecycle", "lifespan", "opening", "ports", "privacy", "quarantine", "query", "session")),
    *(f"crm_core.{room}" for room in ("settings", "tenant", "timeline", "view360")),
    *(f"crm_core.entities.{part}" for part in ("codec", "columns", "custom_columns", "generated", "sealed", "tenant_codec")),
    *(f"crm_core.events.{part}" for part in ("delivery", "journal", "sequencer", "subscribers", "subscription", "wake")),
    *(f"crm_core.hooks.{part}" for part in ("actions", "commands", "declared", "measures", "meter", "screens", "surroundings", "watchdog")),
    *(f"crm_core.permissions.{part}" for part in ("directory", "guard", "lens", "members", "mirror", "shape", "to_sql")),
    *(f"crm_core.storage.{part}" for part in ("adopted", "backup", "denials", "host", "idempotency", "keys", "links", "migrations")),
    *(f"crm_core.storage.{part}" for part in ("pipeline", "reader", "revisions", "rollups", "stages", "unit", "writer")),
)
HEAVY_ROOMS = {f"crm_core.entities.{name}" for name in ("columns", "custom_columns", "sealed", "sqltypes", "upsert")}


def _imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of each absolute import in *path*; the name is empty for ``import module``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.module or "", alias.name) for alias in node.names)


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _foreign(path: Path) -> Iterator[str]:
    own = path.relative_to(ROOT / "plugins").parts[1]
    for module, name in _imports(path):
        package = module.split(".")[0]
        if package == "crm_core" and module not in PUBLIC:
            yield f"{path.name} imports {module}, which is not public"
        elif package.startswith("crm_") and package not in ("crm_core", own) and module != f"{package}.api":
            yield f"{path.name} imports {module}; of another plugin only {package}.api is public"
        elif package == "sqlalchemy" and (module != "sqlalchemy" or name not in EXPRESSIONS):
            yield f"{path.name} imports {module}.{name}; a plugin builds expressions and nothing else"
        elif package in ("alembic", "sqlite3", "psycopg", "asyncpg"):
            yield f"{path.name} imports {module}: the database is not a plugin's"
        elif package == "importlib" and not path.as_posix().endswith(tuple(LOADERS)):
            yield f"{path.name} imports {module}: what a plugin knows stands in its import statements"
    yield from _reaches(path)


def _reaches(path: Path) -> Iterator[str]:
    """Yield where a plugin reaches for what is not its own by an attribute, or by its name as text."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            name, said = node.attr, ast.unparse(node)
            mine = ast.unparse(node.value) in ("self", "cls", "super()")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "attrgetter", "operator.attrgetter"):
            texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            name, said, mine = (texts or [""])[0].rpartition(".")[2], ast.unparse(node), False
        elif isinstance(node, ast.Name) and node.id in ("__import__", "exec", "eval", "compile"):
            yield f"{path.name}:{node.lineno} calls {node.id}: what a plugin knows stands in its import statements"
            continue
        else:
            continue
        private = name.startswith("_") and not name.endswith("__")
        if not mine and said not in HARMLESS and (private or name in DOORS):
            yield f"{path.name}:{node.lineno} reaches for {said}, which is not a plugin's"


def test_a_plugin_knows_only_the_public_face_and_builds_only_expressions() -> None:
    assert [problem for path in PLUGINS for problem in _foreign(path)] == []


@pytest.mark.parametrize(
    "line",
    [
        "from crm_core.storage import tables",
        "import crm_core.session",
        "from crm_sales.leads import Lead",
        "import crm_sales",
        "from sqlalchemy import text",
        "import sqlalchemy as sa",
        "from sqlalchemy.orm import Session",
        "import sqlite3",
        "import importlib",
        "from importlib import import_module",
        "__import__('crm_core.session')",
        "exec('import crm_core.session')",
        "ctx.session._unit",
        "self._session._elevated_core('because')",
        "record._items()",
        "getattr(ctx.session, '_unit')",
        "attrgetter('crm.bound')(session)",
        "session.crm.bound.begin()",
        "crm.bound.engine.connect()",
        "unit.connection.execute(statement)",
        "connection.exec_driver_sql('UPDATE crm_account SET name = 1')",
        "crm.table(Account).insert()",
        "table = crm.table(Account)",
        "crm.tables.system.journal.delete()",
        "Account.name.table.update()",
        "session.crm.writer.journal(connection, origin, rows)",
        "crm.session(Actor.system('mine', tenant='main'))",
    ],
)
def test_the_check_of_plugins_sees_a_trespass(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: line)
    assert list(_foreign(ROOT / "plugins" / "service" / "crm_service" / "tickets.py"))


@pytest.mark.parametrize(
    "line",
    ["self._session.query(Account)", "super()._set(1)", "csv.writer(file)", "measure.unit", "type(e).__name__", "known.update(more)"],
)
def test_the_check_of_plugins_lets_pass_what_is_their_own(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: line)
    assert list(_foreign(ROOT / "plugins" / "service" / "crm_service" / "tickets.py")) == []


def test_definitions_import_no_database_library() -> None:
    modules = sorted({_module(path) for pattern in LIGHT for path in (ROOT / "crm_core").glob(pattern)} - HEAVY_ROOMS)
    program = (
        f"import importlib, sys\nfor name in {modules!r}:\n    importlib.import_module(name)\n"
        "    print(*({'sqlalchemy', 'alembic', 'cryptography'} & set(sys.modules)) and [name] or [], end=' ')"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.stderr, run.stdout.split()[:1]) == ("", [])


def test_opening_a_crm_imports_nothing_that_its_database_does_not_need() -> None:
    heavy = {"alembic", "cattrs", "cryptography", "sqlalchemy.orm", "sqlalchemy.dialects.postgresql"}
    assert _at_opening() & heavy == set()


def test_opening_a_crm_imports_no_room_that_a_host_may_never_enter() -> None:
    found = _at_opening()
    assert "crm_core.rooms" in found
    assert {name for name in found if name.startswith(UNOPENED)} == set()


def test_opening_a_crm_makes_no_constructor_and_reads_no_field_of_the_cores_entities() -> None:
    code = """
from crm_core import CRM
from crm_core.entities.meta import spec
crm = CRM("sqlite://")
for entity in crm.registry.entities:
    print(entity.__name__, type(vars(entity)["__init__"]).__name__, "fields" in vars(spec(entity)))
"""
    lines = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    assert len(lines) >= 12
    assert {line.partition(" ")[2] for line in lines} == {"_Later False"}


def _at_opening() -> set[str]:
    """Return the modules of a process that opened a CRM and did nothing with it."""
    program = "import sys\nfrom crm_core import CRM\nCRM('sqlite://')\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_a_file_fits_one_reading() -> None:
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in [*CORE, *PLUGINS, *OTHERS]}
    # A catalogue is looked up, a line a code; nobody reads it through.
    assert {path: lines for path, lines in lengths.items() if lines > 420 and "/catalogues/" not in path} == {}
