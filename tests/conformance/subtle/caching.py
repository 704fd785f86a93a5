"""A function that keeps the first answer of the database for ever."""

from __future__ import annotations

from functools import lru_cache

import attrs

from crm_core import Entity, Field, Plugin, Ref, Session
from tests.conformance.faulty.words import translate

BREAKS = "CK03"
REASON = "keep no state outside"

plugin = Plugin("acme.caching", version="1.0.0")


class Entry(Entity):
    """An entry."""

    title: Field[str]


plugin.entities(Entry)


@lru_cache
def known(title: str, s: Session | None = None) -> list[str]:
    """Return what was kept under a title."""
    return []


@attrs.define
class Keep:
    """Keep an entry once."""

    entry: Ref[Entry]


@plugin.action(on=Entry, permission="acme.caching.keep", label="acme.caching.action.keep")
def keep(s: Session, cmd: Keep) -> None:
    """Keep it, if it is not known."""
    if not known("kept"):
        known("kept").append(cmd.entry.id)
        s.create(Entry(title="kept"))


translate(plugin)
