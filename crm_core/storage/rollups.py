"""Rollups: sums over records, kept in the transaction that writes them, so that a dashboard reads cells and not a million records.

A cell is what records with the same values of some fields add up to: how many, and one amount by currency. A write adds its difference,
old state out and new state in; deleted records are in none. Cells are read instead of records only where the answer is the same: the
actor's rule on reading speaks of the cells' fields alone, so it is asked of each cell, and a rollup that nobody has built yet, or built
otherwise, is not read. Writers of one batch lock its cells in one order; a transaction of several batches that meets another's may be
asked to begin anew, as any deadlock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import Connection, delete, func, insert, select

from ..entities.upsert import upsert
from ..entities.validate import plain, structure
from ..errors import Denied, Invalid
from ..permissions.binding import bind
from ..permissions.predicates import (
    Compare,
    IsNull,
    Owned,
    Related,
    Rule,
    SameTeam,
    Seen,
    Shared,
    StartsWith,
    Subordinate,
    Within,
    everything,
    walk,
)
from ..permissions.to_python import holds
from .limits import unlimited

if TYPE_CHECKING:
    from ..crm import CRM
    from ..entities.codec import Codec
    from ..hooks.measures import Rollup
    from ..session import Session
    from .changeset import Changeset

BUILT = ""


@attrs.frozen
class Cell:
    """What some records add up to.

    Attributes:
        values: the fields that they have in common.
        currency, amount: of their amounts; None and zero where they have none.
        records: how many.
    """

    values: Mapping[str, Any]
    currency: str | None
    records: int
    amount: Decimal


class Rollups:
    """The cells of one CRM."""

    def __init__(self, crm: CRM) -> None:
        self._crm = crm
        self._table = crm.tables.system.rollup
        self._by_entity: dict[type[Any], list[Rollup]] = {}
        for rollup in crm.registry.rollups:
            self._by_entity.setdefault(rollup.entity, []).append(rollup)
        adding = upsert(self._table, crm.bound.kind)
        columns = (self._table.c.records, self._table.c.amount)
        self._add = adding.on_conflict_do_update(
            index_elements=["tenant", "rollup", "cell"], set_={c.name: c + adding.excluded[c.name] for c in columns}
        )

    # -- writing ------------------------------------------------------------------------------------------------------------------

    def keep(self, connection: Connection, tenant: str, codec: Codec, work: Changeset) -> None:
        """Add what a changeset makes different."""
        for rollup in self._by_entity.get(work.entity, ()):
            if work.op == "update" and not any(c.fields.intersection((*rollup.by, rollup.of or "")) for c in work.changes):
                continue
            cells: dict[str, list[Any]] = {}
            for change in work.changes:
                for record, sign in ((change.old, -1), (change.record, 1)):
                    if record is not None and record.deleted_at is None:
                        _count(cells, *_place(codec, rollup, record), sign)
            rows = [_row(tenant, rollup, key, *sums) for key, sums in cells.items() if any(sums)]
            if rows:
                connection.execute(self._add, sorted(rows, key=lambda r: str(r["cell"])))

    def rebuild(self, session: Session, rollup: Rollup) -> int:
        """Add all records of the session's tenant up anew, and return how many cells there are.

        Raises:
            Denied: the actor lacks the permission ``core.rollups``.
        """
        if not session.policy.permits("core.rollups"):
            raise Denied(action="core.rollups", entity="")
        tenant, table = session.actor.tenant, self._table
        with session._unit.atomic() as connection, unlimited(connection):
            if self._crm.bound.kind == "postgresql":
                # Who wrote records has added to the cells by now, or will after us.
                name = connection.dialect.identifier_preparer.format_table(table)
                connection.exec_driver_sql(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")
            connection.execute(delete(table).where(table.c.tenant == tenant, table.c.rollup == rollup.name))
            built = {"tenant": tenant, "rollup": rollup.name, "cell": BUILT, "key": _definition(rollup), "records": 0, "amount": Decimal(0)}
            connection.execute(insert(table), built)
            count = 0
            rows = self._scan(connection, tenant, rollup)
            while batch := list(islice(rows, 1000)):
                connection.execute(insert(table), batch)
                count += len(batch)
            session.note("core.rollup_rebuilt.v1", {"rollup": rollup.name, "cells": count})
        return count

    def _scan(self, connection: Connection, tenant: str, rollup: Rollup) -> Iterator[dict[str, Any]]:
        codec, table = self._crm.codec(rollup.entity), self._crm.tables.entities[rollup.entity]
        by: list[Any] = [table.c[codec.fields[n].column] for n in rollup.by]
        amount: list[Any] = []
        if rollup.of is not None:
            summed, split = (table.c[c] for c in codec.fields[rollup.of].columns)
            by, amount = [*by, split], [func.sum(summed)]
        living = select(*by, func.count(), *amount).where(table.c.tenant == tenant, table.c.deleted_at.is_(None)).group_by(*by)
        for row in connection.execute(living):
            values = list(row)
            total = values.pop() if amount else None
            records = values.pop()
            currency = values.pop() if amount else None
            key = _key([plain(codec.fields[n], v) for n, v in zip(rollup.by, values, strict=True)], currency)
            yield _row(tenant, rollup, key, records, total or Decimal(0))

    # -- reading ------------------------------------------------------------------------------------------------------------------

    def cells(self, session: Session, rollup: Rollup, where: Rule) -> list[Cell] | None:
        """Return the cells that hold what the session's actor sees of the records for which *where* holds; None where no cells can say.

        Raises:
            Invalid: what is wrong with the rule.
        """
        codec = self._crm.codec(rollup.entity)
        asked = bind(where, codec.facts, error=Invalid, extensions=self._crm.registry.extensions, custom=session.readable_custom)
        rule = asked & session.policy.rule("read", rollup.entity)
        if not _answers(session, rollup, rule) or any(_level(session, codec, n) for n in (*rollup.by, *filter(None, [rollup.of]))):
            return None
        table = self._table
        mine = select(table.c.cell, table.c.key, table.c.records, table.c.amount).where(
            table.c.tenant == session.actor.tenant, table.c.rollup == rollup.name
        )
        rows = session._unit.connection.execute(mine).all()
        if not any(row.cell == BUILT and row.key == _definition(rollup) for row in rows):
            return None
        found = _cells(codec, rollup, [row for row in rows if row.cell != BUILT and row.records])
        return list(found) if rule == everything else [c for c in found if holds(rule, c.values, session.facts)]


def _cells(codec: Codec, rollup: Rollup, rows: Sequence[Any]) -> Iterator[Cell]:
    """Read rows as cells. Keys are parsed at once, and each value once for all cells that have it: they are few, the cells thousands."""
    read = lru_cache(maxsize=None)(lambda name, value: structure(codec.facts.name, codec.fields[name], value))
    keys = json.loads(f"[{','.join(row.key for row in rows)}]")
    for row, (*values, currency) in zip(rows, keys, strict=True):
        yield Cell({n: read(n, v) for n, v in zip(rollup.by, values, strict=True)}, currency, row.records, row.amount)


def _level(session: Session, codec: Codec, name: str) -> bool:
    """Say whether the actor may not read a field as it is."""
    return session.policy.fields(codec.entity).get(codec.fields[name].column, "write") in ("none", "masked")


def _answers(session: Session, rollup: Rollup, rule: Rule) -> bool:
    """Say whether a rule can be asked of a cell; that of shares can, where nothing is shared with the actor."""
    for node in walk(rule):
        match node:
            case Related() | Seen():
                return False
            case Shared(action, entity) if session.facts.has_shares(entity, action):
                return False
            case Owned() | SameTeam() | Subordinate() if "owner" not in rollup.by:
                return False
            case Compare() | Within() | IsNull() | StartsWith() if node.field not in rollup.by:
                return False
    return True


def _place(codec: Codec, rollup: Rollup, record: Any) -> tuple[str, Decimal]:
    """Return the cell that a record lies in, and its amount."""
    money = None if rollup.of is None else codec.get(record, rollup.of)
    values = [plain(codec.fields[n], codec.get(record, n)) for n in rollup.by]
    return (_key(values, None), Decimal(0)) if money is None else (_key(values, money.currency), money.amount)


def _count(cells: dict[str, list[Any]], key: str, amount: Decimal, sign: int) -> None:
    sums = cells.setdefault(key, [0, Decimal(0)])
    sums[0] += sign
    sums[1] += sign * amount


def _key(values: Iterable[Any], currency: str | None) -> str:
    return json.dumps([*values, currency], ensure_ascii=False, separators=(",", ":"))


def _definition(rollup: Rollup) -> str:
    return _key(rollup.by, rollup.of)


def _row(tenant: str, rollup: Rollup, key: str, records: int, amount: Decimal) -> dict[str, Any]:
    cell = hashlib.sha256(key.encode()).hexdigest()
    return {"tenant": tenant, "rollup": rollup.name, "cell": cell, "key": key, "records": records, "amount": amount}
