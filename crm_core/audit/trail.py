"""The audit of one CRM: it seals the journal after its commits, sends checkpoints, and verifies all of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from sqlalchemy import select

from ..entities.upsert import upsert
from ..logs import facts
from .chain import PASS, Head, heads, seal_pass, sequence_all, tenants
from .checkpoints import Audit, Checkpoint
from .start import note_plugins
from .verify import Verdict, verify

if TYPE_CHECKING:
    from datetime import datetime

    from ..crm import CRM

_log = logging.getLogger(__name__)


class Trail:
    """The sealing and the proof of a CRM's journal. Deliveries seal by themselves: ``crm.run_pending()``, ``crm.worker()``.

    Args:
        crm: whose journal it is.
        audit: who signs and where checkpoints go.
    """

    def __init__(self, crm: CRM, audit: Audit) -> None:
        self._crm = crm
        self._bound, self._tables, self._clock = crm.bound, crm.tables, crm.runtime.clock
        self.options = audit
        self._noted = False
        self._ends: dict[str, Head] | None = None
        self._lasts: dict[str, tuple[int, datetime | None]] = {}

    def seal(self, *, wait: bool = True) -> int:
        """Seal all that is committed, write the checkpoints that are due, and return how many rows were sealed.

        Args:
            wait: until what another process on PostgreSQL seals just now is sealed, too.
        """
        if not self._noted and self._is_kept_outside:
            self._note_plugins()
        sequence_all(self._bound, self._tables)
        count, found = 0, PASS
        while found == PASS:
            found, ends = seal_pass(self._bound, self._tables, wait=wait)
            count += found if ends else 0
            for end in ends:
                self._waiting()[end.tenant] = end
            self._send()
        return count

    def checkpoint(self) -> None:
        """Seal all that is committed, and write a checkpoint for every chain that grew since its last, due or not."""
        self.seal()
        self._send(due=False)

    def verify(self, *, tenant: str | None = None, against: Path | str | None = None) -> Verdict:
        """Read the journal again and say what was edited, inserted, moved or taken away since it was sealed.

        Args:
            tenant: only this tenant's chain.
            against: a file of a :class:`~crm_core.audit.FileSink`: what it knows and the database does not was cut off or rolled back.

        Raises:
            Invalid: ``audit_sink_unreadable``.
        """
        return verify(self._bound, self._tables, self.options.keys, tenant=tenant, against=against)

    def heads(self) -> dict[str, Head]:
        """Return the end of each tenant's chain: what a backup notes to be compared with later."""
        with self._bound.begin(write=False, unlimited=True) as connection:
            return heads(connection, self._tables, tenants(connection, self._tables.system.seal))

    def _note_plugins(self) -> None:
        versions = {plugin.name: plugin.version for plugin in self._crm.registry.plugins}
        note_plugins(self._bound, self._tables, self._crm.writer, self._crm.runtime, versions, sorted(self.heads()))
        self._noted = True

    # -- checkpoints --------------------------------------------------------------------------------------------------------------

    def _waiting(self) -> dict[str, Head]:
        """Return the ends of the chains that have no checkpoint yet; those of earlier processes are looked for once."""
        if self._ends is None:
            self._ends = self.heads()
        return self._ends

    @property
    def _is_kept_outside(self) -> bool:
        return self.options.signer is not None or self.options.sink is not None

    def _send(self, *, due: bool = True) -> None:
        if not self._is_kept_outside:
            return
        for end in list(self._waiting().values()):
            if end.tenant not in self._lasts:
                self._lasts[end.tenant] = self._last(end.tenant)
            number, at = self._lasts[end.tenant]
            if end.number > number and due and not self._is_due(end.number - number, at):
                continue
            if end.number == number or self._write(end):
                del self._waiting()[end.tenant]

    def _is_due(self, rows: int, last: datetime | None) -> bool:
        return rows >= self.options.every or last is None or self._clock.now() - last >= self.options.within

    def _last(self, tenant: str) -> tuple[int, datetime | None]:
        table = self._tables.system.checkpoint
        last = select(table.c.number, table.c.at).where(table.c.tenant == tenant).order_by(table.c.number.desc()).limit(1)
        with self._bound.begin(write=False, unlimited=True) as connection:
            row = connection.execute(last).first()
        return (0, None) if row is None else (row.number, row.at)

    def _write(self, end: Head) -> bool:
        """Write a checkpoint, outside first: what the sink has, the database can seal again to the same hash."""
        made = Checkpoint(end.tenant, end.number, end.hash, self._clock.now())
        try:
            if self.options.signer is not None:
                made = made.signed(self.options.signer)
            if self.options.sink is not None:
                self.options.sink.add(made)
        except Exception as e:  # a sink that is away keeps no event from its subscriber
            extra = facts("checkpoint_failed", tenant=end.tenant, error=type(e).__name__)
            _log.error("a checkpoint of tenant %s was not signed and sent; the next pass tries again", end.tenant, exc_info=e, extra=extra)
            return False
        put = upsert(self._tables.system.checkpoint, self._bound.kind)
        with self._bound.begin(unlimited=True) as connection:
            connection.execute(put.values(attrs.asdict(made)).on_conflict_do_nothing())
        self._lasts[end.tenant] = (made.number, made.at)
        return True
