"""What a file calls by name, found among the records and users that the actor may see: one statement a batch, not one a row."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ..entities.columns import columns_of
from ..entities.fields import Ref
from ..entities.meta import logical_table, spec
from ..errors import CRMError, Detail, Invalid
from .plan import Link

if TYPE_CHECKING:
    from ..entities.columns import EntityTable
    from ..session import Session

CHUNK = 500
CANDIDATES = 2_000
PROPOSALS = 100

Found = Mapping[str, Any]


class Lookups:
    """The look-ups of one import; it remembers proposals, not records."""

    def __init__(self) -> None:
        self._proposals: dict[tuple[str, str], str] = {}
        self._candidates: dict[str, list[str]] = {}

    def find(self, session: Session, link: Link, wanted: Iterable[str]) -> Found:
        """Return what each wanted value stands for: a reference or user id; a Detail where several are called so; nothing where none is."""
        values = sorted(set(wanted))
        if link.target is None:
            return _users(session, link, values)
        found: dict[str, Any] = {}
        table, column = _column(link)
        for start in range(0, len(values), CHUNK):
            part = values[start : start + CHUNK]
            named: Iterable[Any] = session.execute(select(table.c.id, column).where(column.in_(part)))
            for id_, value in named:
                found[value] = _ambiguous(link, value) if value in found else Ref(link.target, id_)
        return found

    def create(self, session: Session, link: Link, values: Sequence[str]) -> tuple[dict[str, Any], dict[str, CRMError]]:
        """Create the records that are missing, with nothing but what they are called; return them, and why some could not be."""
        assert link.target is not None
        assert link.by is not None
        target = spec(link.target)
        lacking = [n for n, f in target.fields.items() if f.required and n != link.by.name]
        if lacking:
            error = Invalid("import_cannot_create", entity=target.name, fields=lacking)
            return {}, dict.fromkeys(values, error)
        records = [link.target(**{link.by.name: value}) for value in values]
        result = session.create_many(records, on_error="collect")
        failed = {values[n]: e for n, e in result.failed}
        made = [v for v in values if v not in failed]
        return {v: r.ref for v, r in zip(made, result.ok, strict=True)}, failed

    def propose(self, session: Session, link: Link, value: str) -> str:
        """Return the known name that is most like *value*, or nothing."""
        key = (link.name, value)
        if key not in self._proposals:
            if len(self._proposals) >= PROPOSALS:
                return ""
            near = difflib.get_close_matches(value[:100], self._names(session, link, value), 1, 0.7)
            self._proposals[key] = near[0] if near else ""
        return self._proposals[key]

    def _names(self, session: Session, link: Link, value: str) -> list[str]:
        """Return what could have been meant: all names where they are few, else those that begin alike."""
        if link.target is None:
            return [n for user in session.people.values() for n in (user.name, user.id)]
        if link.name not in self._candidates:
            self._candidates[link.name] = _called(session, link, "")
        known = self._candidates[link.name]
        return known if len(known) < CANDIDATES else _called(session, link, value[:2])


def _column(link: Link) -> tuple[EntityTable, Any]:
    """Return where the names of a link's records stand."""
    assert link.target is not None
    assert link.by is not None
    table = logical_table(link.target)
    return table, columns_of(link.by, table)[0]


def _called(session: Session, link: Link, start: str) -> list[str]:
    _, column = _column(link)
    statement = select(column).where(column.is_not(None)).order_by(column).limit(CANDIDATES)
    if start:
        statement = statement.where(column.startswith(start, autoescape=True))
    return list(session.execute(statement).scalars())


def _users(session: Session, link: Link, values: Sequence[str]) -> Found:
    """Users are known by id, or by a name that only one has; a host without a directory has any."""
    people = session.people
    if not people:
        return {value: value for value in values}
    named: dict[str, Any] = {}
    for user in people.values():
        named[user.name] = _ambiguous(link, user.name) if user.name in named else user.id
    return {value: value if value in people else named[value] for value in values if value in people or value in named}


def _ambiguous(link: Link, value: str) -> Detail:
    return Detail("", link.name, "import_ambiguous", "", {"given": value[:80]})
