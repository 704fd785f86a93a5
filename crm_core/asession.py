"""AsyncCRMSession: a session on the host's asynchronous connection.

Synchronous session code runs in a greenlet whose database calls await, as SQLAlchemy's ``run_sync`` does; a worker thread could not
use the host's transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from functools import wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from .entities.entity import Entity
from .entities.fields import Ref
from .errors import NeedsAwait, WrongArgument
from .storage.loops import loop_of_our_own

if TYPE_CHECKING:
    from .crm import CRM
    from .jobs.progress import Progress
    from .session import Session

R = TypeVar("R")
E = TypeVar("E", bound=Entity)


class AsyncCRMSession:
    """What ``crm.asession`` yields. ``run`` gives a function the ordinary session; the verbs here are short forms of it."""

    def __init__(self, crm: CRM, session: Session) -> None:
        self._crm = crm
        self._session = session

    @property
    def job(self) -> Progress:
        """The run of the job that works in this session; its calls need ``await session.run(lambda s: s.job.progress(...))``."""
        return self._session.job

    async def run(self, work: Callable[[Session], R]) -> R:
        """Run *work* with the session; inside, everything is as in synchronous code.

        Raises:
            WrongArgument: *work* is ``async def``.
        """
        if iscoroutinefunction(work):
            raise WrongArgument(given="an async def", expected="a plain function, which calls the session without await,")
        return await self._crm.bound.run(lambda: work(self._session))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(f"An AsyncCRMSession has get, create and run. Write await s.run(lambda s: s.{name}(...)).")

    async def get(self, entity: type[E], id: str | Ref[E]) -> E:
        """Return a record. See :meth:`Session.get`."""
        return await self.run(lambda s: s.get(entity, id))

    async def create(self, record: E) -> E:
        """Store a new record. See :meth:`Session.create`."""
        return await self.run(lambda s: s.create(record))


def synchronous(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that can be called from synchronous code with a session: one that is ``async def`` gets an AsyncCRMSession.

    It runs in the host's loop where a CRM on an AsyncEngine is driven from one, else in a loop of its own until it is done.
    """
    if not iscoroutinefunction(fn):
        return fn

    @wraps(fn)
    def call(session: Session, *args: Any) -> Any:
        return _waited(fn(AsyncCRMSession(session.crm, session), *args))

    return call


def _waited(coroutine: Coroutine[Any, Any, R]) -> R:
    if in_greenlet():
        return await_only(coroutine)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner(loop_factory=loop_of_our_own) as runner:
            return runner.run(coroutine)
    coroutine.close()
    raise NeedsAwait("needs_await")


@asynccontextmanager
async def opened(crm: CRM, manager: AbstractContextManager[Session]) -> AsyncIterator[AsyncCRMSession]:
    """Enter and leave a synchronous session from a running loop."""
    session = await crm.bound.run(manager.__enter__)
    try:
        yield AsyncCRMSession(crm, session)
    except BaseException as e:
        error = e
        if not await asyncio.shield(crm.bound.run(lambda: manager.__exit__(type(error), error, error.__traceback__))):
            raise
    else:
        await asyncio.shield(crm.bound.run(lambda: manager.__exit__(None, None, None)))
