"""Subscribers: a plugin's functions, each with all the events that it listens to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import attrs

from ..errors import LoadError
from .event import event_name

if TYPE_CHECKING:
    from ..hooks.parts import Subscription


@attrs.frozen(eq=False)
class Subscriber:
    """A handler with all events it listens to: one position and one line a record, so that their order holds across events.

    Attributes:
        name: ``<plugin>.<function>``; its position is kept under it.
        events: the names of the events.
        raw: it takes the journal's entries as they are, whole, instead of events in its own sight; only the core's own does.
    """

    name: str
    plugin: str
    fn: Callable[..., None]
    events: frozenset[str]
    batch: bool
    external: bool
    on_failure: Literal["hold", "skip"]
    from_start: bool
    raw: bool = False

    @property
    def task(self) -> str:
        """What the function is for."""
        return "subscriber"


def subscribers(
    subscriptions: Iterable[Subscription], made: Callable[[Callable[..., Any]], Callable[..., None]] = lambda fn: fn
) -> tuple[Subscriber, ...]:
    """Join the subscriptions of each function.

    Args:
        made: makes of a function what delivery calls.

    Raises:
        LoadError: two functions have one name, or one function listens in two ways.
    """
    found: dict[str, Subscriber] = {}
    for s in subscriptions:
        new = Subscriber(s.name, s.plugin, s.fn, frozenset({event_name(s.event)}), s.batch, s.external, s.on_failure, s.from_start)
        old = found.get(s.name, new)
        if _manner(old) != _manner(new):
            raise LoadError("subscription_taken", subscription=s.name, plugin=s.plugin)
        found[s.name] = attrs.evolve(new, events=old.events | new.events)
    return tuple(attrs.evolve(s, fn=made(s.fn)) for s in found.values())


def _manner(s: Subscriber) -> tuple[Any, ...]:
    return s.fn, s.batch, s.external, s.on_failure, s.from_start
