"""What the database keeps of quarantines, so that a new process goes on with them and all processes agree."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import DBAPIError

from .errors import CRMError
from .events.parking import wake
from .hooks.health import Health, Rest
from .logs import facts

if TYPE_CHECKING:
    from .crm import CRM

LOOK_AGAIN = timedelta(seconds=10)
_log = logging.getLogger(__name__)


class Quarantine:
    """The quarantines of one CRM as its database keeps them.

    What a failing call brings about is written when its transaction is over, in one of its own: the one that failed is rolled back,
    holds SQLite's only write lock, or is the host's.
    """

    def __init__(self, crm: CRM) -> None:
        self._crm = crm
        self._health: Health = crm.registry.health
        self._table = crm.tables.system.quarantine
        self._looked: datetime | None = None
        self._over: frozenset[Rest] = frozenset()

    @property
    def is_due(self) -> bool:
        """Whether it is time to look at what the database keeps."""
        now = self._crm.runtime.clock.now()
        return self._looked is None or not self._looked <= now < self._looked + LOOK_AGAIN

    def look(self, connection: Connection | None = None) -> None:
        """Take over, every ten seconds, what other processes began and ended.

        Args:
            connection: one to ask on, in a savepoint, since its transaction must outlive a schema without the table; else one of
                its own.
        """
        if not self.is_due:
            return
        self._looked = self._crm.runtime.clock.now()
        try:
            if connection is None:
                with self._crm.bound.begin(write=False, unlimited=True) as own:
                    rows = self._rows(own)
            else:
                with connection.begin_nested():
                    rows = self._rows(connection)
        except (DBAPIError, CRMError) as e:
            _log.debug("the quarantines cannot be read", exc_info=e, extra=facts("quarantine_unread"))
            return
        self._over = frozenset(r for r in rows if self._health.is_over(r))
        self._health.learn(rows)

    def _rows(self, connection: Connection) -> list[Rest]:
        self._crm.tenants.learn(connection)
        self._crm.plugins.learn(connection)
        columns = [self._table.c[name] for name in Rest._fields]
        return [Rest(*row) for row in connection.execute(select(*columns))]

    def keep(self) -> None:
        """Write what the database does not know of yet, and end what a new version of a plugin left behind.

        Where that cannot be written now, the next call tries again.
        """
        begun, over = self._health.unkept, self._over
        if not begun and not over:
            return
        try:
            with self._crm.bound.begin(unlimited=True) as connection:
                for rest in (*begun, *over):
                    self._remove(connection, rest.plugin, rest.tenant)
                if begun:
                    connection.execute(insert(self._table), [r._asdict() for r in begun])
                self._wake(connection, {r.plugin for r in over})
        except (DBAPIError, CRMError) as e:
            _log.warning("quarantines could not be written", exc_info=e, extra=facts("quarantine_unwritten"))
            return
        self._over -= over
        self._health.kept(begun)

    def _wake(self, connection: Connection, plugins: Collection[str]) -> None:
        names = [s.name for s in self._crm.subscribers if s.plugin in plugins]
        if names:
            wake(connection, self._crm.tables, names, self._crm.runtime.clock.now())

    def _remove(self, connection: Connection, plugin: str, tenant: str | None = None) -> int:
        statement = delete(self._table).where(self._table.c.plugin == plugin)
        return connection.execute(statement if tenant is None else statement.where(self._table.c.tenant == tenant)).rowcount

    def release(self, plugin: str) -> bool:
        """End a plugin's quarantines, in this process at once and in the others within ten seconds; say whether there were any."""
        with self._crm.bound.begin(unlimited=True) as connection:
            removed = self._remove(connection, plugin)
            self._wake(connection, [plugin])
        rested = any(h.plugin == plugin and h.since for h in self._health.report())
        self._health.release(plugin)
        return bool(removed) or rested
