"""Idempotency keys: what a session did under a key is kept with it, and a second run gets the first one's results.

The key's row is written in the session's own transaction, so key and effects commit or vanish together; ``crm.outcome(key)`` reads it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from ..entities.entity import Entity
from ..entities.fields import Ref
from ..entities.meta import spec
from ..errors import Conflict, CRMError, Invalid, ReadOnly
from .kept import keep, keep_error, restore, restore_error, returned
from .stages import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..session import Session

R = TypeVar("R")


def describe(value: Any) -> Any:
    """Turn what a call was given, or returned, into plain JSON."""
    if isinstance(value, Entity):
        added = {x.__name__: {k: describe(v) for k, v in part._items()} for x, part in (value._ext or {}).items()}
        fields = {k: describe(v) for k, v in value._items() if k not in SYSTEM}
        return {"entity": spec(type(value)).name, "fields": fields, **({"extensions": added} if added else {})}
    if isinstance(value, Ref):
        return {"ref": value.id}
    if isinstance(value, type):
        return value.__qualname__
    if attrs.has(type(value)):
        return {type(value).__qualname__: {a.name: describe(getattr(value, a.name)) for a in attrs.fields(type(value))}}
    if isinstance(value, dict):
        return {str(k): describe(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [describe(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


class Keyed:
    """The calls of one session under one key: recorded in a first run, answered from the record in a later one."""

    def __init__(self, key: str, past: list[dict[str, Any]] | None) -> None:
        self.key = key
        self.replaying = past is not None
        self.calls: list[dict[str, Any]] = past or []
        self._next = 0
        self._depth = 0

    def call(self, session: Session, name: str, given: Any, work: Callable[[], R], *, returns: Any = Any) -> R:
        """Run *work* and keep its result, or return what the first run's call at this place returned, as *returns* says.

        Raises:
            CRMError: what the first run's call at this place raised.
            Conflict: ``idempotency_mismatch``: the key was used for something else.
        """
        if self._depth:
            return work()
        digest = hashlib.sha256(json.dumps([name, describe(given)], sort_keys=True).encode()).hexdigest()
        if self.replaying:
            if self._next >= len(self.calls) or self.calls[self._next]["digest"] != digest:
                raise Conflict("idempotency_mismatch", key=self.key, call=name)
            past = self.calls[self._next]
            self._next += 1
            if "error" in past:
                raise restore_error(past["error"])
            return cast("R", restore(past["result"], returns, session))
        try:
            with self.nested():
                result = work()
        except CRMError as e:
            # The caller may catch it and go on; the second run is to meet it at the same place.
            self.calls.append({"call": name, "digest": digest, "error": keep_error(e)})
            raise
        self.calls.append({"call": name, "digest": digest, "result": keep(result)})
        return result

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Keep no call of its own: what is done here is part of a call that is kept, or only looks."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1


class Replayed:
    """A service whose method calls are answered from the key's record in a second run."""

    def __init__(self, service: Any, session: Session) -> None:
        self._service = service
        self._session = session

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._service, name)
        if not callable(member):
            return member

        def call(*args: Any, **kwargs: Any) -> Any:
            keyed = self._session.unit.keyed
            assert keyed is not None
            title = f"{type(self._service).__qualname__}.{name}"
            return keyed.call(self._session, title, [args, kwargs], lambda: member(*args, **kwargs), returns=returned(member))

        return call


def begin(session: Session, key: str) -> Keyed:
    """Take a key, or find what was done under it. A concurrent first run is waited for."""
    if not session.unit.write:
        raise ReadOnly("read_only_session")
    if not isinstance(key, str) or not 0 < len(key) <= 255 or not key.isprintable():
        raise Invalid("bad_idempotency_key", given=str(key)[:60])
    table = session.crm.tables.system.idempotency
    past = outcome(session.unit.connection, table, session.actor.tenant, key)
    if past is None:
        try:
            with session.unit.atomic() as connection:
                connection.execute(
                    insert(table).values(tenant=session.actor.tenant, key=key, actor=session.actor.id, at=session.crm.runtime.clock.now())
                )
            return Keyed(key, None)
        except IntegrityError:
            past = outcome(session.unit.connection, table, session.actor.tenant, key)
    if past is None or past["actor"] != session.actor.id:
        raise Conflict("idempotency_mismatch", key=key, call="session")
    return Keyed(key, past["calls"])


def finish(session: Session, keyed: Keyed) -> None:
    """Keep the results with the key."""
    if keyed.replaying:
        return
    table = session.crm.tables.system.idempotency
    mine: Iterable[Any] = (table.c.tenant == session.actor.tenant, table.c.key == keyed.key)
    session.unit.connection.execute(update(table).where(*mine).values(result={"calls": keyed.calls}))


def outcome(connection: Any, table: Any, tenant: str, key: str) -> dict[str, Any] | None:
    """Return who committed a key and what its calls returned, or None where nothing was committed under it."""
    row = connection.execute(select(table.c.actor, table.c.at, table.c.result).where(table.c.tenant == tenant, table.c.key == key)).first()
    return None if row is None else {"actor": row.actor, "at": row.at, "calls": (row.result or {"calls": []})["calls"]}
