"""What rules ask beyond a record's values, answered from a session's database and remembered until the next write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select

from ..entities.sealing import CELL
from ..entities.validate import is_id
from .actor import Actor
from .predicates import Everything, Nothing, Related, Rule, Seen, plain, walk
from .prepared import driver_rows
from .to_python import People, Values

if TYPE_CHECKING:
    from ..entities.entity import Entity
    from ..scope import Scope

CHUNK = 1_000
MOST = 10_000  # facts kept of one session


class SessionFacts:
    """The facts of one session. What is asked about a batch is read at once by :meth:`foresee`, else at the first question about it."""

    def __init__(self, session: Scope, people: People) -> None:
        self._session = session
        self._people = people
        self._related: dict[tuple[str, str], Values | None] = {}
        self._shares: set[tuple[str, str, str]] | None = None
        self._epoch = session._unit.epoch

    @property
    def actor(self) -> Actor:
        """Who acts."""
        return self._session.actor

    @property
    def people(self) -> People:
        """The directory of the actor's tenant."""
        return self._people

    def foresee(self, rules: Iterable[Rule], records: Iterable[Entity]) -> None:
        """Read what *rules* will ask about *records* of one entity: one statement for each reference, however many the records are."""
        followed = [node for rule in rules for node in walk(rule) if isinstance(node, Related | Seen)]
        if not followed:
            return
        self._forget_old()
        self._follow(followed, [self._session.codec(type(record)).values(record) for record in records])

    def stored(self, rule: Rule, entity: str, ids: Iterable[str]) -> dict[str, Values]:
        """Return the values of living records by id, and read what *rule* will ask about them; both at once, however many they are.

        They are not remembered: whoever asks about all records of a table goes through them once.
        """
        self._forget_old()
        if len(self._related) > MOST:
            self._related.clear()
        ids = list(ids)
        self._load(entity, ids)
        found = {id: values for id in ids if (values := self._related.pop((entity, id))) is not None}
        self._follow((node for node in walk(rule) if isinstance(node, Related | Seen)), list(found.values()))
        return found

    def _follow(self, followed: Iterable[Related | Seen], values: Sequence[Values]) -> None:
        wanted: defaultdict[str, set[str]] = defaultdict(set)
        for node in followed:
            if isinstance(node, Related):
                wanted[node.target].update({plain(each.get(node.ref)) for each in values} - {None})
            else:
                for each in values:
                    if each.get(node.record) is not None and not isinstance(node.rule(each.get(node.entity)), Everything | Nothing):
                        wanted[each[node.entity]].add(each[node.record])
        for target, ids in sorted(wanted.items()):
            self._load(target, ids)

    def related(self, entity: str, id: str) -> Values | None:
        """Return the values of a living record of the tenant, or None."""
        self._forget_old()
        self._load(entity, {id})
        return self._related[entity, id]

    def _load(self, entity: str, ids: Iterable[str]) -> None:
        unknown = sorted(id for id in ids if (entity, id) not in self._related)
        found: dict[str, Values | None] = dict.fromkeys(unknown)
        wanted = [id for id in unknown if is_id(id)]
        crm = self._session.crm
        codec = self._session.codec(crm.entity(entity))
        table = crm.tables.entities[codec.entity]
        columns, load = codec.loader(codec.every)
        for start in range(0, len(wanted), CHUNK):
            statement = select(*(table.c[c].info.get(CELL, table.c[c]) for c in columns)).where(
                table.c.tenant == self.actor.tenant, table.c.id.in_(wanted[start : start + CHUNK]), table.c.deleted_at.is_(None)
            )
            records = list(map(load, driver_rows(self._session._unit.connection.execute(statement))))
            crm.custom_fields.fill(self._session, codec, records)
            for record in records:
                found[record.id] = codec.values(record)
        self._related.update({(entity, id): values for id, values in found.items()})

    def shared(self, entity: str, id: str, action: str) -> bool:
        """Say whether a record was shared with the actor or one of the actor's teams for *action*."""
        self._forget_old()
        if self._shares is None:
            table = self._session.crm.tables.system.share
            statement = select(table.c.entity, table.c.record, table.c.action).where(
                table.c.tenant == self.actor.tenant, table.c.grantee.in_(self.actor.grantees)
            )
            self._shares = {tuple(row) for row in self._session._unit.connection.execute(statement)}
        return (entity, id, action) in self._shares

    def has_shares(self, entity: str, action: str) -> bool:
        """Say whether any record of an entity was shared with the actor or one of the actor's teams for *action*."""
        self.shared(entity, "", action)
        return any((e, a) == (entity, action) for e, _, a in self._shares or ())

    def _forget_old(self) -> None:
        """Ask again after anything was written or undone."""
        if self._epoch != self._session._unit.epoch:
            self._epoch = self._session._unit.epoch
            self._related.clear()
            self._shares = None
