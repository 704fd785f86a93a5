"""One transaction of a session: begun at its first statement, undone to where a failed call began."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError

from ..errors import ReadOnly, Refused
from ..permissions.prepared import CLOCK, send
from .denials import Denials
from .failures import typed
from .reads import Reads
from .sqlite import is_gone

if TYPE_CHECKING:
    from ..jobs.progress import Progress
    from .idempotency import Keyed
    from .limits import Clock


class Unit:
    """The connection behind a session.

    An own transaction begins when the first statement needs it and commits on leaving; a joined one is the host's and only ever
    gets savepoints.

    Args:
        begin: opens the connection; leaving it commits, or rolls back on an error.
        write: False refuses every write.
        joined: the transaction is the host's.
        url: where the database is, for errors to name it.
        look: opens what is read on before the first write; None to read in the transaction from the first statement on.
        alone: what *begin* opens holds nothing but this unit's work, though the transaction is the host's: it may be undone as a whole.

    Attributes:
        begun: whether the transaction has begun.
        before: whether what happens now is before the host's transaction that it joins, and not in it.
        epoch: grows with every write and every undoing, so what was read before may be out of date.
        undone: what to call when something of this transaction is undone.
        refusal: the code of the error that refuses a write.
        reads: what its sessions read of sensitive fields.
        job: the run of a job that works in it.
        denials: what its sessions were denied.
        defines: whether it changed the definitions of custom fields.
        hosts_failure: the database's error at what the host's ORM session had to flush first.
    """

    def __init__(
        self,
        begin: Callable[[], AbstractContextManager[Connection]],
        *,
        write: bool,
        joined: bool,
        url: URL,
        look: Callable[[], AbstractContextManager[Connection]] | None = None,
        alone: bool = False,
    ) -> None:
        self._begin = begin
        self._look = look
        self.url = url
        self.begun = False
        self._stack = ExitStack()
        self._connection: Connection | None = None
        self.write = write
        self.refusal = "read_only_session"
        self.joined = joined
        self._alone = alone or not joined
        self._waiting: list[Callable[[Connection], None]] = []
        self.before = False
        self.wrote = False
        self.defines = False
        self.epoch = 0
        self.undone: list[Callable[[], None]] = []
        self.reads = Reads()
        self.denials = Denials()
        self.closed = False
        self._depth = 0
        self.keyed: Keyed | None = None
        self.job: Progress | None = None
        self._clock: Clock | None = None
        self.hosts_failure: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            try:
                self._write_waiting()
            except BaseException as e:
                self.__exit__(type(e), e, e.__traceback__)
                raise
        self.closed = True
        self._connection = None
        try:
            self._stack.__exit__(kind, error, trace)
        except BaseException:
            self._undo()
            raise
        if error is not None:
            self._undo()

    @property
    def connection(self) -> Connection:
        """The open connection.

        Raises:
            ReadOnly: the session is over.
        """
        if self._connection is None:
            if self.closed:
                raise ReadOnly("session_closed")
            self._connection = self._open(self._look or self._begin)
            self.begun = self._look is None
        if self._waiting:
            self._write_waiting()
        return self._connection

    @property
    def opened(self) -> bool:
        """Whether a connection is in use."""
        return self._connection is not None

    @property
    def overdue(self) -> bool:
        """Whether the statement that ran last has had all the time it may take."""
        return self._clock is not None and self._clock.is_over()

    @property
    def looks(self) -> bool:
        """Whether what is read now is read outside of a transaction."""
        return self._look is not None and not self.begun

    def _transaction(self) -> Connection:
        """Return the connection of the transaction; what was read before it may be out of date."""
        if self.looks and not self.closed:
            self._stack.close()
            self._connection = self._open(self._begin)
            self.begun = True
            self.epoch += 1
        return self.connection

    def _open(self, begin: Callable[[], AbstractContextManager[Connection]]) -> Connection:
        try:
            opened = self._stack.enter_context(begin())
            self._clock = opened.info.get(CLOCK)
            return opened
        except DBAPIError as e:
            self.hosts_failure = e
            raise

    @property
    def nested(self) -> bool:
        """Whether a savepoint or a call is open in it."""
        return bool(self._depth)

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Do something before the host's transaction, on connections of our own."""
        self.before = True
        try:
            yield
        finally:
            self.before = False

    def commit(self) -> None:
        """Commit what was done so far in an own transaction; the next statement begins another."""
        self._write_waiting()
        stack, self._stack = self._stack, ExitStack()
        self._connection, self.begun, self.wrote = None, False, False
        self.undone.clear()
        self.epoch += 1
        stack.close()

    @contextmanager
    def atomic(self) -> Iterator[Connection]:
        """Do a write wholly or not at all.

        The first write of an own transaction, or of an own part of one, needs no savepoint: where it fails, the transaction, in which
        nothing was written, is begun anew. That keeps a single create at two statements.

        Raises:
            ReadOnly: the session was opened with ``write=False``, or the CRM is in safe mode.
        """
        if not self.write:
            raise ReadOnly(self.refusal)
        connection = self._transaction()
        if not self._alone or self.wrote or self._depth:
            with self._nested(connection):
                yield connection
            self.changed()
            return
        self._depth += 1
        try:
            yield connection
        except BaseException as e:
            self._restart(e)
            raise
        finally:
            self._depth -= 1
        self.changed()

    def later(self, write: Callable[[Connection], None]) -> None:
        """Write what nobody waits for before the connection is used next, or at the end; what is undone until then takes it along.

        So it needs no savepoint of its own: where it fails, and cannot but for the database's own reasons, the transaction does.

        Raises:
            ReadOnly: as :meth:`atomic`.
        """
        if not self._alone:
            with self.atomic() as connection:
                write(connection)
            return
        if not self.write:
            raise ReadOnly(self.refusal)
        self._transaction()
        self._waiting.append(write)
        self.changed()

    def _write_waiting(self) -> None:
        while self._waiting:
            assert self._connection is not None
            self._waiting[0](self._connection)
            del self._waiting[0]  # what failed stays, so that no end of the session passes it over

    def changed(self) -> None:
        """Note that something was written."""
        self.wrote = True
        self.epoch += 1

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo everything inside on an error; the session goes on."""
        with self._nested(self._transaction()):
            yield

    @contextmanager
    def _nested(self, connection: Connection) -> Iterator[None]:
        # Told to the driver: SQLAlchemy compiles both statements anew each time, which costs more than a record does.
        if is_gone(connection):
            raise Refused("host_transaction_failed")
        self._depth += 1
        name = f"crm_{self._depth}"
        with typed(write=self.write):
            send(connection, f"SAVEPOINT {name}", [()])
        try:
            yield
            with typed(write=self.write):
                send(connection, f"RELEASE SAVEPOINT {name}", [()])
        except BaseException:
            self._undo()
            if not connection.invalidated:
                with suppress(DBAPIError):  # the failure may have ended the transaction
                    send(connection, f"ROLLBACK TO SAVEPOINT {name}", [()])
                    send(connection, f"RELEASE SAVEPOINT {name}", [()])  # else the next one of this name lies inside it
            raise
        finally:
            self._depth -= 1

    def _undo(self) -> None:
        self.epoch += 1
        self._waiting.clear()
        while self.undone:
            self.undone.pop()()

    def _restart(self, error: BaseException) -> None:
        self._undo()
        self._connection, self.begun = None, False
        stack, self._stack = self._stack, ExitStack()
        try:
            stack.__exit__(type(error), error, error.__traceback__)
        except BaseException as raised:
            # The failure itself comes back through the stack, as it is or in our words; the caller has it already.
            if raised is not error and raised.__cause__ is not error:
                raise


class Lease:
    """The use of a unit by a session and all that is derived from it. An elevated session's ends before its unit does."""

    def __init__(self, unit: Unit, outer: Lease | None = None) -> None:
        self._unit = unit
        self._outer = outer
        self._ended = False

    @property
    def unit(self) -> Unit:
        """The unit.

        Raises:
            ReadOnly: ``session_closed``: the block that the session was opened for is over.
        """
        if self._ended:
            raise ReadOnly("session_closed")
        return self._unit if self._outer is None else self._outer.unit

    @contextmanager
    def inner(self) -> Iterator[Lease]:
        """Lend the unit for a block."""
        lease = Lease(self.unit, self)
        try:
            yield lease
        finally:
            lease._ended = True
