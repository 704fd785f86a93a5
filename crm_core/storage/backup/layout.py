"""What a backup holds: every table that is not made anew from others, by a name that no prefix or schema changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import attrs
from sqlalchemy import Column, Table
from sqlalchemy.schema import sort_tables_and_constraints

from ...entities.meta import spec
from ...errors import BackupRefused
from ..system import Xid

if TYPE_CHECKING:
    from ..tables import Tables

# The mirror follows the host's directory. Positions are in the journal's own numbers, see reading.py.
MADE_ANEW = frozenset({"journal_position", "sequencer", "member", "team_member", "directory_state"})
# The journal, and what seals it where it is sealed: the one thing that a dropped tenant leaves. By table, its column of journal numbers.
OF_THE_JOURNAL: Mapping[str, str | None] = {"journal": "id", "seal": "position", "checkpoint": None}
# That there is a job, a tenant or a plugin says nothing of records.
MADE_BY_ITSELF = frozenset({"job", "job_run", "tenant", "plugin"})
# Where delivery stands, and which plugins are on, is the whole installation's.
OF_ALL_TENANTS = frozenset({"subscription", "parking", "plugin"})


@attrs.frozen(eq=False)
class Part:
    """One table of a backup.

    Attributes:
        columns: all but those that mean something on one server alone.
        later: columns that point at rows which come after their own, and so are filled in when all are there.
        number: the column that holds a number of the journal.
    """

    name: str
    table: Table
    columns: tuple[Column[Any], ...]
    later: tuple[Column[Any], ...]
    number: str | None

    @property
    def has_tenant(self) -> bool:
        """Whether its rows belong to tenants."""
        return "tenant" in self.table.c


@attrs.frozen(eq=False)
class Layout:
    """The tables of a CRM that a backup holds, each behind those it points at."""

    tables: Tables
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, tables: Tables) -> Self:
        """Return all."""
        names = named(tables)
        kept = [t for t in _ordered(list(names)) if names[t] not in MADE_ANEW]
        place = {table: i for i, table in enumerate(kept)}
        made: list[Part] = []
        for table in kept:
            columns = tuple(c for c in table.c if not isinstance(c.type, Xid))
            later = tuple(c for c in columns if any(place[key.column.table] >= place[table] for key in c.foreign_keys))
            made.append(Part(names[table], table, columns, later, OF_THE_JOURNAL.get(names[table])))
        return cls(tables, tuple(made))

    def shaped(self, columns: Mapping[str, Sequence[str]]) -> Layout:
        """Return these tables and columns alone, as an older schema had them.

        Raises:
            BackupRefused: ``backup_unknown_table``: a table or column that this CRM has not.
        """
        known = {part.name: part for part in self.parts}
        for name, wanted in columns.items():
            missing = [c for c in wanted if name not in known or c not in known[name].table.c]
            if name not in known or missing:
                raise BackupRefused("backup_unknown_table", table=name[:200], columns=missing[:20])
        shaped: list[Part] = []
        for part in self.parts:
            if part.name in columns:
                taken = tuple(part.table.c[name] for name in columns[part.name])
                shaped.append(attrs.evolve(part, columns=taken, later=tuple(c for c in part.later if c.name in columns[part.name])))
        return Layout(self.tables, tuple(shaped))

    def part(self, name: str) -> Part:
        """Return a table by its name."""
        return next(part for part in self.parts if part.name == name)


def named(tables: Tables) -> dict[Table, str]:
    """Name every table: ``journal``, ``sales.opportunity``, ``account/emails``, ``link:<name>``."""
    names = {table: name for name, table in tables.system.by_name().items()}
    names |= {table: spec(entity).name for entity, table in tables.entities.items()}
    names |= {table: f"{spec(entity).name}/{field}" for (entity, field), table in tables.lists.items()}
    names |= {table: f"link:{link.name}" for link, table in tables.links.items()}
    return names


def _ordered(tables: Sequence[Table]) -> list[Table]:
    """Sort tables by name, and then so that what is pointed at comes first; a circle is cut somewhere."""
    sort: Any = sort_tables_and_constraints
    return [table for table, _ in sort(sorted(tables, key=lambda t: t.name)) if table is not None]
