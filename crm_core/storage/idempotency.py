"""Idempotency keys: what a session did under a key is kept with it, and a second run gets the first one's results.

The key's row is written in the session's own transaction, so key and effects commit or vanish together; ``crm.outcome(key)`` reads it.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_origin
from uuid import UUID

import attrs
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from ..entities.entity import Entity
from ..entities.fields import Ref
from ..entities.meta import spec
from ..errors import Conflict, CRMError, Invalid, ReadOnly, Refused, Unreadable, WrongArgument
from .door import at_the_door
from .kept import Asked, NotKept, is_read_again, keep, keep_error, keep_items, restore, restore_error, returned
from .stages import SYSTEM

if TYPE_CHECKING:
    from ..permissions.actor import Actor
    from ..session import Session
    from .tables import Tables

R = TypeVar("R")


# Whose text tells one value from another, in any process.
_PLAIN = (Decimal, date, datetime, time, timedelta, tzinfo, UUID, PurePath, bytes)


def describe(value: Any, other: Callable[[Any], Any] = lambda value: type(value).__qualname__) -> Any:
    """Turn what a call was given into plain JSON, by which a second run is known for the same; *other* says what the rest becomes."""
    if isinstance(value, Entity):
        added = {x.__name__: {k: describe(v, other) for k, v in part._items()} for x, part in (value._ext or {}).items()}
        fields = {k: describe(v, other) for k, v in value._items() if k not in SYSTEM}
        custom = {"custom": describe(value._custom, other)} if value._custom else {}
        return {"entity": spec(type(value)).name, "fields": fields, **({"extensions": added} if added else {}), **custom}
    if isinstance(value, enum.Enum):
        return describe(value.value, other)
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, Ref):
        return {"ref": value.id}
    if isinstance(value, Asked):
        return describe([spec(value.entity).name, *value.described()], other)
    if isinstance(value, type):
        return value.__qualname__
    if attrs.has(type(value)):
        return {type(value).__qualname__: {a.name: describe(getattr(value, a.name), other) for a in attrs.fields(type(value))}}
    if isinstance(value, Mapping):
        return {str(k): describe(v, other) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [describe(v, other) for v in value]
    if isinstance(value, set | frozenset):
        return sorted((describe(v, other) for v in value), key=json.dumps)
    return str(value) if isinstance(value, _PLAIN) else other(value)


class Keyed:
    """The calls of one session under one key: recorded in a first run, answered from the record in a later one.

    What a savepoint undid is recorded, too, since the second run comes by it again: there it is done anew, and must be undone again.
    Whoever comes again with other rights, as with a key of an API that may do less, gets records alone, which are read again.
    """

    def __init__(self, session: Session, key: str, past: Mapping[str, Any] | None) -> None:
        self._session = session
        self.key = key
        self.replaying = past is not None
        self.calls: list[dict[str, Any]] = past["calls"] if past else []
        self._as_then = past is None or past["rights"] == _rights(session.actor)
        self._next = 0
        self._depth = 0
        self._savepoints = 0
        self._redone: set[int] = set()

    def call(self, name: str, given: Any, work: Callable[[], R], *, returns: Any = None) -> R:
        """Run *work* and keep its result, or return what the first run's call at this place returned, as *returns* says.

        Args:
            returns: the annotation of what a plugin's code returns, which may be anything; None for what the core returns.

        Raises:
            CRMError: what the first run's call at this place raised.
            Conflict: ``idempotency_mismatch``: the key was used for something else.
            Refused: ``idempotency_result``: the result could not be given to a second run; nothing was written.
        """
        if self._depth:
            return work()
        if _is_asked(returns):
            return self._looked(name, work)
        unit = self._session._unit
        digest = self._digest(json.dumps([name, describe(given)], sort_keys=True))
        if self.replaying:
            return self._replay(name, digest, work, returns)
        try:
            with at_the_door(unit), self.nested(), nullcontext() if returns is None else unit.savepoint():
                result, kept = _kept(name, work(), returns)
        except CRMError as e:
            # The caller may catch it and go on; the second run is to meet it at the same place.
            self.calls.append({"call": name, "digest": digest, "error": keep_error(e)})
            raise
        self.calls.append({"call": name, "digest": digest, "result": kept})
        return result

    def _digest(self, given: str) -> str:
        sealer = self._session.crm.tables.sealer
        if sealer is None:
            return hashlib.sha256(given.encode()).hexdigest()
        with self.nested(), at_the_door(self._session._unit):
            return sealer.digest(self._session._unit.connection, self._session.actor.tenant, given)

    def _replay(self, name: str, digest: str, work: Callable[[], R], returns: Any) -> R:
        at = self._next
        past: dict[str, Any] = self.calls[at] if at < len(self.calls) else {"call": ""}
        # What is done anew has ids anew.
        if past["call"] != name or (past["digest"] != digest and "undone" not in past):
            raise self._mismatch(name)
        self._next += 1
        if "error" in past:
            raise restore_error(past["error"] if self._as_then else {**past["error"], "params": {}, "details": []})
        if "undone" not in past:
            if not (self._as_then or is_read_again(past["result"])):
                raise self._mismatch(name)
            return cast("R", restore(past["result"], Any if returns is None else returns, self._session))
        if not self._savepoints:
            raise self._mismatch(name)
        self._redone.add(at)
        with self.nested():
            return _kept(name, work(), returns)[0]

    def _looked(self, name: str, work: Callable[[], R]) -> R:
        """Return a query: it is asked when its caller asks it, in the second run as in the first."""
        unit = self._session._unit
        with self.nested(), unit.savepoint():
            before = unit.epoch
            query = work()
            if unit.epoch != before:
                raise Refused("idempotency_result", call=name, given="Query")
            return query

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo everything inside on an error, in the second run as in the first."""
        start = self._next if self.replaying else len(self.calls)
        self._savepoints += 1
        try:
            with self._session._unit.savepoint():
                yield
                if any(self.calls[at]["undone"] >= start for at in self._redone):
                    raise self._mismatch("savepoint")
        except BaseException:
            self._undo(start)
            raise
        finally:
            self._savepoints -= 1

    def _undo(self, start: int) -> None:
        """Note that the calls from *start* on were undone; in a second run, go on behind those that were in the first."""
        if not self.replaying:
            for call in self.calls[start:]:
                call["undone"] = start
            return
        self._redone = {at for at in self._redone if at < start}
        while self._next < len(self.calls) and self.calls[self._next].get("undone") == start:
            self._next += 1

    def _mismatch(self, call: str) -> Conflict:
        return Conflict("idempotency_mismatch", key=self.key, call=call)

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Keep no call of its own: what is done here is part of a call that is kept, or only looks."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1


