"""How a session is opened: in a transaction of its own or in the host's, under a key or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection

from .arguments import check, check_line
from .errors import Refused
from .permissions.actor import Actor
from .session import Session
from .storage import idempotency
from .storage.door import at_the_door
from .storage.failures import retryable
from .storage.join import is_untouched, joined
from .storage.unit import Lease, Unit

if TYPE_CHECKING:
    from .crm import CRM

R = TypeVar("R")


@contextmanager
def opened(
    crm: CRM, actor: Actor, *, on: Any, idempotency_key: str | None, reason: str | None, request: str | None, write: bool
) -> Iterator[Session]:
    """Open a session; the arguments are those of :meth:`CRM.session`."""
    check(actor, Actor, "an Actor")
    check_line(reason=reason, request=request)
    write = write and not crm.safe_mode
    if crm.watchdog is not None:
        crm.watchdog.watch()
    own = on is None
    if own and write:
        _refuse_inside_a_plugin(crm)
    # A framework's transaction that begins here to read holds nobody else's work: what is to be written of it comes before or after.
    reads_alone = own and crm.bound.managed and not write and crm.bound.mark() is None
    is_joined = not own or (crm.bound.managed and not reads_alone)
    begin: Callable[[], AbstractContextManager[Connection]]
    begin = (lambda: _joined(crm, session, host, write)) if is_joined or reads_alone else (lambda: _begun(crm, session, write))
    unit = Unit(begin, write=write, joined=is_joined, url=crm.bound.url)
    session = Session(crm, actor, Lease(unit), reason=reason, request=request)
    with (
        _quarantines_kept(crm, own=own and write),
        crm.denials.behind(unit),
        _reads_kept(crm, unit, own=own),
        _people_known(crm, session) if reads_alone else nullcontext(),
        crm.bound.hosted(on, write) as host,
        unit,
    ):
        unit.refusal = "safe_mode" if crm.safe_mode else unit.refusal
        # What a failed session wrote is undone, whether the host goes on or not.
        with crm.denials.of(session), crm.sessions.entered(session.hooks), unit.savepoint() if write and unit.joined else nullcontext():
            if idempotency_key is not None:
                with at_the_door(unit):
                    unit.keyed = idempotency.begin(session, idempotency_key)
            yield session
            with at_the_door(unit):
                _finish(session)


def _refuse_inside_a_plugin(crm: CRM) -> None:
    """Refuse what would wait for the transaction beneath it: on SQLite for its lock, on PostgreSQL for the rows that it changed."""
    part = crm.sessions.running(crm.registry)
    if part is not None:
        raise Refused("session_inside_plugin", plugin=part.plugin, function=part.name)


@contextmanager
def _quarantines_kept(crm: CRM, *, own: bool) -> Iterator[None]:
    """Write down a quarantine that began meanwhile, once the session's own transaction is over."""
    try:
        yield
    finally:
        if own:
            crm.quarantine.keep()


@contextmanager
def _people_known(crm: CRM, session: Session) -> Iterator[None]:
    """See that who reports to whom is written down before a transaction that only reads; see :func:`_begun`."""
    with session._unit.outside():
        crm.members(session)
    yield


@contextmanager
def _reads_kept(crm: CRM, unit: Unit, *, own: bool) -> Iterator[None]:
    """Journal what was read of sensitive fields, once the session's own transaction is over: who read and then failed has read."""
    kept = False
    try:
        yield
        kept = unit.write or unit.joined
    finally:
        if unit.reads and not kept and own:
            with crm.bound.begin() as connection:
                unit.reads.journal(crm, connection)


@contextmanager
def _joined(crm: CRM, session: Session, on: Any, write: bool) -> Iterator[Connection]:
    if not write and crm.bound.kind == "sqlite" and not crm.bound.shared and is_untouched(on):
        # As in _begun: once it reads, SQLite lets it write down who reports to whom only where nobody else writes meanwhile.
        with session._unit.outside():
            crm.members(session)
    with joined(crm.bound, on, write=write) as connection:
        crm.quarantine.look(connection)
        crm.plugins.refuse_gone()
        crm.tenants.admit(connection, session.actor)
        yield connection


@contextmanager
def _begun(crm: CRM, session: Session, write: bool) -> Iterator[Connection]:
    # On SQLite a session that begins with a read may keep another connection from committing, and an only connection has one transaction.
    beside = crm.bound.kind == "sqlite" and not crm.bound.shared
    if beside:
        crm.migrations.refuse_newer()
        crm.quarantine.look()
        crm.plugins.refuse_gone()
        if not write:
            # What a reading session sees stands still from its first statement on: who reports to whom must be up to date by then.
            crm.members(session)
    with crm.bound.begin(write) as connection:
        if not beside:
            crm.migrations.refuse_newer(connection)
            crm.quarantine.look(connection)
            crm.plugins.refuse_gone()
        crm.tenants.admit(connection, session.actor)
        yield connection


def transacted(crm: CRM, actor: Actor, work: Callable[[Session], R], retries: int, idempotency_key: str | None) -> R:
    """Run *work* in a session, again as a whole where that may help; the arguments are those of :meth:`CRM.transact`."""
    check(work, Callable, "a function of a session")  # type: ignore[arg-type]  # isinstance takes it
    check(retries, int, "a number")
    for attempt in range(retries + 1):
        try:
            with crm.session(actor, idempotency_key=idempotency_key) as session:
                return work(session)
        except Exception as e:
            if attempt == retries or not retryable(e):
                raise
            time.sleep(0.05 * 2**attempt * (0.5 + crm.runtime.random.random()))
    raise AssertionError("unreachable")


def _finish(session: Session) -> None:
    unit = session._unit
    if unit.reads and (unit.write or unit.joined):
        unit.reads.journal(session.crm, unit.connection)
    if unit.keyed is not None:
        idempotency.finish(session, unit.keyed)
    if unit.wrote:
        from .events.wake import notify

        notify(unit.connection, session.crm.tables)
        session.crm.bound.committing(partial(_deliver, session.crm))


def _deliver(crm: CRM, *, on: Any = None, seconds: float | None = None) -> int:
    return crm.delivery.run_pending(seconds=seconds) if on is None else crm.run_pending(on=on)
