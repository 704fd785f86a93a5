"""A service that lends its own rights to whoever calls it."""

from __future__ import annotations

from crm_core import Entity, Field, Plugin, Ref, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK12"
REASON = "Desk.close changes crm_acme_lending_entry for who may only read"

plugin = Plugin("acme.lending", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.service
class Desk:
    """What others ask for."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def title(self, entry: Entry) -> str:
        """Say what it is called."""
        with self._session.elevated("reading") as more:
            return more.get(Entry, entry.id).title

    def rename(self, entry: Entry | Ref[Entry], title: str) -> None:
        """Call it otherwise, for who may."""
        self._session.update(Entry, entry.id, {"title": title})

    def close(self, entry: Ref[Entry], *, reason: str) -> None:
        """Delete it, whoever asks."""
        with self._session.elevated(reason) as more:
            more.delete(entry)


translate(plugin)
