"""Payloads of events, kept in ``plugin.json`` for each version that a release wrote: a later one must still read them.

Of an older version only what was written down then tells what its journals hold; the code knows the newest alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from ..entities.entity import Entity
from ..entities.fields import Ref
from ..events.event import Event, EventCodec
from ..hooks.plugin import Plugin
from ..hooks.registry import Registry
from ..testing.factory import Factory

SOMEBODY = "00000000-0000-7000-8000-000000000001"


class _Unstored(Factory):
    """Makes events about records that are nowhere."""

    def reference(self, session: Any, entity: type[Any]) -> Ref[Any]:
        return Ref(cast("type[Entity]", entity), SOMEBODY)


def keep(registry: Registry, plugin: Plugin, now: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
    """Add to the document *now* the payloads of the document *before* that are still read, and one of each event as it is.

    An event of which no value is known without a database has none of its newest version.
    """
    for event in plugin.definitions.events:
        said = now["events"][event.__event_name__]
        known = (before or {}).get("events", {}).get(event.__event_name__, {})
        payloads = {version: each for version, each in known.get("payloads", {}).items() if version in said["reads"]}
        if said["version"] not in payloads or known["fields"] != said["fields"]:
            payloads |= _newest(registry, event)
        said["payloads"] = payloads


def _newest(registry: Registry, event: type[Event[Any]]) -> dict[str, Any]:
    try:
        made = _Unstored().event(cast(Any, None), event)
    except TypeError:
        return {}
    data = EventCodec(registry.entities, [event]).encode(made)
    return {str(event.__event_version__): json.loads(json.dumps(data))}
