"""The core's own tables: the journal and its seals, deliveries, directory mirror, shares, roles, settings, idempotency, rollups, ..."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Boolean, Column, Identity, Index, Integer, MetaData, Table, Text, text
from sqlalchemy.types import UserDefinedType

from ..entities.sqltypes import PLAIN_JSON, DecimalType, IdType, InstantType, text_type


class Xid(UserDefinedType[int]):
    """PostgreSQL's xid8: which transaction wrote a row."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


def _tenant(*, key: bool = False) -> Column[str]:
    return Column("tenant", text_type(63), nullable=False, primary_key=key)


def _journal(metadata: MetaData, prefix: str) -> tuple[Table, ...]:
    """Declare the journal, its positions, seals and checkpoints."""
    journal = Table(
        f"{prefix}journal",
        metadata,
        Column("id", BigInteger().with_variant(Integer(), "sqlite"), Identity(always=True), primary_key=True, autoincrement=True),
        _tenant(),
        Column("at", InstantType(), nullable=False),
        Column("actor", text_type(255), nullable=False),
        Column("on_behalf_of", text_type(255)),
        Column("plugin", text_type(63), nullable=False, server_default=""),
        Column("reason", Text()),
        Column("request", text_type(255)),
        Column("entity", text_type(127), nullable=False),
        Column("record", IdType(), nullable=False),
        Column("version", BigInteger(), nullable=False),
        Column("kind", text_type(127), nullable=False),
        Column("format", Integer(), nullable=False),
        Column("payload", PLAIN_JSON, nullable=False),
        Column("personal", PLAIN_JSON),
        Column("key_id", text_type(63)),
        Index(f"{prefix}journal_record", "record", "version"),
        # What changed since an instant. It begins with the instant, so that no look-up of one record takes it for a shorter way.
        Index(f"{prefix}journal_at", "at", "tenant", "entity"),
        sqlite_autoincrement=True,
    )
    # Which transaction wrote the row, for the outcome of a broken commit; only PostgreSQL has it.
    journal.append_column(Column("xid", Xid().with_variant(Integer(), "sqlite"), server_default=None))
    journal_position = Table(
        f"{prefix}journal_position",
        metadata,
        Column("position", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
        Column("journal_id", BigInteger(), nullable=False, unique=True),
    )
    seal = Table(
        f"{prefix}seal",
        metadata,
        _tenant(key=True),
        Column("number", BigInteger(), primary_key=True, autoincrement=False),
        Column("position", BigInteger(), nullable=False, unique=True),
        Column("personal", text_type(64)),
        Column("hash", text_type(64), nullable=False),
    )
    checkpoint = Table(
        f"{prefix}checkpoint",
        metadata,
        _tenant(key=True),
        Column("number", BigInteger(), primary_key=True, autoincrement=False),
        Column("head", text_type(64), nullable=False),
        Column("at", InstantType(), nullable=False),
        Column("key_id", text_type(63)),
        Column("signature", text_type(127)),
    )
    return journal, journal_position, seal, checkpoint


def _deliveries(metadata: MetaData, prefix: str) -> tuple[Table, ...]:
    """Declare what is delivered to whom, and what was done under which key."""
    subscription = Table(
        f"{prefix}subscription",
        metadata,
        Column("name", text_type(255), primary_key=True),
        Column("position", BigInteger(), nullable=False),
        Column("token", BigInteger(), nullable=False),
        Column("until", InstantType()),
        Column("updated_at", InstantType(), nullable=False),
    )
    parking = Table(
        f"{prefix}parking",
        metadata,
        Column("subscription", text_type(255), primary_key=True),
        Column("record", IdType(), primary_key=True),
        Column("position", BigInteger(), primary_key=True, autoincrement=False),
        Column("attempts", Integer(), nullable=False),
        Column("next_try", InstantType()),
        Column("error", Text()),
        Column("state", text_type(15), nullable=False),
        Index(f"{prefix}parking_due", "subscription", "state", "next_try"),
    )
    sequencer = Table(
        f"{prefix}sequencer",
        metadata,
        Column("id", Integer(), primary_key=True, autoincrement=False),
        Column("floor", BigInteger(), nullable=False),
        Column("mark", BigInteger(), nullable=False),
        Column("waiting", PLAIN_JSON, nullable=False),
    )
    idempotency = Table(
        f"{prefix}idempotency",
        metadata,
        _tenant(key=True),
        Column("key", text_type(255), primary_key=True),
        Column("actor", text_type(255), nullable=False),
        Column("at", InstantType(), nullable=False),
        Column("result", PLAIN_JSON),
    )
    return subscription, parking, sequencer, idempotency


def _people(metadata: MetaData, prefix: str) -> tuple[Table, ...]:
    """Declare the directory's mirror, and what is shared with whom."""
    member = Table(
        f"{prefix}member",
        metadata,
        _tenant(key=True),
        Column("user_id", text_type(255), primary_key=True),
        Column("ancestor", text_type(255), primary_key=True),
        Column("depth", Integer(), nullable=False),
        Index(f"{prefix}member_ancestor", "tenant", "ancestor", "user_id"),
    )
    team_member = Table(
        f"{prefix}team_member",
        metadata,
        _tenant(key=True),
        Column("user_id", text_type(255), primary_key=True),
        Column("team", text_type(255), primary_key=True),
        Index(f"{prefix}team_member_team", "tenant", "team", "user_id"),
    )
    directory_state = Table(
        f"{prefix}directory_state",
        metadata,
        _tenant(key=True),
        Column("digest", text_type(64), nullable=False),
        Column("refreshed_at", InstantType(), nullable=False),
    )
    share = Table(
        f"{prefix}share",
        metadata,
        _tenant(key=True),
        Column("entity", text_type(127), primary_key=True),
        Column("record", IdType(), primary_key=True),
        Column("grantee", text_type(255), primary_key=True),
        Column("action", text_type(63), primary_key=True),
        Column("at", InstantType(), nullable=False),
        Column("actor", text_type(255), nullable=False),
        # In this order it serves "what is shared with me" better than the key does, which SQLite would take without statistics.
        Index(f"{prefix}share_grantee", "tenant", "entity", "grantee", "action", "record"),
    )
    return member, team_member, directory_state, share


def _decided(metadata: MetaData, prefix: str) -> tuple[Table, ...]:
    """Declare what tenants decided, what is summed for them, and which plugins rest."""
    role = Table(
        f"{prefix}role",
        metadata,
        _tenant(key=True),
        Column("name", text_type(255), primary_key=True),
        Column("definition", PLAIN_JSON, nullable=False),
        Column("at", InstantType(), nullable=False),
        Column("actor", text_type(255), nullable=False),
    )
    setting = Table(
        f"{prefix}setting",
        metadata,
        _tenant(key=True),
        Column("plugin", text_type(63), primary_key=True),
        Column("data", PLAIN_JSON, nullable=False),
        Column("at", InstantType(), nullable=False),
        Column("actor", text_type(255), nullable=False),
    )
    rollup = Table(
        f"{prefix}rollup",
        metadata,
        _tenant(key=True),
        Column("rollup", text_type(127), primary_key=True),
        Column("cell", text_type(64), primary_key=True),
        Column("key", Text(), nullable=False),
        Column("records", BigInteger(), nullable=False),
        Column("amount", DecimalType(), nullable=False),
    )
    quarantine = Table(
        f"{prefix}quarantine",
        metadata,
        Column("plugin", text_type(63), primary_key=True),
        _tenant(key=True),
        Column("version", text_type(63), nullable=False),
        Column("since", InstantType(), nullable=False),
        Column("function", text_type(255), nullable=False),
        Column("failures", Integer(), nullable=False),
        Column("reason", Text(), nullable=False),
    )
    return role, setting, rollup, quarantine


def _private(metadata: MetaData, prefix: str) -> tuple[Table, ...]:
    """Declare keys, and what people asked for."""
    current = text("state = 'current'")
    key = Table(
        f"{prefix}key",
        metadata,
        Column("id", text_type(16), primary_key=True),
        _tenant(),
        Column("kind", text_type(7), nullable=False),
        Column("subject", text_type(191), nullable=False),
        Column("version", Integer(), nullable=False),
        Column("parent", text_type(63)),
        Column("wrapped", Text()),
        Column("state", text_type(15), nullable=False),
        Column("at", InstantType(), nullable=False),
        Column("until", InstantType()),
        Index(f"{prefix}key_current", "tenant", "kind", "subject", unique=True, sqlite_where=current),
        Index(f"{prefix}key_subject", "tenant", "kind", "subject", "state"),
        Index(f"{prefix}key_parent", "parent"),
    )
    suppression = Table(
        f"{prefix}suppression",
        metadata,
        _tenant(key=True),
        Column("digest", text_type(64), primary_key=True),
        Column("salt", text_type(32), nullable=False),
        Column("reason", text_type(15), nullable=False),
        Column("at", InstantType(), nullable=False),
    )
    person_mark = Table(
        f"{prefix}person_mark",
        metadata,
        _tenant(key=True),
        Column("mark", text_type(15), primary_key=True),
        Column("record", IdType(), primary_key=True),
        Column("entity", text_type(127), nullable=False),
        Column("reason", text_type(255), nullable=False),
        Column("at", InstantType(), nullable=False),
        Column("actor", text_type(255), nullable=False),
    )
    return key, suppression, person_mark


def _at_work(metadata: MetaData, prefix: str) -> tuple[Table, ...]:
    """Declare the jobs, their runs, the tenants, and which plugins left what here."""
    job = Table(
        f"{prefix}job",
        metadata,
        Column("name", text_type(255), primary_key=True),
        _tenant(key=True),
        Column("slot", InstantType(), nullable=False),
        Column("state", text_type(15), nullable=False),
        Column("attempts", Integer(), nullable=False),
        Column("next_try", InstantType()),
        Column("token", BigInteger(), nullable=False),
        Column("until", InstantType()),
        Column("run", IdType()),
        Column("checkpoint", PLAIN_JSON),
    )
    job_run = Table(
        f"{prefix}job_run",
        metadata,
        Column("id", IdType(), primary_key=True),
        Column("job", text_type(255), nullable=False),
        _tenant(),
        Column("slot", InstantType(), nullable=False),
        Column("attempt", Integer(), nullable=False),
        Column("state", text_type(15), nullable=False),
        Column("started_at", InstantType(), nullable=False),
        Column("ended_at", InstantType()),
        Column("done", BigInteger()),
        Column("total", BigInteger()),
        Column("error", Text()),
        Index(f"{prefix}job_run_log", "job", "tenant", "started_at"),
    )
    tenant = Table(
        f"{prefix}tenant",
        metadata,
        _tenant(key=True),
        Column("label", text_type(255), nullable=False),
        Column("state", text_type(15), nullable=False),
        Column("modules", PLAIN_JSON),
        Column("created_at", InstantType(), nullable=False),
        Column("at", InstantType(), nullable=False),
        Column("actor", text_type(255), nullable=False),
    )
    plugin = Table(
        f"{prefix}plugin",
        metadata,
        Column("plugin", text_type(63), primary_key=True),
        Column("version", text_type(63), nullable=False),
        Column("state", text_type(15), nullable=False),
        Column("requires", PLAIN_JSON, nullable=False),
        Column("companion", Boolean(), nullable=False),
        Column("revision", text_type(63), nullable=False),
        Column("steps", PLAIN_JSON, nullable=False),
        Column("since", InstantType(), nullable=False),
        Column("reason", text_type(255)),
        Column("actor", text_type(255), nullable=False),
        Column("told", text_type(63)),
    )
    return job, job_run, tenant, plugin


def _custom(metadata: MetaData, prefix: str) -> tuple[Table, ...]:
    """Declare the values of custom fields."""
    as_text, as_number, is_key = text("text IS NOT NULL"), text("number IS NOT NULL"), text("key IS NOT NULL")
    # Of a custom field and a record: the value as a text or a whole number, each behind an index of its own; and again as a text,
    # where no two living records may share it.
    custom_value = Table(
        f"{prefix}custom_value",
        metadata,
        Column("record", IdType(), primary_key=True),
        Column("field", IdType(), primary_key=True),
        _tenant(),
        Column("text", text_type(500)),
        Column("number", BigInteger()),
        Column("key", text_type(500)),
        Index(f"{prefix}custom_value_text", "field", "text", "record", sqlite_where=as_text),
        Index(f"{prefix}custom_value_number", "field", "number", "record", sqlite_where=as_number),
        Index(f"{prefix}custom_value_key", "field", "key", unique=True, sqlite_where=is_key),
        Index(f"{prefix}custom_value_tenant", "tenant"),
    )
    return (custom_value,)


# What declares which, in the order in which they are described.
_ROOMS: Mapping[Callable[[MetaData, str], tuple[Table, ...]], tuple[str, ...]] = {
    _journal: ("journal", "journal_position", "seal", "checkpoint"),
    _deliveries: ("subscription", "parking", "sequencer", "idempotency"),
    _people: ("member", "team_member", "directory_state", "share"),
    _decided: ("role", "setting", "rollup", "quarantine"),
    _private: ("key", "suppression", "person_mark"),
    _at_work: ("job", "job_run", "tenant", "plugin"),
    _custom: ("custom_value",),
}
_DECLARING = {name: (declare, names) for declare, names in _ROOMS.items() for name in names}


class SystemTables:
    """The tables that are not entities, made when they are first asked for. Each is documented where it is used.

    Attributes:
        table_names: what they are called in the database.
    """

    journal: Table
    journal_position: Table
    seal: Table
    checkpoint: Table
    subscription: Table
    parking: Table
    sequencer: Table
    idempotency: Table
    member: Table
    team_member: Table
    directory_state: Table
    share: Table
    role: Table
    setting: Table
    rollup: Table
    quarantine: Table
    key: Table
    suppression: Table
    person_mark: Table
    job: Table
    job_run: Table
    tenant: Table
    plugin: Table
    custom_value: Table

    def __init__(self, metadata: MetaData, prefix: str, making: AbstractContextManager[Any]) -> None:
        self._metadata = metadata
        self._prefix = prefix
        self._making = making
        self.table_names = [f"{prefix}{name}" for name in _DECLARING]

    def by_name(self) -> Mapping[str, Table]:
        """Return all of them by their attributes' names."""
        return {name: getattr(self, name) for name in _DECLARING}

    if not TYPE_CHECKING:  # a type checker would take it for the permission to read any name

        def __getattr__(self, name: str) -> Table:
            if name not in _DECLARING:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            declare, names = _DECLARING[name]
            with self._making:
                if name not in vars(self):
                    tables = declare(self._metadata, self._prefix)
                    for table in tables:
                        table.info["plugin"] = ""
                    vars(self).update(zip(names, tables, strict=True))
            return vars(self)[name]
