"""Django's own test runner on the shop: its tests and ours, on both databases, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sqlalchemy import create_engine, inspect, text

import crm_sales
from crm_core import CRM
from crm_core.backup import backup
from crm_core.testing.databases import Database, SQLiteDatabases
from tests.web.hosts import ROOT, environment

SHOP = ROOT / "examples" / "django_shop"


def run(database: Database, *command: str) -> subprocess.CompletedProcess[str]:
    python = [sys.executable, "-W", "error", "manage.py", *command]
    return subprocess.run(python, cwd=SHOP, env=environment("django", database), capture_output=True, text=True, timeout=240, check=False)


def test_the_shops_tests_and_ours_pass_in_djangos_runner(database: Database) -> None:
    done = run(database, "test", "shop", "tests.web.django_cases")
    assert done.returncode == 0, done.stderr
    assert "Ran 27 tests" in done.stderr


def test_migrate_makes_both_tables_once_and_the_command_line_works_on_them(sqlite_databases: SQLiteDatabases) -> None:
    database = sqlite_databases.create()
    for _ in range(2):
        assert run(database, "migrate").returncode == 0
    listed = run(database, "crm", "plugins")
    assert (listed.returncode, "shop" in listed.stdout) == (0, True), listed.stderr
    assert run(database, "makemigrations", "--check", "--dry-run").returncode == 0


def test_a_backup_is_drilled_through_manage_py_and_nothing_of_it_stays_behind(database: Database, tmp_path: Path) -> None:
    assert run(database, "migrate").returncode == 0
    good, other = tmp_path / "good.crm", tmp_path / "other.crm"
    assert run(database, "crm", "backup", "create", str(good), "--plain").returncode == 0
    elsewhere = CRM(f"sqlite:///{tmp_path / 'other.db'}", plugins=[crm_sales.plugin])
    elsewhere.migrate()
    backup(elsewhere, other, plain=True)
    elsewhere.close()
    drilled, refused = (run(database, "crm", "backup", "drill", str(each)) for each in (good, other))
    assert (drilled.returncode, "restored, compared" in drilled.stdout) == (0, True), drilled.stderr
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False), refused.stderr
    engine = create_engine(database.url)
    assert [name for name in inspect(engine).get_schema_names() if "drill" in name] == []
    engine.dispose()


READS = """
import sqlite3, time
from django.db import connection
from shop.crm import crm
from crm_core import Account, Actor, Denied

connection.ensure_connection()
connection.connection.execute("PRAGMA busy_timeout = 30000")
writer = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
writer.execute("BEGIN IMMEDIATE")
begun = time.monotonic()
with crm.session(Actor("2", roles={"seller"}), write=False) as s:
    assert s.query(Account).count() == 0
assert time.monotonic() - begun < 15, time.monotonic() - begun
writer.execute("ROLLBACK")
"""


def test_a_reading_session_waits_for_no_writer_whatever_the_settings_begin_with(sqlite_databases: SQLiteDatabases) -> None:
    database = sqlite_databases.create()  # the shop's settings say IMMEDIATE
    assert run(database, "migrate").returncode == 0
    done = run(database, "shell", "-c", READS)
    assert done.returncode == 0, done.stderr


def test_what_a_deploy_asks_sees_the_crms_migrations_and_migrate_tells_of_them(database: Database) -> None:
    looks = [["migrate", "--check"], ["check", "--database", "default", "--fail-level", "WARNING"]]
    assert [run(database, *look).returncode for look in looks] == [1, 1]
    migrated = run(database, "migrate")
    assert "Applied CRM core" in migrated.stdout
    assert "schema_missing" not in migrated.stdout + migrated.stderr  # who migrates need not be told to
    assert [run(database, *look).returncode for look in looks] == [0, 0]
    engine = create_engine(database.url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM crm_version WHERE plugin = 'shop'"))
    engine.dispose()
    behind = [run(database, *look) for look in looks]
    assert [done.returncode for done in behind] == [1, 1]
    assert all("shop" in done.stdout + done.stderr for done in behind)
    assert "shop" in run(database, "migrate", "--plan").stdout
    for told in (True, False):
        assert ("Applied CRM shop" in run(database, "migrate").stdout) is told


PROJECT = {
    "conf.py": """
from shop.settings import *
INSTALLED_APPS = ["crm_core.ext.django", "django.contrib.auth", "django.contrib.contenttypes", "clients"]
CRM = "clients.crm.crm"
ROOT_URLCONF = "clients"
""",
    "clients/__init__.py": "urlpatterns = []",
    "clients/models.py": """
from django.db import models

class Client(models.Model):
    name = models.CharField(max_length=120)
""",
    "clients/crm.py": """
from sqlalchemy import BigInteger, Column, MetaData, String, Table
from crm_core import CRM, Account
from crm_core.adoption import Adopted

clients = Table("clients_client", MetaData(), Column("id", BigInteger, primary_key=True), Column("name", String(120), nullable=False))
crm = CRM("django://default", adopt={Account: Adopted(clients, {"name": "name"})})
""",
}


def test_migrate_of_another_app_waits_for_the_hosts_table_that_is_adopted(database: Database, tmp_path: Path) -> None:
    for name, content in PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    found = environment("django", database)
    paths = os.pathsep.join([str(tmp_path), str(SHOP), found["PYTHONPATH"]])

    def admin(*command: str) -> subprocess.CompletedProcess[str]:
        python = [sys.executable, "-m", "django", *command, "--settings", "conf"]
        return subprocess.run(python, cwd=tmp_path, env={**found, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)

    assert admin("makemigrations", "clients").returncode == 0
    first = admin("migrate", "auth")
    assert (first.returncode, "wait for the table clients_client" in first.stdout) == (0, True), first.stderr
    assert admin("migrate", "--check").returncode == 1
    whole = admin("migrate")
    assert (whole.returncode, "adopt table clients_client" in whole.stdout) == (0, True), whole.stderr
    assert admin("migrate", "--check").returncode == 0
