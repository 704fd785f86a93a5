"""A plugin as it was in 1.x and as it is in 2.0, which splits names; ``python -m tests.jobs.loyalty URL die`` dies while it upgrades."""

from __future__ import annotations

import os
import sys
from typing import Any

from crm_core import CRM, Entity, Event, Field, Plugin, Session, field

ROWS = 10
BATCH = 3
KILLED_AFTER = 6


def old() -> tuple[Plugin, Any, Any]:
    """Return version 1.4: the plugin, its entity, and the service that tells of a member."""
    plugin = Plugin("loyalty", version="1.4.0")

    class Member(Entity):
        name: Field[str]

    class Joined(Event[Member], name="loyalty.joined", version=1):
        """Somebody joined."""

        name: str

    plugin.entities(Member)
    plugin.events(Joined)

    @plugin.service
    class Desk:
        def __init__(self, session: Session) -> None:
            self._session = session

        def say(self, member: Member) -> None:
            """Tell that somebody joined."""
            self._session.emit(Joined(record=member.ref, name=member.name))

    return plugin, Member, Desk


def new(heard: list[tuple[str, str]], *, die_after: int | None = None, fail_at: int | None = None) -> tuple[Plugin, Any]:
    """Return version 2.0: the plugin and its entity; what it hears of goes into *heard*."""
    plugin = Plugin("loyalty", version="2.0.0")

    class Member(Entity):
        name: Field[str]
        last: Field[str] = field(default="")

    class Joined(Event[Member], name="loyalty.joined", version=2):
        """Somebody joined."""

        first: str
        last: str

    @Joined.upcast(1)
    def split(data: dict[str, Any]) -> dict[str, Any]:
        first, _, last = data["name"].partition(" ")
        return {"first": first, "last": last}

    plugin.entities(Member)
    plugin.events(Joined)

    @plugin.on(Joined, from_start=True)
    def hear(s: Session, event: Joined) -> None:
        heard.append((event.first, event.last))

    @plugin.data_migration("2.0.0")
    def split_names(s: Session) -> None:
        done, after = s.job.checkpoint or (0, None)
        total = s.query(Member).count()
        while done < total:
            page = s.query(Member).order_by(Member.id).page(BATCH, after=after)
            for n, member in enumerate(page):
                if done + n == fail_at:
                    raise ValueError("cannot be split")
                member.name, _, member.last = member.name.partition(" ")
                s.save(member)
            if done == die_after:
                os._exit(9)
            done, after = done + len(page), page.next
            s.job.progress(done, total, checkpoint=[done, after])

    return plugin, Member


if __name__ == "__main__":
    crm = CRM(sys.argv[1], plugins=[new([], die_after=KILLED_AFTER if sys.argv[2] == "die" else None)[0]])
    crm.migrate()
    crm.close()
