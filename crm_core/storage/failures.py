"""What a database's errors mean: both databases' codes as typed errors that say what was wrong and whether to try again."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import URL, MetaData, Table
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..entities.meta import spec
from ..errors import Conflict, CRMError, Detail, Invalid, PluginFailed, ReadOnly, Refused, SchemaBehind, StatementFailed, Unavailable

if TYPE_CHECKING:
    from .tables import Tables

Make = Callable[[], CRMError]
E = TypeVar("E", bound=Exception)


def _again(code: str) -> CRMError:
    """Nothing was changed, and the same call may well succeed next time."""
    return Unavailable(code, retryable=True)


_SQLITE: Mapping[int, Make] = {
    sqlite3.SQLITE_BUSY: lambda: _again("database_locked"),
    sqlite3.SQLITE_LOCKED: lambda: _again("database_locked"),
    sqlite3.SQLITE_INTERRUPT: lambda: Unavailable("statement_timeout"),
    sqlite3.SQLITE_READONLY: lambda: ReadOnly("database_read_only"),
    sqlite3.SQLITE_IOERR: lambda: Unavailable("disk_failed"),
    sqlite3.SQLITE_FULL: lambda: Unavailable("disk_full"),
    sqlite3.SQLITE_CORRUPT: lambda: Unavailable("database_damaged"),
    sqlite3.SQLITE_NOTADB: lambda: Unavailable("not_a_database"),
    sqlite3.SQLITE_CANTOPEN: lambda: Unavailable("cannot_open"),
    sqlite3.SQLITE_TOOBIG: lambda: Invalid("too_long"),
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: lambda: Conflict("not_unique"),
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: lambda: Conflict("not_unique"),
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: lambda: Conflict("reference_broken"),
    # RESTRICT, unlike the other rules, is a trigger inside SQLite.
    sqlite3.SQLITE_CONSTRAINT_TRIGGER: lambda: Conflict("reference_broken"),
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: lambda: Invalid("required"),
}

# By SQLSTATE, the longest prefix wins.
_POSTGRESQL: Mapping[str, Make] = {
    "08": lambda: _again("connection_lost"),
    "22": lambda: Invalid("bad_value", expected="?"),
    "22001": lambda: Invalid("too_long"),
    "22003": lambda: Invalid("too_big"),
    "22021": lambda: Invalid("control_character"),
    "22P05": lambda: Invalid("control_character"),
    "23001": lambda: Conflict("protected"),
    "23502": lambda: Invalid("required"),
    "23503": lambda: Conflict("reference_broken"),
    "23505": lambda: Conflict("not_unique"),
    "25006": lambda: ReadOnly("database_read_only"),
    "25P02": lambda: Refused("host_transaction_failed"),
    "28": lambda: Unavailable("cannot_open"),
    "3D": lambda: Unavailable("cannot_open"),
    "3F": lambda: SchemaBehind("schema_missing"),
    "40001": lambda: _again("serialization_failure"),
    "40P01": lambda: _again("deadlock"),
    "42501": lambda: Unavailable("database_rights"),
    "42703": lambda: SchemaBehind("schema_behind"),
    "42P01": lambda: SchemaBehind("schema_behind"),
    "53": lambda: _again("database_overloaded"),
    "54": lambda: Invalid("too_deep"),
    "53100": lambda: Unavailable("disk_full"),
    "55P03": lambda: _again("database_locked"),
    "57": lambda: _again("connection_lost"),
    "57014": lambda: _again("statement_cancelled"),
    "58": lambda: Unavailable("disk_failed"),
}

# What drivers say where their error has no code.
_WORDS: Mapping[str, Make] = {
    "NUL character": lambda: Invalid("control_character"),
    "embedded null": lambda: Invalid("control_character"),
    "NUL (0x00)": lambda: Invalid("control_character"),
    "cannot adapt type": lambda: Invalid("bad_value"),
    "is not supported": lambda: Invalid("bad_value"),
    "integer overflow": lambda: Invalid("too_big"),
    "Expression tree is too large": lambda: Invalid("too_deep"),
    "parser stack overflow": lambda: Invalid("too_deep"),
    "too many SQL variables": lambda: Invalid("too_deep"),
    "too many terms": lambda: Invalid("too_deep"),
    "no such table": lambda: SchemaBehind("schema_behind"),
    "no such column": lambda: SchemaBehind("schema_behind"),
    "has no column named": lambda: SchemaBehind("schema_behind"),
}
_MISTAKEN = ("syntax error", "incomplete input", "unrecognized token", "no such function", "wrong number of arguments", "ambiguous column")
"""What SQLite says of a statement that is wrong as it is written; PostgreSQL has a class of codes for it."""

_LOCATED = frozenset(
    {
        *("cannot_open", "connection_lost", "database_damaged", "database_locked", "database_overloaded", "database_read_only"),
        *("database_rights", "disk_failed", "disk_full", "not_a_database", "pool_exhausted", "unavailable"),
    }
)
_OTHER_TYPES = frozenset({"42804", "42883"})
"""What is said where a column has not the type that it is to have, as one that is still to be sealed."""
_INVALIDATED = "8s2b"
"""SQLAlchemy's code for a statement after the one that found the connection gone."""
_SENDING = ("sqlalchemy.", "psycopg", "asyncpg", "crm_core.permissions.prepared")
_MISSING_RATE = r"missing_rate:(\w{3}):(\w{3}):([\d-]+)"


