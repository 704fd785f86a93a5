"""Sealer: what the writer, the readers and the journal of a CRM with keys ask; a CRM without keys has none, and pays nothing."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, update

from ...entities.sealed import place_name
from .envelope import key_id, place, seal, unseal
from .keyring import Held, IndexKey, Keyring, required
from .vault import Vault

if TYPE_CHECKING:
    from ...entities.codec import Codec
    from ...entities.fields import FieldSpec
    from ..system import SystemTables
    from ..writer import JournalRow
    from .provider import KeyProvider


class Sealer:
    """Seals rows and finds sealed values.

    Attributes:
        vault: opens and seals with keys that are given.
        keyring: the keys in the database.
    """

    def __init__(self, provider: KeyProvider, system: SystemTables, now: Callable[[], datetime]) -> None:
        self.vault = Vault(provider)
        self.keyring = Keyring(self.vault, system, now)

    def hold(self, connection: Connection, codec: Codec, tenant: str, records: Sequence[Any], *, fresh: bool) -> Held:
        """Return the keys of whom *records* are about; *fresh* where the records are new."""
        subjects = {codec.subject(r) for r in records}
        own = {f"{codec.facts.name}/{r.id}" for r in records} if fresh else ()
        return self.keyring.hold(connection, tenant, subjects, own)

    def rows(
        self,
        connection: Connection,
        table: Table,
        codec: Codec,
        records: Sequence[Any],
        rows: Sequence[tuple[Any, ...]],
        held: Held,
        names: Collection[str] | None = None,
    ) -> list[tuple[Any, ...]]:
        """Return driver's rows with their texts sealed, and the blind indexes behind them.

        Args:
            names: the fields that are written; the others' cells are left empty. None: all.

        Raises:
            Refused: ``key_destroyed``: a record is about somebody whose keys were destroyed.
        """
        tenant, vault = records[0].tenant, self.vault
        chosen = [(at, f, place_name(codec.entity, f)) for at, f in codec.sealed if names is None or _key(f) in names]
        index = self.keyring.index_keys(connection, tenant, hold=True) if any(f.blind_column for _, f, _ in chosen) else []
        blinds = {f.blind_column: n for n, (_, f) in enumerate(x for x in codec.sealed if x[1].blind_column)}
        done = []
        for record, row in zip(records, rows, strict=True):
            cells = [*row, *([None] * len(blinds))]
            for at, field, name in chosen:
                text = row[at]
                if text is None:
                    continue
                key = required(held, codec.subject(record), codec.facts.name)
                cells[at] = vault.seal(key, tenant, name, record.id, field.kind, text)
                if field.blind_column is not None:
                    cells[len(row) + blinds[field.blind_column]] = self._blind(connection, table, field, name, tenant, index, text)
            done.append(tuple(cells))
        return done

    def cells(
        self, connection: Connection, tenant: str, codec: Codec, records: Sequence[Any], rows: Sequence[tuple[Any, ...]]
    ) -> list[tuple[Any, ...]]:
        """Return driver's rows with cells in place of their texts, and the blind indexes behind them: for a statement that reads them.

        They are sealed under a key that is in no table and goes with the cells.
        """
        searched = sum(f.blind_column is not None for _, f in codec.sealed)
        if all(row[at] is None for row in rows for at, _ in codec.sealed):
            return [(*row, *([None] * searched)) for row in rows]  # nothing may have been sealed in this tenant, so that it has no keys
        key, tenant_key, wrapped = self.keyring.passing(connection, tenant)
        index = self.keyring.index_keys(connection, tenant)[0]
        fields = [(at, f, place_name(codec.entity, f)) for at, f in codec.sealed]
        done = []
        for record, row in zip(records, rows, strict=True):
            cells, blinds = list(row), []
            for at, field, name in fields:
                text = row[at]
                if text is not None:
                    envelope = self.vault.seal(key, tenant, name, record.id, field.kind, text)
                    cells[at] = f"{name}:{record.id}:{tenant_key}:{wrapped}:{envelope}:{tenant}"
                if field.blind_column is not None:
                    blinds.append(None if text is None else self.vault.blind(index.material, index.version, name, text))
            done.append((*cells, *blinds))
        return done

    def _blind(
        self, connection: Connection, table: Table, field: FieldSpec, name: str, tenant: str, index: Sequence[IndexKey], text: str
    ) -> str:
        """Return a value's blind index.

        While the index key is replaced, who has a unique value under the key before is moved to the new one first, so that the database
        itself sees that the value is taken.
        """
        if field.options.unique and self.vault.standing is not None:
            self.vault.standing.none_left(connection, tenant, name)
        blind, *before = (self.vault.blind(key.material, key.version, name, text) for key in index)
        if field.options.unique and before and field.blind_column is not None:
            column = table.c[field.blind_column]
            connection.execute(update(table).where(table.c.tenant == tenant, column.in_(before)).values({column.name: blind}))
        return blind

    def entry(self, tenant: str, row: JournalRow, held: Held) -> tuple[str | None, str | None]:
        """Return what a journal row keeps of its personal part, and the id of the key it is sealed with.

        Of somebody whose keys were destroyed, only the names of the fields are kept.
        """
        if not row.personal:
            return None, None
        key = held[row.subject]
        kept = self.vault.seal_entry(key, tenant, (row.entity, row.record, row.kind, row.payload["id"]), row.personal)
        return json.dumps(kept), None if key is None else key.id

    def digest(self, connection: Connection, tenant: str, text: str) -> str:
        """Return a keyed hash, by which a text is known again but not guessed."""
        _, material = self.keyring.own(connection, tenant)
        return hmac.digest(material, text.encode(), "sha256").hex()

    def kept(self, connection: Connection, tenant: str, name: str, calls: Any) -> dict[str, Any]:
        """Seal what an idempotency key keeps."""
        key, _ = self.keyring.own(connection, tenant)
        return {"sealed": seal(key, place("idempotency", tenant, name), json.dumps(calls))}

    def read(self, connection: Connection, tenant: str, name: str, kept: dict[str, Any]) -> Any:
        """Open what an idempotency key kept."""
        key = self.keyring.find(connection, tenant, key_id(kept["sealed"]))
        return json.loads(unseal(key, place("idempotency", tenant, name), kept["sealed"]))

    def blinds(self, connection: Connection, tenant: str, name: str, text: str) -> list[str]:
        """Return under which blind indexes a value may stand."""
        if self.vault.standing is not None:
            self.vault.standing.none_left(connection, tenant, name)
        return [self.vault.blind(k.material, k.version, name, text) for k in self.keyring.index_keys(connection, tenant)]

    def finder(self, connection: Connection, tenant: str) -> Finder:
        """Return what one statement of a session opens and finds with."""
        return Finder(self, connection, tenant)


class Finder:
    """Opens cells and finds values for one statement; the index keys are read when the first is needed."""

    def __init__(self, sealer: Sealer, connection: Connection, tenant: str) -> None:
        self._sealer = sealer
        self._connection = connection
        self._tenant = tenant
        self._keys: list[IndexKey] | None = None

    def open(self, cell: str, kind: str) -> str | None:
        """See :class:`crm_core.entities.sealed.Opener`."""
        return self._sealer.vault.open(cell, kind)

    def blind(self, where: str, text: str, *, old: bool) -> str:
        """See :class:`crm_core.entities.sealed.Opener`."""
        if self._sealer.vault.standing is not None:
            self._sealer.vault.standing.none_left(self._connection, self._tenant, where)
        if self._keys is None:
            self._keys = self._sealer.keyring.index_keys(self._connection, self._tenant)
        if not self._keys:
            return ""  # nothing was sealed in this tenant yet
        key = self._keys[-1 if old else 0]
        return self._sealer.vault.blind(key.material, key.version, where, text)


def _key(field: Any) -> str:
    """Return the name of a field in its codec."""
    return str(field.column if field.extension is not None else field.name)
