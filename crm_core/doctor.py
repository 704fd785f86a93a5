"""Is all well? What runs, looked at from the database up: each finding says what was looked at, how it is, and what to do."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import attrs
from sqlalchemy import Connection, Integer, func, select, text

from .errors import CRMError
from .events.journal import Entry, last_position, read
from .events.subscription import database_now
from .storage.sqlite import affected_by_wal_reset
from .versions import Version, VersionRange

if TYPE_CHECKING:
    from .crm import CRM
    from .lifecycle import PluginStatus

Level = Literal["ok", "warning", "error"]

BEHIND_EVENTS = 10_000
BEHIND_SECONDS = 300.0
OPEN_SECONDS = 300.0
DRIFT_SECONDS = 2.0
PARKED_LIMIT = 1_000
# What PostgreSQL must not have been told, if an acknowledged commit is to outlive a power cut.
_SERVER = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": ("on", "remote_apply", "remote_write", "local")}
_WRITERS = """
    SELECT a.pid, extract(epoch FROM clock_timestamp() - a.xact_start) AS seconds, a.state, coalesce(a.application_name, '') AS application
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted AND l.relation = CAST(:journal AS regclass)
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND a.pid <> pg_backend_pid()
    ORDER BY a.xact_start LIMIT 1
"""


@attrs.frozen
class Finding:
    """What a look at one thing found.

    Attributes:
        check: what was looked at: ``database``, ``log``, ``schema``, ``events``, ``sequencer``, ``parked``, ``keys``, ``clock``,
            ``plugins``, ``adoption``, ``upgrade``.
        level: ``ok``; ``warning``: somebody should look at it; ``error``: something does not work or may be lost.
        code, params: the message, for the catalogues.
    """

    check: str
    level: Level
    code: str
    params: Mapping[str, Any] = attrs.field(factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Write it as plain JSON, without words."""
        return {"check": self.check, "level": self.level, "code": self.code, **self.params}


def examine(crm: CRM, *, against: Mapping[str, str] | None = None) -> list[Finding]:
    """Look at everything and change nothing; a check that itself fails is a finding.

    Args:
        against: versions of ``core`` and of plugins that an upgrade would bring, by name: do those that require them go with them?

    Raises:
        LoadError: ``bad_version`` or ``plugin_unknown`` in *against*.
    """
    found = list(upgrade(crm, against or {}))
    for name, look in _CHECKS.items():
        if name in _OF_TABLES and any((f.check, f.level) == ("schema", "error") for f in found):
            continue  # they would all say the same
        try:
            found += look(crm)
        except CRMError as error:
            found.append(Finding(name, "error", error.code, error.params))
    return found


def worst(findings: list[Finding]) -> Level:
    """Return the worst level among findings."""
    levels = {f.level for f in findings}
    return "error" if "error" in levels else "warning" if "warning" in levels else "ok"


def upgrade(crm: CRM, against: Mapping[str, str]) -> Iterator[Finding]:
    """Say which loaded plugins would not go with other versions of what they require."""
    versions = {crm.registry.plugin(name).name: Version.parse(given) for name, given in against.items()}
    bad = False
    for plugin in crm.registry.plugins:
        for other in versions.keys() & plugin.requires.keys():
            allowed = VersionRange.parse(plugin.requires[other])
            if versions[other] not in allowed:
                bad = True
                why = {"reason": allowed.explain(versions[other]), "needed": str(allowed)}
                yield Finding("upgrade", "error", "doctor_upgrade", {"plugin": plugin.name, "other": other, **why})
    if versions and not bad:
        yield Finding("upgrade", "ok", "doctor_upgrade_ok", {"versions": [f"{n} {v}" for n, v in versions.items()]})


def _database(crm: CRM) -> Iterator[Finding]:
    with crm.bound.begin(write=False, unlimited=True) as connection:
        if crm.bound.kind == "sqlite":
            yield from _sqlite(crm, connection)
        else:
            yield from _postgresql(connection)


def _sqlite(crm: CRM, connection: Connection) -> Iterator[Finding]:
    version = str(connection.exec_driver_sql("SELECT sqlite_version()").scalar_one())
    names = ("journal_mode", "synchronous", "foreign_keys")
    settings = {name: str(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()) for name in names}
    facts = {"version": version, "settings": settings}
    sound = True
    if not crm.bound.shared and settings["journal_mode"] != "wal":
        sound = False
        yield Finding("database", "warning", "doctor_no_wal", {**facts, "value": settings["journal_mode"]})
    if not crm.bound.shared and affected_by_wal_reset(tuple(map(int, version.split(".")))):
        sound = False
        yield Finding("database", "warning", "doctor_sqlite_old", facts)
    if sound:
        yield Finding("database", "ok", "doctor_database", {"database": "SQLite", **facts})


