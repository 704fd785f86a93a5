"""Rotation: new keys for a tenant while everybody works on.

The tenant gets a new key and a new index key at once; what is written from then on uses them. Then rows are sealed anew, a batch a
transaction, each compared with what was read; subjects' keys that only the journal still needs are wrapped anew, since its rows never
change. A key is retired when nothing uses it. Whatever stops it, the next call goes on: what is left to do stands in the rows themselves.
It takes locks only where nobody else has them, and so never makes a writer wait for long nor lets one run into a deadlock.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, exists, func, or_, select, update

from ...entities.meta import spec
from ...entities.sealed import place_name
from ...entities.sealing import CELL
from ...errors import Unreadable
from .envelope import Key
from .keyring import IndexKey
from .states import CURRENT, OLD, RETIRED

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...entities.codec import Codec
    from ..engine import Bound
    from ..tables import Tables
    from .sealer import Sealer

BATCH = 200
PAUSE = 0.05


@attrs.define
class Rotated:
    """What a rotation did in one tenant.

    Attributes:
        rows: sealed anew.
        keys: of subjects, wrapped anew.
        unreadable: rows that could not be opened, since they were changed outside of the CRM; they stay as they are.
        done: nothing uses an old key any more.
    """

    tenant: str
    rows: int = 0
    keys: int = 0
    unreadable: int = 0
    done: bool = False


class Rotation:
    """The rotation of one tenant's keys.

    Args:
        codecs: of the entities with sealed fields.
    """

    def __init__(self, tenant: str, bound: Bound, tables: Tables, sealer: Sealer, codecs: Sequence[Codec]) -> None:
        self._tenant = tenant
        self._bound = bound
        self._tables = tables
        self._sealer = sealer
        self._codecs = codecs
        self._keys = tables.system.key
        self._broken: set[str] = set()

    def run(self, grace: float) -> Rotated:
        """Begin, or go on with what was begun, and return when it is done.

        Args:
            grace: seconds between the new keys and the first row, for searches that read the keys just before.
        """
        report = Rotated(self._tenant)
        with self._bound.begin() as connection:
            begun = self._begin(connection)
        if begun:
            time.sleep(grace)
        for codec in self._codecs:
            report.rows += self._rows(codec)
        report.unreadable = len(self._broken)
        while moved := self._in_turn(self._rewrap):
            report.keys += moved
        with self._bound.begin() as connection:
            report.done = self._retire(connection)
        return report

    def _begin(self, connection: Connection) -> bool:
        """Make the new keys, unless they were; writers who use the old ones to make keys or indexes are waited for."""
        keyring, table = self._sealer.keyring, self._keys
        keyring.fence(connection, self._tenant, alone=True)
        mine = (table.c.tenant == self._tenant, table.c.kind.in_(["tenant", "index"]))
        if connection.execute(select(table.c.id).where(*mine, table.c.state == OLD)).first():
            return False
        version = connection.execute(select(func.max(table.c.version)).where(*mine)).scalar()
        if version is None:
            return False
        connection.execute(update(table).where(*mine, table.c.state == CURRENT).values(state=OLD, until=keyring.now()))
        keyring.begin(connection, self._tenant, version + 1)
        return True

    # -- rows ---------------------------------------------------------------------------------------------------------------------

    def _rows(self, codec: Codec) -> int:
        """Seal the rows of an entity anew, pass after pass until none is left; what somebody works on now waits for the next one."""
        done, table = 0, self._tables.entities[codec.entity]
        while self._left(codec, table):
            after, more = "", True
            while more:
                with self._bound.begin() as connection:
                    ids, changed = self._batch(connection, codec, table, after)
                done, more, after = done + changed, len(ids) == BATCH, ids[-1] if ids else ""
            time.sleep(PAUSE)
        return done

    def _stale(self, codec: Codec, table: Table, current: Key, version: int) -> ColumnElement[bool]:
        """Say which rows use a key or index key that is being replaced."""
        keys = self._keys.alias("crm_stale")
        uses = [
            exists().where(keys.c.id == func.substr(table.c[f.column], 3, 16), keys.c.wrapped.is_not(None), keys.c.parent != current.id)
            for _, f in codec.sealed
        ]
        found = [table.c[f.blind_column].not_like(f"{version}:%") for _, f in codec.sealed if f.blind_column]
        return and_(table.c.tenant == self._tenant, or_(*uses, *found))

    def _left(self, codec: Codec, table: Table) -> bool:
        with self._bound.begin(write=False) as connection:
            current, index = self._current(connection)
            stale = self._stale(codec, table, current, index.version)
            found = connection.execute(select(table.c.id).where(stale).limit(len(self._broken) + 1)).scalars()
            return not self._broken.issuperset(found)

    def _current(self, connection: Connection) -> tuple[Key, IndexKey]:
        keyring = self._sealer.keyring
        return keyring.tenant_key(connection, self._tenant), keyring.index_keys(connection, self._tenant)[0]

    def _batch(self, connection: Connection, codec: Codec, table: Table, after: str) -> tuple[list[str], int]:
        """Seal up to a batch of rows anew; return the ids looked at, and how many were changed."""
        current, index = self._current(connection)
        wanted = select(table.c.id).where(self._stale(codec, table, current, index.version)).order_by(table.c.id).limit(BATCH)
        if after:
            wanted = wanted.where(table.c.id > after)
        ids = list(connection.execute(wanted.with_for_update(of=table, skip_locked=True)).scalars())
        rows = self._opened(connection, codec, table, [i for i in ids if i not in self._broken])
        keys = self._renewed(connection, sorted({subject for _, subject, _, _ in rows}), current)
        changed = 0
        for id_, subject, olds, texts in rows:
            if subject not in keys:
                continue  # somebody writes about them just now
            key = keys[subject]
            if key is None and any(text is not None for text in texts):
                self._broken.add(id_)  # sealed with another's key, though it is about somebody who was erased
            else:
                changed += self._replace(connection, codec, table, (id_, olds, texts), key, index)
        return ids, changed

    def _opened(self, connection: Connection, codec: Codec, table: Table, ids: Sequence[str]) -> list[tuple[str, str, Any, Any]]:
        """Read rows: id, subject, sealed values as they stand, and their texts."""
        columns = [table.c[f.column] for _, f in codec.sealed]
        subject, entity = codec.subject_field, codec.facts.name
        points = table.c.id if subject is None else table.c[subject.column]
        cells = [c.info[CELL].label(f"crm_{n}") for n, c in enumerate(columns)]
        found = []
        statement = select(table.c.id, points.label("crm_point"), *columns, *cells).where(table.c.id.in_(ids))
        for id_, point, *values in connection.execute(statement):
            olds, shown = values[: len(columns)], values[len(columns) :]
            try:
                texts = [self._sealer.vault.open(c, f.kind) for c, (_, f) in zip(shown, codec.sealed, strict=True)]
            except Unreadable:
                self._broken.add(id_)
                continue
            target = None if subject is None or point is None or subject.target is None else spec(subject.target).name
            about = f"{entity}/{id_}" if target is None else f"{target}/{getattr(point, 'id', point)}"
            found.append((id_, about, olds, texts))
        return found

    def _renewed(self, connection: Connection, subjects: Sequence[str], current: Key) -> Mapping[str, Key | None]:
        """Return new keys for those of *subjects* whom nobody writes about just now."""
        table = self._keys
        mine = (table.c.tenant == self._tenant, table.c.kind == "subject", table.c.subject.in_(subjects), table.c.state == CURRENT)
        there = select(table.c.id, table.c.subject, table.c.parent).where(*mine)
        free = connection.execute(there.with_for_update(skip_locked=True)).all()
        aged = [row.id for row in free if row.parent != current.id]
        if aged:
            connection.execute(update(table).where(table.c.id.in_(aged)).values(state=OLD, until=self._sealer.keyring.now()))
        busy = {row.subject for row in connection.execute(there)} - {row.subject for row in free}
        return self._sealer.keyring.hold(connection, self._tenant, [s for s in subjects if s not in busy])

    def _replace(
        self, connection: Connection, codec: Codec, table: Table, row: tuple[str, Any, Any], key: Key | None, index: IndexKey
    ) -> int:
        """Write a row's sealed values anew, if they still are what was read; of somebody who was erased, only forget the blind indexes."""
        vault, (id_, olds, texts) = self._sealer.vault, row
        values: dict[str, Any] = {}
        same = [table.c.id == id_]
        for (_, field), old, text in zip(codec.sealed, olds, texts, strict=True):
            column, name = table.c[field.column], place_name(codec.entity, field)
            same.append(column.is_not_distinct_from(bindparam(None, old, column.type)))
            if field.blind_column:
                values[field.blind_column] = None if text is None else vault.blind(index.material, index.version, name, text)
            if key is not None and text is not None:
                values[field.column] = vault.seal(key, self._tenant, name, id_, field.kind, text)
        return int(connection.execute(update(table).where(*same).values(values)).rowcount) if values else 0

    # -- keys ---------------------------------------------------------------------------------------------------------------------

    def _in_turn(self, step: Callable[[Connection], int]) -> int:
        with self._bound.begin() as connection:
            return step(connection)

    def _rewrap(self, connection: Connection) -> int:
        """Wrap subjects' keys under the new tenant key; they are the same keys, so whoever uses one may go on."""
        table, parent, vault = self._keys, self._keys.alias("crm_parent"), self._sealer.vault
        current, _ = self._current(connection)
        statement = (
            select(table.c.id, table.c.wrapped, parent.c.wrapped)
            .select_from(table.join(parent, parent.c.id == table.c.parent))
            .where(table.c.tenant == self._tenant, table.c.kind == "subject", table.c.parent != current.id, table.c.wrapped.is_not(None))
            .limit(BATCH)
        )
        rows = connection.execute(statement).all()
        for id_, wrapped, parent_wrapped in rows:
            material = vault.unwrap(self._tenant, id_, "subject", wrapped, parent_wrapped or "")
            new = vault.wrap(current, self._tenant, id_, "subject", material)
            swap = update(table).where(table.c.id == id_, table.c.wrapped == wrapped)
            connection.execute(swap.values(wrapped=new, parent=current.id))
        return len(rows)

    def _retire(self, connection: Connection) -> bool:
        """Forget the keys that nothing uses any more; say whether all old ones of the tenant itself are gone."""
        table, child, journal = self._keys, self._keys.alias("crm_child"), self._tables.system.journal
        gone = {"wrapped": None, "state": RETIRED, "until": self._sealer.keyring.now()}
        used: list[ColumnElement[bool]] = [exists().where(journal.c.key_id == table.c.id)]
        searched: list[ColumnElement[bool]] = []
        _, index = self._current(connection)
        for codec in self._codecs:
            rows = self._tables.entities[codec.entity]
            for _, field in codec.sealed:
                used.append(exists().where(func.substr(rows.c[field.column], 3, 16) == table.c.id))
                if field.blind_column:
                    old_blind = rows.c[field.blind_column].not_like(f"{index.version}:%")
                    searched.append(exists().where(rows.c.tenant == self._tenant, old_blind))
        old = and_(table.c.tenant == self._tenant, table.c.state == OLD)
        connection.execute(update(table).where(old, table.c.kind == "subject", ~or_(*used)).values(gone))
        connection.execute(update(table).where(old, table.c.kind == "index", *(~s for s in searched)).values(gone))
        children = exists().where(child.c.parent == table.c.id, child.c.wrapped.is_not(None))
        connection.execute(update(table).where(old, table.c.kind == "tenant", ~children).values(gone))
        return connection.execute(select(table.c.id).where(old, table.c.kind != "subject")).first() is None
