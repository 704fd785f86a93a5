"""The ORM's ``bulk_save_objects`` and its kin: their statements are observed on the connection; no event of the session tells.

They open a subtransaction as a flush does, without the flush's events before it, and their statements pass the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Insert, Table, UpdateBase, event
from sqlalchemy.orm import SessionTransaction, SessionTransactionOrigin

Rows = Sequence[Mapping[str, Any]]
Observe = Callable[[Any, Any, Rows], Callable[[Any], None]]


class BulkWatch:
    """Looks at what sessions write in bulk.

    Args:
        tables: those that are adopted.
        mark: what stands in ``session.info`` while a flush is observed.
        observe: called before a statement, with the session, it, and its parameters; what it returns is called with the result.
    """

    def __init__(self, tables: Collection[Table], mark: str, observe: Observe) -> None:
        self._tables = tables
        self._mark = mark
        self._observe = observe

    def listeners(self) -> list[tuple[str, Any]]:
        """Return what to listen to, and by which function; nothing where no table is adopted."""
        return [("after_transaction_create", self._begun), ("after_transaction_end", self._ended)] if self._tables else []

    def _begun(self, session: Any, transaction: SessionTransaction) -> None:
        """Look at the connection's statements where a bulk call begins: a subtransaction that is no flush's."""
        is_bulk = transaction.origin is SessionTransactionOrigin.SUBTRANSACTION and self._mark not in session.info
        if is_bulk and self not in session.info:  # of two listeners, a class's and its sessionmaker's, one is enough
            connections = {session.connection(bind_arguments={"clause": table}) for table in self._tables}
            session.info[self] = [_Look(each, self._tables, session, self._observe) for each in connections]

    def _ended(self, session: Any, transaction: SessionTransaction) -> None:
        """Look away again."""
        if transaction.origin is SessionTransactionOrigin.SUBTRANSACTION:
            for look in session.info.pop(self, ()):
                look.end()


class _Look:
    """A look at the statements of one connection."""

    def __init__(self, connection: Connection, tables: Collection[Table], session: Any, observe: Observe) -> None:
        self._connection = connection
        self._tables = tables
        self._session = session
        self._observe = observe
        self._statement: Any = None
        self._tell: Callable[[Any], None] | None = None
        event.listen(connection, "before_execute", self._before, retval=True)
        event.listen(connection, "after_execute", self._after)

    def end(self) -> None:
        event.remove(self._connection, "before_execute", self._before)
        event.remove(self._connection, "after_execute", self._after)

    def _before(self, _: object, statement: Any, many: Rows, one: Mapping[str, Any], __: object) -> tuple[Any, Rows, Mapping[str, Any]]:
        if isinstance(statement, UpdateBase) and statement.table in self._tables and self._statement is None:
            if isinstance(statement, Insert) and not statement._return_defaults:
                statement = statement.return_defaults(*statement.table.primary_key)  # the new rows' keys, where nobody wants them
            self._statement = statement  # until it was told what observing itself writes is not observed
            self._tell = self._observe(self._session, statement, [*many] or [one])
        return statement, many, one

    def _after(self, _: object, statement: Any, many: object, one: object, __: object, result: Any) -> None:
        if self._tell is not None and statement is self._statement:
            self._tell(result)
            self._statement = self._tell = None
