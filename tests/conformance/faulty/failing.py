"""An action that fails at every call."""

from __future__ import annotations

import attrs

from crm_core import Entity, Field, Plugin, Ref, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK02"
REASON = "ZeroDivisionError"

plugin = Plugin("acme.failing", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@attrs.define
class Divide:
    """Divide by nothing."""

    entry: Ref[Entry]


@plugin.action(on=Entry, permission="acme.failing.divide", label="acme.failing.action.divide")
def divide(s: Session, cmd: Divide) -> float:
    """Divide."""
    return 1 / len(cmd.entry.id[:0])


translate(plugin)