def _postgresql(connection: Connection) -> Iterator[Finding]:
    names = (*_SERVER, "server_version", "server_encoding")
    settings = {name: str(connection.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in names}
    facts = {"version": settings.pop("server_version"), "settings": settings}
    for name, sound in _SERVER.items():
        if settings[name] not in sound:
            yield Finding("database", "error", "doctor_unsafe_setting", {**facts, "setting": name, "value": settings[name]})
    if settings["server_encoding"] != "UTF8":
        yield Finding("database", "error", "doctor_encoding", {**facts, "value": settings["server_encoding"]})
    yield Finding("database", "ok", "doctor_database", {"database": "PostgreSQL", **facts})


def _schema(crm: CRM) -> Iterator[Finding]:
    crm.migrations.check()
    yield Finding("schema", "ok", "doctor_schema", {"revisions": crm.migrations.current()})
    if crm.bound.kind == "sqlite":
        yield from _reused(crm)


def _reused(crm: CRM) -> Iterator[Finding]:
    """Say whose keys come again: without AUTOINCREMENT, SQLite gives the key of the newest row, once it is deleted, to the next one."""
    with crm.bound.begin(write=False, unlimited=True) as connection:
        for adoption in crm.tables.adopted.values():
            columns = list(adoption.table.primary_key)
            made = text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :name")
            written = str(connection.execute(made, {"name": adoption.table.name}).scalar_one()).upper()
            if isinstance(columns[0].type, Integer) and "AUTOINCREMENT" not in written:
                yield Finding("schema", "warning", "doctor_key_reused", {"entity": adoption.name, "table": adoption.table.name})


def _events(crm: CRM) -> Iterator[Finding]:
    table = crm.tables.system.subscription
    late: Finding | None = None
    with crm.bound.begin(write=False, unlimited=True) as connection:
        positions = {row.name: row.position for row in connection.execute(select(table.c.name, table.c.position))}
        end, now = last_position(connection, crm.tables), database_now(connection)
        for s in crm.subscribers:
            waits = read(connection, crm.tables, after=positions.get(s.name, end), upto=end, limit=1, names=s.events)
            if waits:
                # Events that nobody hears do not make it late, but they stand between.
                events, seconds = end - positions[s.name], round((now - _written(waits[0])).total_seconds(), 1)
                level: Level = "warning" if events > BEHIND_EVENTS or seconds > BEHIND_SECONDS else "ok"
                if late is None or seconds > late.params["seconds"]:
                    late = Finding("events", level, "doctor_behind", {"subscription": s.name, "events": events, "seconds": seconds})
    missing = sorted({s.name for s in crm.subscribers} - positions.keys())
    if missing:
        yield Finding("events", "warning", "doctor_unregistered", {"subscriptions": missing})
    yield late or Finding("events", "ok", "doctor_events", {"count": len(positions)})


def _written(entry: Entry) -> datetime:
    """Return when a row of the journal was written: its event's id tells, for a host's row that is taken up is dated when it was made."""
    return max(entry.at, datetime.fromtimestamp((UUID(entry.payload["id"]).int >> 80) / 1000, UTC))


def _sequencer(crm: CRM) -> Iterator[Finding]:
    if crm.bound.kind != "postgresql":
        return
    journal, places = crm.tables.system.journal, crm.tables.system.journal_position
    with crm.bound.begin(write=False, unlimited=True) as connection:
        floor = connection.execute(select(func.coalesce(func.max(crm.tables.system.sequencer.c.floor), 0))).scalar_one()
        known = select(places.c.journal_id).where(places.c.journal_id == journal.c.id)
        waits = select(func.count(), func.min(journal.c.at)).where(journal.c.id > floor, ~known.exists())
        count, oldest = connection.execute(waits).one()
        now = database_now(connection)
        name = connection.dialect.identifier_preparer.format_table(journal)
        writer = connection.execute(text(_WRITERS), {"journal": name}).mappings().one_or_none()
    seconds = round((now - oldest).total_seconds(), 1) if count else 0.0
    level: Level = "warning" if seconds > BEHIND_SECONDS else "ok"
    yield Finding("sequencer", level, "doctor_unsequenced" if count else "doctor_sequenced", {"count": count, "seconds": seconds})
    if writer is not None:
        open_for = round(float(writer["seconds"] or 0), 1)
        facts = {"pid": writer["pid"], "seconds": open_for, "state": writer["state"] or "", "application": writer["application"]}
        yield Finding("sequencer", "warning" if open_for > OPEN_SECONDS else "ok", "doctor_open", facts)


def _parked(crm: CRM) -> Iterator[Finding]:
    lines = crm.delivery.parked(limit=PARKED_LIMIT)
    states = Counter(line.state for line in lines)
    if not lines:
        yield Finding("parked", "ok", "doctor_parked_none")
        return
    facts = {"lines": len(lines), **{state: states[state] for state in ("held", "waiting", "resting")}}
    named = sorted({line.subscription for line in lines})
    yield Finding("parked", "warning", "doctor_parked", {**facts, "subscriptions": named})


def _keys(crm: CRM) -> Iterator[Finding]:
    sealer = crm.tables.sealer
    if sealer is None:
        yield Finding("keys", "ok", "doctor_no_keys")
        return
    states = crm.keys.status()
    with crm.bound.begin(write=False, unlimited=True) as connection:
        for state in states:
            sealer.keyring.tenant_key(connection, state.tenant)
    rotating = [state.tenant for state in states if state.rotating]
    destroyed = sum(state.subjects.get("destroyed", 0) for state in states)
    facts = {"tenants": len(states), "rotating": rotating, "destroyed": destroyed}
    yield Finding("keys", "warning" if rotating else "ok", "doctor_rotating" if rotating else "doctor_keys", facts)


def _clock(crm: CRM) -> Iterator[Finding]:
    with crm.bound.begin(write=False, unlimited=True) as connection:
        drift = abs((database_now(connection) - crm.runtime.clock.now()).total_seconds())
    apart = drift > DRIFT_SECONDS
    yield Finding("clock", "warning" if apart else "ok", "doctor_drift" if apart else "doctor_clock", {"seconds": round(drift, 1)})


def _plugins(crm: CRM) -> Iterator[Finding]:
    if crm.safe_mode:
        yield Finding("plugins", "warning", "doctor_safe_mode")
    crm.quarantine.look()
    sound, kept = 0, crm.plugins.list()
    yield from (found for status in kept if (found := _switched(crm, status)) is not None)
    off = {status.name for status in kept if status.state != "enabled"}
    for health in (h for h in crm.plugins_health() if h.plugin not in off):
        facts = {"plugin": health.plugin, "function": health.function, "count": health.failures, "reason": health.reason}
        if health.since is not None:
            told = {"since": health.since.isoformat(timespec="seconds"), "tenants": list(health.tenants)}
            yield Finding("plugins", "error", "doctor_quarantined", {**facts, **told})
        elif health.failures:
            yield Finding("plugins", "warning", "doctor_failing", facts)
        else:
            sound += 1
    yield Finding("plugins", "ok", "doctor_plugins", {"count": sound})


def _switched(crm: CRM, status: PluginStatus) -> Finding | None:
    """Say that a plugin is off, or has data here and no code; None where it is as it should be."""
    facts = {"plugin": status.name, "state": status.state}
    if crm.safe_mode:
        return None
    if not status.loaded:
        found = crm.plugins.removal(status.name)
        return Finding(
            "plugins", "ok", "doctor_data_without_plugin", {**facts, "tables": len(found.rows), "rows": sum(found.rows.values())}
        )
    if status.state in ("disabled", "stopped"):
        told = {"since": status.since.isoformat(timespec="seconds"), "reason": status.reason}
        return Finding("plugins", "warning", "doctor_disabled", {**facts, **told})
    return Finding("plugins", "warning", "doctor_uninstalled", facts) if status.state == "uninstalled" else None


def _log(crm: CRM) -> Iterator[Finding]:
    engine = getattr(crm.bound.engine, "sync_engine", crm.bound.engine)
    if engine.logger.isEnabledFor(logging.INFO) and not engine.hide_parameters:
        yield Finding("log", "warning", "doctor_log_values")
    else:
        yield Finding("log", "ok", "doctor_log")


def _adoption(crm: CRM) -> Iterator[Finding]:
    for adoption in crm.adoption.unobserved:
        yield Finding("adoption", "warning", "doctor_unobserved", {"entity": adoption.name, "table": adoption.table.name})


_CHECKS: Mapping[str, Callable[[CRM], Iterator[Finding]]] = {
    "database": _database,
    "log": _log,
    "schema": _schema,
    "events": _events,
    "sequencer": _sequencer,
    "parked": _parked,
    "keys": _keys,
    "clock": _clock,
    "plugins": _plugins,
    "adoption": _adoption,
}
_OF_TABLES = {"events", "sequencer", "parked", "keys", "plugins"}
