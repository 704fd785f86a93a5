"""A savepoint in somebody else's transaction, for a block that counts wholly or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from ..permissions.prepared import send


@contextmanager
def savepoint(connection: Connection) -> Iterator[Connection]:
    """Undo what the block did if it raises, or if the transaction takes no more.

    Raises:
        DBAPIError: the connection is lost, or the database has ended the transaction; the connection is invalidated then.
    """
    # Told to the driver: SQLAlchemy compiles both statements anew each time.
    send(connection, "SAVEPOINT crm_block", [()])
    try:
        yield connection
        send(connection, "RELEASE SAVEPOINT crm_block", [()])
    except BaseException:
        if not connection.invalidated:
            # Told by SQLAlchemy, which finds out where the failure has ended more than the block.
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT crm_block")
            connection.exec_driver_sql("RELEASE SAVEPOINT crm_block")
        raise