def is_database_error(error: BaseException) -> bool:
    """Say whether *error* comes from the database, its driver or its pool, and so is for :func:`translate`."""
    if isinstance(error, UnicodeEncodeError | OverflowError):  # as drivers raise them for a text or number that no column takes
        return _raised_in(error).startswith(_SENDING)
    return isinstance(error, SQLAlchemyError | sqlite3.Error) or type(error).__module__.partition(".")[0] in ("psycopg", "asyncpg")


def _raised_in(error: BaseException) -> str:
    """Name the module in which an error was raised."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return "" if at is None else str(at.tb_frame.f_globals.get("__name__", ""))


@contextmanager
def typed(*, write: bool, at: URL | None = None) -> Iterator[None]:
    """Let a database's error leave the block as what it means for a session that writes or only reads, with the name of the database."""
    try:
        yield
    except Exception as e:
        if not is_database_error(e):
            located(e, at)
            raise
        raise located(meaning(e, write=write), at) from e


def located(error: E, at: URL | None) -> E:
    """Let an error that is about the database itself name it: its file, or its host and name; never its user or password."""
    if at is not None and isinstance(error, Unavailable | ReadOnly) and error.code in _LOCATED:
        error.params.setdefault("database", _name(at))
    return error


def _name(url: URL) -> str:
    if url.get_backend_name() != "sqlite":
        return f"{url.host or url.query.get('host') or 'localhost'}/{url.database}"
    return PurePath((url.database or ":memory:").removeprefix("file:")).name


def is_cancelled(error: BaseException) -> bool:
    """Say whether PostgreSQL ended a statement, by its time limit or because somebody asked; the SQLSTATE is one for both."""
    return _sqlstate(_driver_error(error)) == "57014"


def meaning(error: BaseException, *, write: bool, overdue: bool = False) -> CRMError:
    """Say what a database's error means for a session that writes or only reads; see :func:`translate`.

    Args:
        overdue: the statement has had all the time it may take.
    """
    if overdue and is_cancelled(error):
        return Unavailable("statement_timeout")
    found = translate(error)
    return ReadOnly("read_only_session") if found.code == "database_read_only" and not write else found


def translate(error: BaseException, *, tables: Tables | None = None, entity: type[Any] | None = None) -> CRMError:
    """Say what a database's error means.

    Args:
        error: what SQLAlchemy or a driver raised.
        tables: with them, a unique violation names entity and field in ``details``.
        entity: what was written; its field is named where the violated rule belongs to its table or a table of its lists.

    Returns:
        An error to raise from *error*. ``params["retryable"]`` is True where nothing was changed and the whole transaction can be
        tried again.
    """
    driver = _driver_error(error)
    if isinstance(driver, CRMError):
        return driver
    rate = re.search(_MISSING_RATE, str(driver))
    if rate:
        return Invalid("missing_rate", base=rate[1], quote=rate[2], day=rate[3])
    made = _meaning(error, driver)
    if made.code == "not_unique" and tables is not None:
        made = _named(driver, tables, entity) or made
    _withhold(error)
    return made


def _withhold(error: BaseException | None) -> None:
    """Take the values out of a database's error and what caused it: as the cause of ours it goes into the host's logs.

    SQLAlchemy writes the parameters of the statement; PostgreSQL the values of a key in its second line, and wrong values in its first.
    """
    while error is not None and is_database_error(error):
        if isinstance(error, StatementError):
            error.hide_parameters = True
        if error.args and isinstance(error.args[0], str):
            told = "the value does not fit" if (_sqlstate(error) or "").startswith("22") else error.args[0].partition("\n")[0]
            error.args = (told, *error.args[1:])
        error = error.__cause__ or error.__context__


