"""The verification: the journal read again, link by link, in bounded memory, and held against the checkpoints here and outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs
from sqlalchemy import Connection, and_, func, or_, select, tuple_

from ..permissions.prepared import driver_rows
from ..storage.writer import chunks
from .canonical import Row, columns, personal_digest, row_digest, row_of, seal_hash
from .chain import START, frontier, tenants, unsealed
from .checkpoints import Checkpoint, read_lines
from .kinds import ERASED

if TYPE_CHECKING:
    from ..storage.engine import Bound
    from ..storage.tables import Tables

BATCH = 1_000
BEFORE_ALL = -(2**63)  # a tenant's history that was restored stands before the first row

Fault = Literal[
    "changed",
    "missing",
    "seal_missing",
    "moved",
    "inserted",
    "personal_gone",
    "rewritten",
    "truncated",
    "forged",
]


@attrs.frozen
class Finding:
    """What is wrong at one place of the journal.

    Attributes:
        fault: ``changed``: a row or its seal is not what was sealed; ``missing``: a sealed row is gone; ``seal_missing``; ``moved``: its
            place is not where it was sealed; ``inserted``: a row among sealed ones that nobody sealed; ``personal_gone``: its personal
            part is gone and no erasure of its record is journalled later; ``rewritten``: the chain fits, but not to a checkpoint: what is
            between the last that fits and this one was sealed anew; ``truncated``: a checkpoint knows more rows than there are;
            ``forged``: a checkpoint without a valid signature.
        tenant: whose chain.
        number: of the (first) bad row in the chain; None for one that is not in it.
        row: the bad row's id in the journal, where it is known.
        place: where that is known from: ``journal``, ``checkpoint``, or the line of a sink's file: ``sink:17``.
    """

    fault: Fault
    tenant: str
    number: int | None = None
    row: int | None = None
    place: str = "journal"


@attrs.frozen
class Verdict:
    """What a verification found.

    Attributes:
        sealed: how many rows fit, by tenant.
        unsealed: how many rows no pass has sealed yet, by tenant; nothing is proved of them.
        signed: how many rows from the first are under a signed checkpoint, by tenant; the rest of a chain could be written anew by who can
            write the database.
        findings: what is wrong, the worst of each chain first; empty where all is well.
    """

    sealed: Mapping[str, int]
    unsealed: Mapping[str, int]
    signed: Mapping[str, int]
    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def verify(
    bound: Bound, tables: Tables, keys: Mapping[str, bytes], *, tenant: str | None = None, against: Path | str | None = None
) -> Verdict:
    """Verify all chains, or one; see :meth:`Trail.verify`."""
    with bound.begin(write=False, unlimited=True) as connection:
        end = frontier(connection, tables)
        chains = [*tenants(connection, tables.system.seal, tables.system.checkpoint)] if tenant is None else [tenant]
    reading = _Reading(bound, tables, keys)
    found: list[Finding] = []
    sealed: dict[str, int] = {}
    signed: dict[str, int] = {}
    for name in chains:
        sealed[name], broken = reading.chain(name)
        signed[name], forged = reading.checkpoints(name)
        found += [f for f in (broken, forged) if f is not None]
    found += reading.inserted(end, tenant)
    if against is not None:
        found += reading.outside(against, tenant, signed)
    with bound.begin(write=False, unlimited=True) as connection:
        waiting = unsealed(connection, tables, frontier(connection, tables), tenant)
    return Verdict(sealed, waiting, signed, found)


class _Reading:
    """The reads of one verification, each batch a short transaction of its own."""

    def __init__(self, bound: Bound, tables: Tables, keys: Mapping[str, bytes]) -> None:
        self._bound = bound
        self._tables = tables
        self._keys = keys

    # -- the chain ----------------------------------------------------------------------------------------------------------------

    def chain(self, tenant: str) -> tuple[int, Finding | None]:
        """Follow a chain; return how many of its rows fit, and what is wrong with the next one."""
        previous, number, position = START, 0, BEFORE_ALL
        while True:
            with self._bound.begin(write=False, unlimited=True) as connection:
                links = self._links(connection, tenant, number)
                erased = self._erased(connection, [(link, row) for link, row in links if row is not None])
            for link, row in links:
                fault = _fault(link, row, previous, number, position, erased)
                if fault is not None:
                    named = number + 1 if fault == "seal_missing" else link.number
                    return number, Finding(fault, tenant, named, None if row is None or fault == "seal_missing" else row.id)
                previous, number, position = link.hash, link.number, link.position
            if len(links) < BATCH:
                return number, None

    def _links(self, connection: Connection, tenant: str, after: int) -> list[tuple[Any, Row | None]]:
        system = self._tables.system
        seal, journal, positions = system.seal, system.journal, system.journal_position
        if connection.dialect.name == "sqlite":
            source = seal.join(journal, journal.c.id == seal.c.position, isouter=True)
        else:
            source = seal.join(positions, positions.c.position == seal.c.position, isouter=True)
            source = source.join(journal, journal.c.id == positions.c.journal_id, isouter=True)
        own = (seal.c.number, seal.c.position, seal.c.personal, seal.c.hash)
        wanted = select(*own, *columns(journal)).select_from(source).where(seal.c.tenant == tenant, seal.c.number > after)
        found = driver_rows(connection.execute(wanted.order_by(seal.c.number).limit(BATCH)))
        return [(_Link(*row[:4]), None if row[4] is None else row_of(row[4:])) for row in found]

    def _erased(self, connection: Connection, links: Sequence[tuple[Any, Row]]) -> dict[tuple[str, str], int]:
        """Return where the erasures of records are, by tenant and record, that rows without their personal part are of."""
        records = sorted({row.record for link, row in links if row.personal is None and link.personal is not None})
        if not records:
            return {}
        system = self._tables.system
        seal, journal, positions = system.seal, system.journal, system.journal_position
        if connection.dialect.name == "sqlite":
            source = journal.join(seal, seal.c.position == journal.c.id)
        else:
            source = journal.join(positions, positions.c.journal_id == journal.c.id).join(seal, seal.c.position == positions.c.position)
        found: dict[tuple[str, str], int] = {}
        for part in chunks(records):
            wanted = select(seal.c.tenant, journal.c.record, func.max(seal.c.number)).select_from(source)
            wanted = wanted.where(journal.c.record.in_(part), journal.c.kind == ERASED).group_by(seal.c.tenant, journal.c.record)
            found |= {(tenant, str(record)): number for tenant, record, number in connection.execute(wanted)}
        return found

    def inserted(self, end: int, tenant: str | None) -> list[Finding]:
        """Find the first row of each tenant among the sealed ones that has no seal."""
        system = self._tables.system
        seal, journal, positions = system.seal, system.journal, system.journal_position
        if self._bound.kind == "sqlite":
            place: Any = journal.c.id
            source = journal.join(seal, seal.c.position == journal.c.id, isouter=True)
            among = journal.c.id <= end
        else:
            place = positions.c.position
            source = journal.join(positions, positions.c.journal_id == journal.c.id, isouter=True)
            source = source.join(seal, seal.c.position == positions.c.position, isouter=True)
            floor = select(func.coalesce(func.max(system.sequencer.c.floor), 0)).scalar_subquery()
            among = or_(place <= end, and_(place.is_(None), journal.c.id <= floor))
        wanted = select(journal.c.tenant, func.min(journal.c.id)).select_from(source).where(among, seal.c.position.is_(None))
        wanted = wanted if tenant is None else wanted.where(journal.c.tenant == tenant)
        with self._bound.begin(write=False, unlimited=True) as connection:
            return [Finding("inserted", name, None, row) for name, row in connection.execute(wanted.group_by(journal.c.tenant))]

    # -- checkpoints --------------------------------------------------------------------------------------------------------------

    def checkpoints(self, tenant: str) -> tuple[int, Finding | None]:
        """Hold a chain against its checkpoints; return how many rows the signed ones cover, and what is wrong with the next."""
        table, good, signed = self._tables.system.checkpoint, 0, 0
        while True:
            wanted = select(*table.c).where(table.c.tenant == tenant, table.c.number > good).order_by(table.c.number).limit(BATCH)
            with self._bound.begin(write=False, unlimited=True) as connection:
                found = [_checkpoint(row) for row in driver_rows(connection.execute(wanted))]
                heads = self._heads(connection, found)
            for checkpoint in found:
                finding = self._held(checkpoint, heads, good, "checkpoint")
                if finding is not None:
                    return signed, finding
                good = checkpoint.number
                signed = good if checkpoint.is_signed_by(self._keys) else signed
            if len(found) < BATCH:
                return signed, None

    def outside(self, path: Path | str, tenant: str | None, signed: dict[str, int]) -> Iterable[Finding]:
        """Hold the chains against what a sink kept; return the first thing wrong with each."""
        found: dict[str, Finding] = {}
        good: dict[str, int] = {}
        source = read_lines(path)
        while lines := [*islice(source, BATCH)]:
            known = [c for _, c in lines if c is not None]
            with self._bound.begin(write=False, unlimited=True) as connection:
                heads = self._heads(connection, known)
            for line, checkpoint in lines:
                place = f"sink:{line}"
                name = "" if checkpoint is None else checkpoint.tenant
                if tenant not in (None, name) or name in found:
                    continue
                if checkpoint is None:
                    found[name] = Finding("forged", name, place=place)
                elif (finding := self._held(checkpoint, heads, good.get(name, 0), place)) is not None:
                    found[name] = finding
                else:
                    good[name] = max(good.get(name, 0), checkpoint.number)
                    if checkpoint.is_signed_by(self._keys):
                        signed[name] = max(signed.get(name, 0), checkpoint.number)
        return found.values()

    def _heads(self, connection: Connection, checkpoints: Sequence[Checkpoint]) -> dict[tuple[str, int], str]:
        seal = self._tables.system.seal
        found: dict[tuple[str, int], str] = {}
        for part in chunks([(c.tenant, c.number) for c in checkpoints], 400):
            wanted = select(seal.c.tenant, seal.c.number, seal.c.hash).where(tuple_(seal.c.tenant, seal.c.number).in_(part))
            found |= {(row.tenant, row.number): row.hash for row in connection.execute(wanted)}
        return found

    def _held(self, checkpoint: Checkpoint, heads: Mapping[tuple[str, int], str], good: int, place: str) -> Finding | None:
        """Say what is wrong between a checkpoint and the chain, which fitted up to *good*. Without keys no signature is asked for."""
        tenant, number = checkpoint.tenant, checkpoint.number
        if self._keys and checkpoint.signature is not None and not checkpoint.is_signed_by(self._keys):
            return Finding("forged", tenant, number, place=place)
        head = heads.get((tenant, number))
        if head is None:
            return Finding("truncated", tenant, self._length(tenant) + 1, place=place)
        if head != checkpoint.head:
            return Finding("rewritten", tenant, (good if good < number else 0) + 1, place=place)
        return None

    def _length(self, tenant: str) -> int:
        seal = self._tables.system.seal
        with self._bound.begin(write=False, unlimited=True) as connection:
            return int(connection.execute(select(func.coalesce(func.max(seal.c.number), 0)).where(seal.c.tenant == tenant)).scalar_one())


@attrs.frozen
class _Link:
    """A seal as it is stored."""

    number: int
    position: int
    personal: str | None
    hash: str


def _checkpoint(row: Sequence[Any]) -> Checkpoint:
    """Make a checkpoint of what the driver gave; one whose date was spoilt is not signed by anybody."""
    tenant, number, head, at, *signed = row
    try:
        return Checkpoint(tenant, number, head, at if isinstance(at, datetime) else datetime.fromisoformat(at), *signed)
    except (TypeError, ValueError):
        return Checkpoint(tenant, number, head, datetime.min.replace(tzinfo=UTC), *signed)


def _fault(link: _Link, row: Row | None, previous: str, number: int, position: int, erased: Mapping[tuple[str, str], int]) -> Fault | None:
    """Say what is wrong with the link behind the one of *number*."""
    if link.number != number + 1:
        return "seal_missing"
    if row is None:
        return "missing"
    if link.position <= position:
        return "moved"
    if row.personal is not None and personal_digest(row) != link.personal:
        return "changed"
    if seal_hash(previous, row.tenant, link.number, row_digest(row), link.personal) != link.hash:
        return "changed"
    if row.personal is None and link.personal is not None and erased.get((row.tenant, row.record), 0) <= link.number:
        return "personal_gone"
    return None
