"""The ORM's ``bulk_save_objects`` and its kin tell nobody what they write; what they write to adopted tables is named in the log.

SQLAlchemy runs no event of theirs. But they open a subtransaction as a flush does, without the flush's events before it, and their
statements pass the connection.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from sqlalchemy import Table, UpdateBase, event
from sqlalchemy.orm import SessionTransaction, SessionTransactionOrigin

from ..logs import facts

log = logging.getLogger("crm_core.adoption")


class BulkWatch:
    """Looks at what sessions write in bulk.

    Args:
        tables: those that are adopted.
        mark: what stands in ``session.info`` while a flush is observed.
    """

    def __init__(self, tables: Collection[Table], mark: str) -> None:
        self._tables = tables
        self._mark = mark

    def listeners(self) -> list[tuple[str, Any]]:
        """Return what to listen to, and by which function; nothing where no table is adopted."""
        return [("after_transaction_create", self._begun), ("after_transaction_end", self._ended)] if self._tables else []

    def _begun(self, session: Any, transaction: SessionTransaction) -> None:
        """Look at the connection's statements where a bulk call begins: a subtransaction that is no flush's."""
        if transaction.origin is SessionTransactionOrigin.SUBTRANSACTION and self._mark not in session.info:
            connection = session.connection(bind_arguments={"clause": next(iter(self._tables))})
            if not event.contains(connection, "before_execute", self._executing):
                event.listen(connection, "before_execute", self._executing)
                session.info[self] = connection

    def _ended(self, session: Any, transaction: SessionTransaction) -> None:
        """Look away again."""
        if transaction.origin is SessionTransactionOrigin.SUBTRANSACTION and self in session.info:
            event.remove(session.info.pop(self), "before_execute", self._executing)

    def _executing(self, _connection: object, statement: object, *_: object) -> None:
        if isinstance(statement, UpdateBase) and statement.table in self._tables:
            name = str(statement.table)
            log.warning(
                "%s was written in bulk, which is not observed: the journal, subscribers and versions do not know of it. "
                "Write session.execute(insert(...), rows) or update; adoption.fill() takes up new rows.",
                name,
                extra=facts("adopted_bulk", table=name),
            )
