"""The directory's people, mirrored per tenant: in memory for the Python reading of rules, in tables for the SQL reading."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import attrs

from ..arguments import check, check_many
from ..entities.upsert import upsert
from .directory import User

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

MAX_LEVELS: Final = 64
_CHUNK: Final = 1000


class ClosureRow(NamedTuple):
    """One pair of the management tree: *ancestor* is *depth* levels above *user_id*; everyone is 0 levels above themselves."""

    user_id: str
    ancestor: str
    depth: int


class DirectoryTables(Protocol):
    """Where the mirror is kept; ``storage.system.SystemTables`` has them."""

    @property
    def member(self) -> Table:
        """tenant, user_id, ancestor, depth."""
        ...

    @property
    def team_member(self) -> Table:
        """tenant, user_id, team."""
        ...

    @property
    def directory_state(self) -> Table:
        """tenant, digest, refreshed_at."""
        ...


@attrs.frozen(eq=False)
class Members:
    """The people of one tenant at one moment.

    Inactive users stay: their records keep an owner, and that owner keeps a manager.

    Attributes:
        users: by id; where the directory names an id twice, the first counts.
        problems: what is odd in the directory, in words: managers it does not know, circles, chains beyond 64 levels.
        digest: a hash of what the tables keep: managers and teams, not names.
    """

    users: Mapping[str, User]
    problems: tuple[str, ...]
    digest: str
    _chains: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, users: Iterable[User]) -> Members:
        """Read what a directory returned."""
        check_many(users, "a list of users, as the directory's answer,")
        known: dict[str, User] = {}
        for user in users:
            check(user, User, "a User, as the directory's answer,")
            known.setdefault(user.id, user)
        problems: list[str] = []
        chains = {id: _chain(id, known, problems) for id in sorted(known)}
        facts = [[id, chains[id], sorted(known[id].teams)] for id in chains]
        return cls(known, tuple(problems), hashlib.sha256(json.dumps(facts).encode()).hexdigest(), chains)

    def teams_of(self, user: str) -> frozenset[str]:
        """Return a user's teams; none for one the directory does not know."""
        found = self.users.get(user)
        return found.teams if found else frozenset()

    def reports_to(self, user: str, manager: str) -> bool:
        """Say whether a user's chain of managers reaches *manager*; everyone reports to themselves."""
        return user == manager or manager in self._chains.get(user, ())

    def closure(self) -> list[ClosureRow]:
        """Return every pair of the management tree."""
        return [ClosureRow(user, above, depth) for user, chain in self._chains.items() for depth, above in enumerate((user, *chain))]


NOBODY: Final = Members.of(())


def _chain(user: str, users: Mapping[str, User], problems: list[str]) -> tuple[str, ...]:
    """Follow the managers upwards. A manager the directory does not list still counts, but the chain ends there."""
    chain: list[str] = []
    above = users[user].manager
    while above is not None:
        if above == user or above in chain:
            problems.append(f"the managers of {user!r} form a circle: {' -> '.join([user, *chain, above])}")
            break
        if len(chain) == MAX_LEVELS:
            problems.append(f"{user!r} has more than {MAX_LEVELS} managers one above the other; the rest is left out")
            break
        chain.append(above)
        if above not in users:
            problems.append(f"{above!r}, a manager of {user!r}, is not in the directory")
            break
        above = users[above].manager
    return tuple(chain)


def sync(connection: Connection, tables: DirectoryTables, tenant: str, members: Members, now: datetime) -> bool:
    """Bring a tenant's tables up to *members*, within the connection's transaction; say whether anything was written.

    Where the digest is the stored one, nothing is written. Two processes that sync at once do not mix: the one that writes the digest
    first writes the rows, the other waits for its commit.
    """
    from sqlalchemy import delete, select

    state = tables.directory_state
    digest = members.digest
    if connection.scalar(select(state.c.digest).where(state.c.tenant == tenant)) == digest:
        return False
    if not _claim(connection, state, {"tenant": tenant, "digest": digest, "refreshed_at": now}):
        return False
    for table in (tables.member, tables.team_member):
        connection.execute(delete(table).where(table.c.tenant == tenant))
    _fill(connection, tables.member, [{"tenant": tenant, **row._asdict()} for row in members.closure()])
    teams = [{"tenant": tenant, "user_id": user.id, "team": team} for user in members.users.values() for team in sorted(user.teams)]
    _fill(connection, tables.team_member, teams)
    return True


def _claim(connection: Connection, state: Table, row: Mapping[str, Any]) -> bool:
    """Write the digest unless it stands there; on PostgreSQL this waits for another writer of the row."""
    statement = upsert(state, connection.dialect.name).values(**row)
    changed = statement.on_conflict_do_update(
        index_elements=[state.c.tenant],
        set_={"digest": statement.excluded.digest, "refreshed_at": statement.excluded.refreshed_at},
        where=state.c.digest != statement.excluded.digest,
    )
    return connection.execute(changed.returning(state.c.tenant)).first() is not None


def _fill(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    for start in range(0, len(rows), _CHUNK):
        connection.execute(table.insert(), rows[start : start + _CHUNK])
