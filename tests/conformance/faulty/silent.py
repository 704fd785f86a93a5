"""An action that does not say what it does."""

from __future__ import annotations

import attrs

from crm_core import Entity, Field, Plugin, Ref, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK18"
REASON = "has no docstring"

plugin = Plugin("acme.silent", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@attrs.define
class Close:
    """Close an entry."""

    entry: Ref[Entry]


@plugin.action(on=Entry, permission="acme.silent.close", label="acme.silent.action.close")
def close(s: Session, cmd: Close) -> None:
    s.delete(cmd.entry)


translate(plugin)
