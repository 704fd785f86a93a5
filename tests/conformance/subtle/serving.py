"""An action that works on a record which its caller does not see."""

from __future__ import annotations

import attrs

from crm_core import Entity, Field, Plugin, Ref, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK12"
REASON = "may not see"

plugin = Plugin("acme.serving", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@attrs.define
class Close:
    """Close an entry."""

    entry: Ref[Entry]


@plugin.action(permission="acme.serving.close", label="acme.serving.action.close")
def close(s: Session, cmd: Close) -> None:
    """Delete it, whoever asks."""
    with s.elevated("closing") as more:
        more.delete(cmd.entry)


translate(plugin)
