"""Where a person is: the records that are about them in every entity of every plugin, found by what those declare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs
from sqlalchemy import ColumnElement, Text, cast, or_, select

from ..entities.activity import Link
from ..entities.meta import spec
from ..entities.values import Email, Phone
from ..storage.writer import chunks
from .subject import Found, addresses

if TYPE_CHECKING:
    from ..entities.codec import Codec
    from ..entities.fields import FieldSpec
    from ..session import Session

ID_LENGTH = 36  # of a text field that keeps a record's id
SHORTEST = 5  # of an address that is looked for in what came from outside

Why = Literal["person", "part", "about", "mentions", "points"]
"""``person``: it is they; ``part``: it goes with them by its reference (``cascade``); ``about``: its personal fields are about them, or
belong to what is; ``mentions``: it names them or one of their addresses in a link, as a participant or in what is kept as it came;
``points``: it points at them, and has nothing personal of theirs."""


@attrs.define
class Traces:
    """The records about a person, by entity and id, with why; and the addresses and numbers of theirs."""

    records: dict[type[Any], dict[str, Why]]
    addresses: frozenset[str]

    def of(self, *why: Why) -> Iterator[tuple[type[Any], list[str]]]:
        """Yield the ids of the records that are there for one of these reasons, by entity."""
        for entity, found in self.records.items():
            ids = [i for i, reason in found.items() if reason in why]
            if ids:
                yield entity, ids

    @property
    def subjects(self) -> tuple[str, ...]:
        """The records that are the person, as ``contact:ID``."""
        return tuple(sorted(f"{spec(entity).name}:{id_}" for entity, ids in self.of("person") for id_ in ids))


def trace(session: Session, roots: Found) -> Traces:
    """Find all records about a person, deleted ones too."""
    return _Tracing(session).run(roots)


class _Tracing:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._crm = session.crm
        self._tenant = session.actor.tenant
        self._found: dict[type[Any], dict[str, Why]] = {}
        self._next: list[tuple[type[Any], list[str]]] = []

    def run(self, roots: Found) -> Traces:
        for entity, ids in roots.items():
            self._add(entity, ids, "person")
        self._follow()
        people = dict(Traces(self._found, frozenset()).of("person"))
        known = frozenset(a for theirs in addresses(self._session, people).values() for a in theirs)
        ids = [i for theirs in people.values() for i in theirs]
        for codec in self._codecs():
            self._loose(codec, ids)
            self._lists(codec, ids, known)
            self._mentioning(codec, [*ids, *(a for a in known if len(a) >= SHORTEST)])
        self._follow()
        return Traces(self._found, known)

    def _codecs(self) -> Iterator[Codec]:
        return (self._session.codec(entity) for entity in self._crm.registry.entities)

    def _add(self, entity: type[Any], ids: Iterable[str], why: Why) -> None:
        known = self._found.setdefault(entity, {})
        fresh = [i for i in ids if known.get(i, "points") == "points"]
        known.update(dict.fromkeys(fresh, why))
        if fresh and why != "points":
            self._next.append((entity, fresh))

    def _follow(self) -> None:
        while self._next:
            entity, ids = self._next.pop()
            people = [i for i in ids if self._found[entity][i] == "person"]
            for child, field in self._crm.references(entity):
                codec = self._session.codec(child)
                if codec.subject_field is not None and codec.subject_field.column == field.column:
                    self._add(child, self._pointing(codec, field, ids), "person" if _has_addresses(codec) else "about")
                elif field.options.on_delete == "cascade":
                    going = [i for i in ids if self._found[entity][i] in ("person", "part")]
                    self._add(child, self._pointing(codec, field, going), "part")
                    self._add(child, self._pointing(codec, field, [i for i in ids if i not in going]), "about")
                elif people:
                    self._from(codec, field, people)

    def _from(self, codec: Codec, field: FieldSpec, people: Sequence[str]) -> None:
        """Add what points at the person: with personal fields of theirs, unless it is another person or says that it is about one."""
        pointing = self._pointing(codec, field, people)
        theirs: list[str] = []
        if codec.personal and not _has_addresses(codec):
            theirs = self._pointing(codec, field, people, alone=True)
        self._add(codec.entity, theirs, "about")
        self._add(codec.entity, [i for i in pointing if i not in theirs], "points")

    def _pointing(self, codec: Codec, field: FieldSpec, ids: Sequence[str], *, alone: bool = False) -> list[str]:
        table = self._crm.tables.entities[codec.entity]
        also = [table.c[codec.subject_field.column].is_(None)] if alone and codec.subject_field is not None else []
        return self._ids(codec, lambda part: [table.c[field.column].in_(part), *also], ids)

    def _ids(self, codec: Codec, condition: Any, values: Sequence[str]) -> list[str]:
        table = self._crm.tables.entities[codec.entity]
        found: list[str] = []
        for part in chunks(list(values)):
            wanted = select(table.c.id).where(table.c.tenant == self._tenant, *condition(part))
            found += [str(i) for i in self._session._unit.connection.execute(wanted).scalars()]
        return found

    def _loose(self, codec: Codec, ids: Sequence[str]) -> None:
        """Add what keeps the person's id in a text field, as records that may point at any entity do."""
        table = self._crm.tables.entities[codec.entity]
        for field in codec.fields.values():
            if field.columns and field.kind == "str" and field.length == ID_LENGTH and not field.system and not field.options.sealed:
                column = table.c[field.column]
                found = self._ids(codec, lambda part, column=column: [column.in_(part)], ids)
                self._add(codec.entity, found, "mentions" if codec.personal else "points")

    def _lists(self, codec: Codec, ids: Sequence[str], known: Iterable[str]) -> None:
        """Add what links to the person, or had them as a participant."""
        for name in codec.lists:
            field = codec.fields[name]
            if field.type in (Email, Phone):
                continue
            values = list(ids) if field.type is Link else sorted(known)
            listed = self._crm.tables.lists[codec.entity, field.column]
            for part in chunks(values):
                wanted = select(listed.c.record).where(listed.c.tenant == self._tenant, listed.c.value.in_(part))
                self._add(codec.entity, map(str, self._session._unit.connection.execute(wanted).scalars()), "mentions")

    def _mentioning(self, codec: Codec, words: Sequence[str]) -> None:
        """Add what is kept as it came from outside, and names the person or one of their addresses."""
        table = self._crm.tables.entities[codec.entity]
        columns = [table.c[f.column] for f in codec.fields.values() if f.kind == "json" and f.options.pii and not f.options.sealed]

        def condition(part: Sequence[str]) -> list[ColumnElement[bool]]:
            return [or_(*(cast(c, Text).contains(word, autoescape=True) for c in columns for word in part))]

        if columns:
            for part in chunks(words, 50):
                self._add(codec.entity, self._ids(codec, condition, part), "mentions")


def _has_addresses(codec: Codec) -> bool:
    """Say whether records of an entity are people or companies themselves."""
    return any(codec.fields[name].type in (Email, Phone) for name in codec.lists)