def retryable(error: BaseException) -> bool:
    """Say whether the whole transaction may be tried again: busy, deadlock, serialization failure, a lost connection before COMMIT.

    It does not matter whether a plugin's code ran when it happened.
    """
    if isinstance(error, PluginFailed) and error.__cause__ is not None:
        return retryable(error.__cause__)
    if not isinstance(error, CRMError):
        if not is_database_error(error):
            return False
        error = translate(error)
    return error.params.get("retryable") is True


def unique_columns(error: BaseException, metadata: MetaData) -> tuple[Table, tuple[str, ...]] | None:
    """Find the table and columns of the unique index that *error* says is violated; None for any other error."""
    driver = _driver_error(error)
    by_name = {t.name: t for t in metadata.tables.values()}
    found = re.search(r"UNIQUE constraint failed: ([^:]+)$", str(driver))
    if found:
        pairs = [p.strip().rpartition(".") for p in found[1].split(",")]
        table = by_name.get(pairs[0][0])
        return None if table is None else (table, tuple(p[2] for p in pairs))
    if _sqlstate(driver) != "23505":
        return None
    table = by_name.get(_diagnosis(driver, "table_name"))
    if table is None:
        return None
    name = _diagnosis(driver, "constraint_name")
    for index in table.indexes:
        if index.name == name:
            return table, tuple(c.name for c in index.columns)
    return table, tuple(c.name for c in table.primary_key.columns)


def _driver_error(error: BaseException) -> BaseException:
    return error.orig if isinstance(error, StatementError) and error.orig is not None else error


def _meaning(error: BaseException, driver: BaseException) -> CRMError:
    if isinstance(error, PoolTimeout):
        return _again("pool_exhausted")
    if isinstance(driver, OverflowError):
        return Invalid("too_big")
    if isinstance(driver, UnicodeEncodeError):
        return Invalid("control_character")
    if isinstance(error, PendingRollbackError):
        return _again("connection_lost") if error.code == _INVALIDATED else Refused("host_transaction_failed")
    code = getattr(driver, "sqlite_errorcode", None)
    if code is None and isinstance(error, DBAPIError) and error.connection_invalidated:
        return _again("connection_lost")
    make = _SQLITE.get(code, _SQLITE.get(code & 0xFF)) if code is not None else None
    state = _sqlstate(driver) or ""
    if make is None:
        make = next((_POSTGRESQL[state[:n]] for n in (5, 2) if state[:n] in _POSTGRESQL), None)
    if make is None:
        make = next((m for words, m in _WORDS.items() if words in str(driver)), None)
    if make is not None:
        return make()
    # A failed connect carries no SQLSTATE.
    if code is None and not state and type(driver).__name__ == "OperationalError":
        return Unavailable("cannot_open", retryable=True)
    reason = str(driver).partition("\n")[0]
    mistaken = (state.startswith("42") and state not in _OTHER_TYPES) or (
        code is not None and code & 0xFF == sqlite3.SQLITE_ERROR and any(w in reason for w in _MISTAKEN)
    )
    return StatementFailed(reason=reason) if mistaken else Unavailable("database_failed", reason=reason)


def _sources(driver: BaseException) -> Iterator[Any]:
    """Yield the driver's error and what it wraps: SQLAlchemy's asyncpg adapter puts its own in between."""
    current: BaseException | None = driver
    while current is not None:
        yield current
        yield getattr(current, "diag", None)
        current = current.__cause__


def _sqlstate(driver: BaseException) -> str | None:
    return next((str(s) for e in _sources(driver) if (s := getattr(e, "sqlstate", None))), None)


def _diagnosis(driver: BaseException, name: str) -> str:
    return next((str(v) for e in _sources(driver) if (v := getattr(e, name, None))), "")


def _named(driver: BaseException, tables: Tables, entity: type[Any] | None) -> CRMError | None:
    """Name the entity and field whose value is taken, or whose list has two primary entries."""
    found = unique_columns(driver, tables.metadata)
    if found is None:
        return None
    table, columns = found
    for owner, owned in tables.entities.items():
        if owned is table:
            wanted = [c for c in columns if c != "tenant"]
            fields = [f.name for f in spec(owner).fields.values() if f.column in wanted or f.blind_column in wanted] or wanted
            details = [Detail(spec(owner).name, name, "not_unique") for name in fields]
            return Conflict("not_unique", details=details, entity=spec(owner).name, field=fields[0])
    for (owner, column), listed in tables.lists.items():
        if listed is table and (entity is None or owner is entity):
            return Invalid(details=[Detail(spec(owner).name, column, "two_primaries")])
    return None
