"""A subscriber that starts a thread which nobody stops."""

from __future__ import annotations

import threading

from crm_core import Created, Entity, Field, Plugin, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK05"
REASON = "runs on after"

plugin = Plugin("acme.threading_on", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@plugin.on(Created[Entry])
def watch(s: Session, event: Created[Entry]) -> None:
    """Wait in the background."""
    threading.Thread(target=threading.Event().wait, args=(60,), name=f"watcher of {event.record.id}", daemon=True).start()


translate(plugin)
