"""Who else there is, as the host tells; the core keeps no accounts of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import attrs

from .actor import Actor, language, team_names, user_id, zone


@attrs.frozen
class User:
    """What the directory knows of a user: name, manager, teams, whether they still work here (active) and are away today (absent).

    Raises:
        Invalid: ``bad_actor`` names the argument that cannot be.
    """

    id: str = attrs.field(converter=user_id)
    name: str
    email: str | None = attrs.field(default=None, kw_only=True)
    manager: str | None = attrs.field(default=None, converter=attrs.converters.optional(user_id), kw_only=True)
    teams: frozenset[str] = attrs.field(factory=frozenset, converter=team_names, kw_only=True)
    active: bool = attrs.field(default=True, kw_only=True)
    absent: bool = attrs.field(default=False, kw_only=True)
    locale: str = attrs.field(default="en", converter=language, kw_only=True)
    timezone: str = attrs.field(default="UTC", converter=zone, kw_only=True)


class Directory(Protocol):
    """The host's users, for rules (managers, teams), assignment and names in reports."""

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterable[User]:
        """Return the users of *tenant*, all or those with *ids*; unknown ids are left out."""
        ...

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        """Return a user as an actor with roles, or None where there is no such user."""
        ...
