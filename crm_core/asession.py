"""AsyncCRMSession: a session on the host's asynchronous connection.

Synchronous session code runs in a greenlet whose database calls await, as SQLAlchemy's ``run_sync`` does; a worker thread could not
use the host's transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from .entities.entity import Entity
from .entities.fields import Ref

if TYPE_CHECKING:
    from .crm import CRM
    from .session import Session

R = TypeVar("R")
E = TypeVar("E", bound=Entity)


class AsyncCRMSession:
    """What ``crm.asession`` yields. ``run`` gives a function the ordinary session; the verbs here are short forms of it."""

    def __init__(self, crm: CRM, session: Session) -> None:
        self._crm = crm
        self._session = session

    async def run(self, work: Callable[[Session], R]) -> R:
        """Run *work* with the session; inside, everything is as in synchronous code."""
        return await self._crm.bound.run(lambda: work(self._session))

    async def get(self, entity: type[E], id: str | Ref[E]) -> E:
        """Return a record. See :meth:`Session.get`."""
        return await self.run(lambda s: s.get(entity, id))

    async def create(self, record: E) -> E:
        """Store a new record. See :meth:`Session.create`."""
        return await self.run(lambda s: s.create(record))


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
