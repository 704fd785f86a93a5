"""The shops of ``examples`` as real processes that listen on a port of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import sqlalchemy as sa

from crm_core.testing.databases import Database

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(str(folder) for folder in (ROOT / "plugins").iterdir())
# Each framework, each database and each server at least once; CRM_WEB_LONG=1 tries all of them with each other.
PAIRS = ["fastapi-postgresql", "flask-sqlite", "django-sqlite", "django-postgresql"]
if os.environ.get("CRM_WEB_LONG"):
    PAIRS += ["fastapi-sqlite", "flask-postgresql"]
PATIENCE = 60.0


class Host:
    """A shop that listens.

    Attributes:
        accounts, notes: where the two resources are.
        crowd: how many may ask at once; Django's development server lets ten wait, and resets others.
    """

    def __init__(self, name: str, port: int, *, developing: bool = False) -> None:
        self.crowd = 10 if developing else 32
        slash = "/" if name == "django" else ""
        self.name, self.port, self.url = name, port, f"http://127.0.0.1:{port}"
        self.accounts, self.notes = f"/accounts{slash}", f"/notes{slash}"

    @contextmanager
    def client(self, user: str, **headers: str) -> Iterator[httpx.Client]:
        """Give a client that asks as *user*."""
        headers = {"Authorization": f"Bearer {user}", **headers}
        with httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE, verify=False) as client:
            yield client


@contextmanager
def served(name: str, database: Database, logs: Path) -> Iterator[Host]:
    """Migrate a shop and serve it until the block is left: with two workers on PostgreSQL, one on SQLite."""
    port = _free_port()
    host = Host(name, port, developing=name == "django" and database.kind == "sqlite")
    folder = ROOT / "examples" / "django_shop" if name == "django" else ROOT
    variables = environment(name, database)
    migrate, *running = _commands(name, port, 2 if database.kind == "postgresql" else 1)
    subprocess.run(migrate, cwd=folder, env=variables, check=True, capture_output=True, timeout=PATIENCE)
    with ExitStack() as stack:
        started = [stack.enter_context(_process(c, folder, variables, logs / f"{name}{n}.log")) for n, c in enumerate(running)]
        _wait(host, started, logs)
        yield host


def _commands(name: str, port: int, workers: int) -> list[list[str]]:
    python, address = [sys.executable, "-W", "error::ResourceWarning"], f"127.0.0.1:{port}"
    gunicorn = [*python, "-m", "gunicorn", "--bind", address, "--workers", str(workers), "--graceful-timeout", "5", "--no-control-socket"]
    if name == "fastapi":
        served = ["uvicorn", "examples.fastapi_shop:app", "--port", str(port), "--workers", str(workers)]
        return [[*python, "-m", "examples.fastapi_shop"], [*python, "-m", *served]]
    if name == "flask":
        worker = [*python, "-m", "crm_core.cli.main", "worker", "--app", "examples.flask_shop:crm"]
        return [[*python, "-m", "examples.flask_shop"], [*gunicorn, "examples.flask_shop:app"], worker]
    development = [*python, "manage.py", "runserver", "--noreload", address]
    return [[*python, "manage.py", "migrate"], [*gunicorn, "shop.wsgi"] if workers > 1 else development]


def environment(name: str, database: Database) -> Mapping[str, str]:
    found = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *PLUGINS])}
    if name != "django":
        return {**found, "SHOP_DATABASE": database.async_url if name == "fastapi" else database.url}
    url = sa.make_url(database.url)
    place = {"SHOP_POSTGRES": str(url.query["host"])} if database.kind == "postgresql" else {}
    return {**found, **place, "SHOP_NAME": str(url.database)}


@contextmanager
def _process(command: list[str], folder: Path, environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT if "runserver" in command else signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(host: Host, started: list[subprocess.Popen[bytes]], logs: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and all(process.poll() is None for process in started):
        try:
            socket.create_connection(("127.0.0.1", host.port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("\n".join(log.read_text(encoding="utf-8") for log in sorted(logs.glob("*.log"))))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
