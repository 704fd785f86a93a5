"""What a CRM does with the tables it adopted: observe the host's writes, take up rows it does not know, tell what is wrong in them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import attrs
from sqlalchemy import Connection, select

from ..arguments import check
from ..entities.entity import Entity
from ..entities.fields import Ref
from ..errors import Detail, LoadError
from ..logs import facts
from ..permissions.actor import Actor
from ..permissions.prepared import driver_rows
from ..storage.adopted_fits import misfits

if TYPE_CHECKING:
    from ..crm import CRM
    from ..entities.codec import Codec
    from ..storage.adopted import Adoption
    from .observing import Observer
    from .recording import Recorder

E = TypeVar("E", bound=Entity)
BATCH = 500
log = logging.getLogger("crm_core.adoption")


@attrs.frozen
class Flaw:
    """A value in a host's row that the CRM would not have taken; it is read as ``record`` shows it.

    Attributes:
        key: the host's primary key.
        detail: which field, and what is wrong.
    """

    entity: str
    id: str
    key: Any
    detail: Detail


class AdoptedTables:
    """The host's tables that are entities of one CRM: ``crm.adoption``.

    Attributes:
        observes: whether this process observes an ORM.
    """

    def __init__(self, crm: CRM) -> None:
        self._crm = crm
        self._observer: Observer | None = None
        self.observes = False
        self._told = False
        self._acting: ContextVar[Actor | None] = ContextVar("crm_acting", default=None)

    def observe(self, target: Any) -> None:
        """Write what an ORM session does to adopted tables into the journal, in its own transaction.

        Observed are flushes (``add``, changed attributes, ``delete``), ``session.execute`` of ``update``, ``delete`` and ``insert``, and
        ``bulk_save_objects`` and its kin, whose rows are read before and after. Not observed are SQL texts, and what goes past the
        session: :meth:`fill` takes up the rows that they made.

        Args:
            target: a ``sessionmaker``, a ``Session`` class, or one session.

        Raises:
            WrongArgument: it is none of these: an engine, or what is asynchronous.
        """
        from sqlalchemy.orm import Session, scoped_session, sessionmaker

        kinds = (sessionmaker, scoped_session, Session)
        if not (isinstance(target, type) and issubclass(target, Session)):
            check(target, kinds, "a sessionmaker, a Session class or a session (of an AsyncSession, its sync_session_class)")
        if self._observer is None:
            from .observing import Observer

            self._observer = Observer(self._crm, self.recorder())
        self._observer.listen(target)

    def recorder(self) -> Recorder:
        """Return what an observer of an ORM writes down with; from here on this process observes."""
        from .recording import Recorder

        self.observes = True
        return Recorder(self._crm, self._actor)

    @property
    def acts(self) -> bool:
        """Whether :meth:`acting` says who writes."""
        return self._acting.get() is not None

    @property
    def unobserved(self) -> tuple[Adoption, ...]:
        """The adopted tables that an ORM may write to while this process observes none; without those that say ``observed=False``."""
        waiting = () if self.observes or self._crm.safe_mode else self._crm.tables.adopted.values()
        return tuple(each for each in waiting if each.adopted.observed)

    def _read(self, entity: type[Any]) -> None:
        """Hear that a lens shows an entity. Only the process in which an ORM writes can know that it is observed: so it is here that one
        which is not is told of, once, and not before somebody works with the records."""
        if self._told or not any(each.entity is entity for each in self.unobserved):
            return
        self._told = True
        table = self._crm.tables.adopted[entity].table.name
        log.warning(
            "%s is adopted, and this process observes no ORM: what one writes there is missing from the journal, and nobody hears of it. "
            "Call crm.adoption.observe(sessionmaker) where the CRM is made, or crm_core.ext.django.observe(crm); if nothing writes, say "
            "Adopted(..., observed=False).",
            table,
            extra=facts("adopted_unobserved", table=table),
        )

    @contextmanager
    def acting(self, actor: Actor) -> Iterator[None]:
        """Say who writes in this block; ``session.info["crm_actor"]`` says it for one ORM session. Else it is ``system:host``."""
        check(actor, Actor, "an Actor")
        token = self._acting.set(actor)
        try:
            yield
        finally:
            self._acting.reset(token)

    def _actor(self, given: Any, tenant: str) -> Actor:
        actor = given if isinstance(given, Actor) else self._acting.get()
        return actor if actor is not None and actor.tenant == tenant else Actor.system("host", tenant=tenant, on_behalf_of=actor)

    def id(self, entity: type[Entity], key: Any) -> str:
        """Return the id of the record that the host's row with primary key *key* is."""
        return self._of(entity).key.id(key)

    def ref(self, entity: type[E], key: Any) -> Ref[E]:
        """Return what points at the record that the host's row with primary key *key* is; whether there is one is asked when it is written.

        ``s.create(Opportunity(..., account=crm.adoption.ref(Account, 7)))``

        Raises:
            LoadError: ``adopted_not``: the entity has a table of ours.
            WrongArgument: it is no value of the host's primary key.
        """
        return Ref(entity, self.id(entity, key))

    def key(self, record: Entity | Ref[Any]) -> Any:
        """Return the host's primary key of a record: an ``int``, or a ``UUID``."""
        key = self._of(record.entity if isinstance(record, Ref) else type(record)).key
        return key.value(record.id, self._crm.bound.kind) if key.numeric else UUID(record.id)

    def _of(self, entity: type[Any]) -> Adoption:
        found = self._crm.tables.adopted.get(self._crm.codec(entity).entity)
        if found is None:
            raise LoadError("adopted_not", entity=self._crm.codec(entity).facts.name)
        return found

    def fill(self, *, limit: int | None = None) -> int:
        """Take up rows that the journal does not know: each is journalled as created when it was made, as by an import.

        Each 500 are a transaction of their own, so it may be stopped and run again, also while others write. Subscribers hear of each row:
        have a worker run, else the requests that deliver what they commit work that off.

        Args:
            limit: stop after this many.

        Returns:
            How many there were.
        """
        done = 0
        for entity in self._crm.tables.adopted:
            while limit is None or done < limit:
                count = self._filled(entity, BATCH if limit is None else min(BATCH, limit - done))
                done += count
                if not count:
                    break
        return done

    def _filled(self, entity: type[Any], most: int) -> int:
        table, adoption = self._crm.tables.entities[entity], self._crm.tables.adopted[entity]
        with self._crm.bound.begin() as connection:
            waiting = select(adoption.key.column).where(adoption.unseen(connection.dialect), adoption.owned(connection.dialect))
            keys = connection.execute(waiting.limit(most)).scalars()
            ids = [adoption.key.id(value) for value in keys]
            found = connection.execute(select(table.c.id, table.c.tenant).where(table.c.id.in_(ids))).all()
            count = 0
            for tenant in sorted({row.tenant for row in found}):
                with self._crm.session(Actor.system("host", tenant=tenant), on=connection) as session:
                    records = rows_of(self._crm.codec(entity), connection, table, [row.id for row in found if row.tenant == tenant])
                    count += session.crm.writer(connection).hosts.see(session, self._crm.codec(entity), records.values())
        return count

    def check(self, *, tenant: str = "main") -> Iterator[Flaw]:
        """Tell what in the rows of adopted tables the CRM would not have taken: too long, empty, no such option, ...

        Raises:
            SchemaBehind: the tables themselves are not what the CRM needs; see :meth:`crm.migrations.check`.
        """
        with self._crm.bound.begin(write=False, unlimited=True) as connection:
            self._crm.migrations.check_adopted(connection)
        for entity in self._crm.tables.adopted:
            codec, table = self._crm.codec(entity), self._crm.tables.entities[entity]
            after = ""
            while True:
                with self._crm.bound.begin(write=False) as connection:
                    wanted = select(table.c.id).where(table.c.tenant == tenant).order_by(table.c.id).limit(BATCH)
                    ids = list(connection.execute(wanted.where(table.c.id > after) if after else wanted).scalars())
                    records = rows_of(codec, connection, table, ids)
                for id_ in ids:
                    record = records[id_]
                    yield from (Flaw(codec.facts.name, id_, self.key(record), detail) for detail in self._wrong(codec, record))
                if len(ids) < BATCH:
                    break
                after = ids[-1]

    def _wrong(self, codec: Codec, record: Entity) -> Iterator[Detail]:
        wrong = codec.check(record)
        yield from wrong
        known, dialect = {detail.field for detail in wrong}, self._crm.bound.engine.dialect
        told = misfits(self._crm.tables.adopted[codec.entity], codec, record, dialect)
        yield from (detail for detail in told if detail.field not in known)


def rows_of(codec: Codec, connection: Connection, table: Any, ids: Sequence[str], *, lock: bool = False) -> dict[str, Entity]:
    """Read whole records of any tenant, deleted ones too."""
    columns, load = codec.loader(codec.every)
    wanted = select(*(table.c[c] for c in columns))
    found: dict[str, Entity] = {}
    for start in range(0, len(ids), BATCH):
        part = wanted.where(table.c.id.in_(ids[start : start + BATCH])).order_by(table.c.id)
        rows = driver_rows(connection.execute(part.with_for_update(key_share=True) if lock else part))
        found |= {record.id: record for record in map(load, rows)}
    return found
