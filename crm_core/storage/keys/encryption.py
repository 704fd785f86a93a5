"""Encryption of what is there already: a field was declared sealed after rows had it open.

Rows are sealed a batch a transaction, each compared with what was read, while others work. What is left to do stands in the rows
themselves, so whatever stops it, the next call goes on. The journal never changes: what it has of the field from before stays as it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    bindparam,
    case,
    cast,
    inspect,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.exc import IntegrityError

from ...entities.meta import spec
from ...entities.sealed import place_name, sealed_text
from ...entities.sqltypes import type_of
from .standing import ENVELOPE, is_open

if TYPE_CHECKING:
    from ...entities.codec import Codec
    from ..engine import Bound
    from ..tables import Tables
    from .envelope import Key
    from .keyring import IndexKey
    from .sealer import Sealer

BATCH = 200
PAUSE = 0.05


@attrs.define
class Encrypted:
    """What an encryption did in one tenant.

    Attributes:
        rows: whose values were sealed.
        left: rows that stay as they are: what they hold is an envelope of a key that is not here, about somebody who was erased, or to be
            unique and another record's too.
    """

    tenant: str
    rows: int = 0
    left: int = 0


class Encryption:
    """Seals the rows of all tenants, or of one.

    Args:
        codecs: of the entities with sealed fields.
    """

    def __init__(self, bound: Bound, tables: Tables, sealer: Sealer, codecs: Sequence[Codec]) -> None:
        self._bound = bound
        self._tables = tables
        self._sealer = sealer
        self._codecs = codecs
        self._done: dict[str, Encrypted] = {}

    def run(self, tenant: str | None) -> list[Encrypted]:
        """Seal what is open, and return what was done, by tenant."""
        for codec in self._codecs:
            table = self._tables.entities[codec.entity]
            with self._bound.begin(unlimited=True) as connection:
                self._make_room(connection, codec, table)
            with self._bound.begin(write=False, unlimited=True) as connection:
                found = sorted(connection.execute(select(table.c.tenant).where(self._open(codec, table)).distinct()).scalars())
            for each in found:
                if tenant in (None, each):
                    self._rows(codec, table, each)
        return list(self._done.values())

    def _make_room(self, connection: Connection, codec: Codec, table: Table) -> None:
        """Let columns hold envelopes, and drop the indexes over what stands in them: they were for the values."""
        quote, sealed = connection.dialect.identifier_preparer, {field.column for _, field in codec.sealed}
        inspected = inspect(connection)
        for index in inspected.get_indexes(table.name, table.schema):
            if sealed.intersection(index["column_names"]) and index["name"]:
                schema = f"{quote.quote(table.schema)}." if table.schema else ""
                connection.exec_driver_sql(f"DROP INDEX {schema}{quote.quote(index['name'])}")
        if connection.dialect.name != "postgresql":
            return  # SQLite keeps a text in a column of any type
        for column in inspected.get_columns(table.name, table.schema):
            if column["name"] in sealed and column["type"].compile(connection.dialect).partition(" ")[0] != "TEXT":
                name = quote.quote(column["name"])
                change = f'TYPE text COLLATE "C" USING {name}::text'
                connection.exec_driver_sql(f"ALTER TABLE {quote.format_table(table)} ALTER COLUMN {name} {change}")

    def _open(self, codec: Codec, table: Table) -> ColumnElement[bool]:
        return or_(*(is_open(self._tables, table, field) for _, field in codec.sealed))

    def _rows(self, codec: Codec, table: Table, tenant: str) -> None:
        """Seal the open rows of a tenant, pass after pass until none is left; what somebody works on now waits for the next one."""
        report, kept = self._done.setdefault(tenant, Encrypted(tenant)), set[str]()
        while self._left(codec, table, tenant, kept):
            after, more = "", True
            while more:
                with self._bound.begin(unlimited=True) as connection:
                    ids, changed = self._batch(connection, codec, table, tenant, after, kept)
                report.rows, more, after = report.rows + changed, len(ids) == BATCH, ids[-1] if ids else ""
            time.sleep(PAUSE)
        report.left += len(kept)

    def _left(self, codec: Codec, table: Table, tenant: str, kept: set[str]) -> bool:
        wanted = select(table.c.id).where(table.c.tenant == tenant, self._open(codec, table)).limit(len(kept) + 1)
        with self._bound.begin(write=False, unlimited=True) as connection:
            return not kept.issuperset(map(str, connection.execute(wanted).scalars()))

    def _batch(self, connection: Connection, codec: Codec, table: Table, tenant: str, after: str, kept: set[str]) -> tuple[list[str], int]:
        """Seal up to a batch of rows; return the ids looked at, and how many were changed. What cannot be sealed goes into *kept*."""
        wanted = select(table.c.id).where(table.c.tenant == tenant, self._open(codec, table)).order_by(table.c.id).limit(BATCH)
        ids = [str(i) for i in connection.execute(wanted.where(table.c.id > after) if after else wanted).scalars()]
        # Keys before rows, as writers take them, so that none waits for the other.
        subjects = {subject for _, subject, _, _ in self._read(connection, codec, table, ids)}
        held = self._sealer.keyring.hold(connection, tenant, subjects) if subjects else {}
        searched = any(field.blind_column for _, field in codec.sealed)
        index = self._sealer.keyring.index_keys(connection, tenant, hold=True)[0] if subjects and searched else None
        free = select(table.c.id).where(table.c.id.in_(ids)).order_by(table.c.id).with_for_update(of=table, skip_locked=True)
        mine = [str(i) for i in connection.execute(free).scalars()]
        changed = 0
        for id_, subject, olds, texts in self._read(connection, codec, table, mine):
            if not texts or subject not in held:
                continue  # somebody wrote it meanwhile
            key = held[subject]
            if key is None or any(ENVELOPE.fullmatch(text) for text in texts.values()):
                kept.add(id_)
                continue
            done = self._replace(connection, codec, table, (id_, tenant, olds, texts), key, index)
            changed += done or 0
            if done is None:
                kept.add(id_)
        return ids, changed

    def _replace(
        self,
        connection: Connection,
        codec: Codec,
        table: Table,
        row: tuple[str, str, Any, Mapping[str, str]],
        key: Key,
        index: IndexKey | None,
    ) -> int | None:
        """Seal a row's open values, if they still are what was read; None where another record has one that is to be unique."""
        (id_, tenant, olds, texts), values, vault = row, dict[str, Any](), self._sealer.vault
        same = [table.c.id == id_]
        for _, field in codec.sealed:
            text, name = texts.get(field.column), place_name(codec.entity, field)
            if text is None:
                continue
            values[field.column] = vault.seal(key, tenant, name, id_, field.kind, text)
            same.append(table.c[field.column].is_not_distinct_from(bindparam(None, olds[field.column], table.c[field.column].type)))
            if field.blind_column is not None and index is not None:
                values[field.blind_column] = vault.blind(index.material, index.version, name, text)
        try:
            with connection.begin_nested() if any(f.options.unique for _, f in codec.sealed) else nullcontext():
                return int(connection.execute(update(table).where(*same).values(values)).rowcount)
        except IntegrityError:
            return None

    def _read(
        self, connection: Connection, codec: Codec, table: Table, ids: Sequence[str]
    ) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, str]]]:
        """Yield rows: id, subject, what stands open in them, and its texts."""
        fields = [field for _, field in codec.sealed]
        subject, columns = codec.subject_field, list[ColumnElement[Any]]()
        for field in fields:
            column: ColumnElement[Any] = case((is_open(self._tables, table, field), table.c[field.column]))
            read = type_coerce if connection.dialect.name == "sqlite" else cast
            columns += [column, read(column, type_of(field))]
        point = table.c.id if subject is None else table.c[subject.column]
        statement = select(table.c.id, point.label("crm_point"), *(c.label(f"crm_{n}") for n, c in enumerate(columns)))
        for id_, about, *found in connection.execute(statement.where(table.c.id.in_(ids))):
            olds = {f.column: old for f, old in zip(fields, found[::2], strict=True)}
            texts = {f.column: sealed_text(f, value) for f, value in zip(fields, found[1::2], strict=True) if value is not None}
            target = None if subject is None or about is None or subject.target is None else spec(subject.target).name
            yield str(id_), f"{codec.facts.name}/{id_}" if target is None else f"{target}/{getattr(about, 'id', about)}", olds, texts
