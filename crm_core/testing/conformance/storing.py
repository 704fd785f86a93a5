"""Rules of what is stored: names, and migrations there and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import SQLAlchemyError

from ...errors import CRMError
from ..databases import Databases
from .exercise import SETUP
from .rule import Unproved, rule
from .subject import Subject
from .wording import core_codes, raised


@rule("CK06", "prefixed")
def prefixed(subject: Subject) -> Iterator[str]:
    """Its tables, columns, hooks, events, roles, permissions, messages and error codes carry its name."""
    error = subject.load_error
    if error is not None:
        if error.code == "name_unprefixed":
            yield str(error)
        return
    allowed = tuple(f"{name}." for name in (*subject.names, *subject.plugin.requires))
    for code, where in raised(subject.source).items():
        if code not in core_codes() and not code.startswith(allowed):
            yield f"{where} raises {code!r}: begin the code with {subject.plugin.name!r} and a dot"
    with subject.crm(migrate=False) as crm:
        mine = subject.plugin.name.replace(".", "_")
        for table in map(crm.tables.name, subject.plugin.definitions.entities):
            if not table.startswith(f"{crm.tables.prefix}{mine}"):
                yield f"the table {table} does not begin with {crm.tables.prefix}{mine}"


@rule("CK07", "migrates")
def migrates(subject: Subject) -> Iterator[str]:
    """Its tables go up, down and up again on each database, also where there are records already, and are what the code declares."""
    if subject.drift:
        if not subject.drift.reasons:
            raise Unproved(subject.drift.short)
        yield from subject.drift.reasons
        return
    for name, source in subject.databases.items():
        yield from (f"on {name}: {reason}" for reason in _there_and_back(subject, source))
    subject.note(f"databases: {', '.join(subject.databases)}")


def _there_and_back(subject: Subject, source: Databases) -> Iterator[str]:
    database = source.create()
    try:
        with subject.crm(url=database.url, without=True) as host, host.session(SETUP) as session:
            for entity in dict.fromkeys(e for e, _ in subject.plugin.definitions.extensions):
                factory = subject.factory()
                factory.make(session, entity)
                factory.make(session, entity)
        with subject.crm(url=database.url, migrate=False) as crm:
            crm.migrations.upgrade()
            with crm.bound.begin() as connection:
                yield from _missing(crm, connection)
                up = _schema(crm, connection)
                crm.migrations.downgrade(connection, subject.plugin.name)
                left = sorted(t for t in _schema(crm, connection) if _owner(crm, t) == subject.plugin.name)
                yield from (f"the table {t} is still there after the migration down" for t in left)
            crm.migrations.upgrade()
            with crm.bound.begin(write=False) as connection:
                again = _schema(crm, connection)
            yield from (f"the table {t} is another after up, down and up" for t in sorted({*up, *again}) if up.get(t) != again.get(t))
    except (CRMError, SQLAlchemyError) as e:
        yield f"the migration fails: {e}"
    finally:
        source.drop(database)


def _schema(crm: Any, connection: Connection) -> dict[str, list[tuple[str, str, bool]]]:
    own = [t.name for t in (*crm.tables.entities.values(), *crm.tables.lists.values(), *crm.tables.links.values())]
    found = inspect(connection).get_multi_columns(filter_names=own)
    return {table: sorted((c["name"], str(c["type"]), c["nullable"]) for c in columns) for (_, table), columns in found.items()}


def _owner(crm: Any, table: str) -> str:
    return str(crm.tables.metadata.tables[table].info["plugin"])


def _missing(crm: Any, connection: Connection) -> Iterator[str]:
    there = _schema(crm, connection)
    for table in (*crm.tables.entities.values(), *crm.tables.lists.values(), *crm.tables.links.values()):
        columns = {name for name, _, _ in there.get(table.name, [])}
        for column in (c.name for c in table.c if c.name not in columns):
            yield f"the revisions do not make {table.name}.{column}, which the code declares: freeze a revision"