def _is_asked(hint: Any) -> bool:
    cls = get_origin(hint) or hint
    return isinstance(cls, type) and issubclass(cls, Asked)


def _kept(name: str, result: R, returns: Any) -> tuple[R, Any]:
    """Return a call's result and what is kept of it. An iterator is read to its end, since a second run has nothing else to read."""
    try:
        if isinstance(result, Iterator):
            items = list(result)
            return cast("R", iter(items)), keep_items(items, returns)
        return result, keep(result, Any if returns is None else returns)
    except NotKept as e:
        raise Refused("idempotency_result", call=name, given=e.kind) from e


class Replayed:
    """A service whose method calls are answered from the key's record in a second run."""

    def __init__(self, service: Any, session: Session) -> None:
        self._service = service
        self._session = session

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._service, name)
        if not callable(member):
            return member
        title = f"{type(self._service).__qualname__}.{name}"

        def unclear(value: Any) -> Any:
            raise WrongArgument("idempotency_argument", call=title, given=type(value).__qualname__)

        def call(*args: Any, **kwargs: Any) -> Any:
            keyed = self._session._unit.keyed
            assert keyed is not None
            taken = [_read(each) for each in args], {key: _read(each) for key, each in kwargs.items()}
            given = describe(taken, unclear)

            def work() -> Any:
                positional, named = taken
                return member(*map(_again, positional), **{key: _again(each) for key, each in named.items()})

            return keyed.call(title, given, work, returns=returned(member))

        return call


@attrs.frozen
class _Items:
    """What an iterator yielded."""

    items: list[Any]


def _read(given: Any) -> Any:
    """Read an argument that can be read but once, to tell it from another."""
    return _Items(list(given)) if isinstance(given, Iterator) and not hasattr(given, "read") else given


def _again(given: Any) -> Any:
    return iter(given.items) if isinstance(given, _Items) else given


def begin(session: Session, key: str) -> Keyed:
    """Take a key, or find what was done under it. A concurrent first run is waited for."""
    if not session._unit.write:
        raise ReadOnly("read_only_session")
    if not isinstance(key, str) or not 0 < len(key) <= 255 or not key.isprintable():
        raise Invalid("bad_idempotency_key", given=str(key)[:60])
    tables = session.crm.tables
    table = tables.system.idempotency
    past = _past(session._unit.connection, tables, session.actor.tenant, key)
    if past is None:
        try:
            with session._unit.atomic() as connection:
                connection.execute(
                    insert(table).values(tenant=session.actor.tenant, key=key, actor=session.actor.id, at=session.crm.runtime.clock.now())
                )
            return Keyed(session, key, None)
        except IntegrityError:
            past = _past(session._unit.connection, tables, session.actor.tenant, key)
    if past is None or past["actor"] != session.actor.id:
        raise Conflict("idempotency_mismatch", key=key, call="session")
    return Keyed(session, key, past)


def finish(session: Session, keyed: Keyed) -> None:
    """Keep the results with the key."""
    if keyed.replaying:
        return
    tables, connection, tenant = session.crm.tables, session._unit.connection, session.actor.tenant
    table = tables.system.idempotency
    mine: Iterable[Any] = (table.c.tenant == tenant, table.c.key == keyed.key)
    result: Any = {"calls": keyed.calls, "rights": _rights(session.actor)}
    if tables.sealer is not None:
        result = tables.sealer.kept(connection, tenant, keyed.key, result)
    connection.execute(update(table).where(*mine).values(result=result))


def outcome(connection: Connection, tables: Tables, tenant: str, key: str) -> dict[str, Any] | None:
    """Return who committed a key and what its calls returned, or None where nothing was committed under it.

    Raises:
        Unreadable: it was sealed, and its key is not here.
    """
    found = _past(connection, tables, tenant, key)
    return None if found is None else {name: found[name] for name in ("actor", "at", "calls")}


def _rights(actor: Actor) -> str:
    """Tell one set of roles, teams and attributes from another."""
    given = describe([actor.roles, actor.teams, actor.attributes], str)
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def _past(connection: Connection, tables: Tables, tenant: str, key: str) -> dict[str, Any] | None:
    table = tables.system.idempotency
    row = connection.execute(select(table.c.actor, table.c.at, table.c.result).where(table.c.tenant == tenant, table.c.key == key)).first()
    if row is None:
        return None
    result = row.result or {"calls": []}
    if "sealed" in result:
        if tables.sealer is None:
            raise Unreadable("key_missing")
        result = tables.sealer.read(connection, tenant, key, result)
    return {"actor": row.actor, "at": row.at, "calls": result["calls"], "rights": result.get("rights")}
