"""What delivery tells the log: who failed at what, who was too late, who left the process other than it was."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..logs import facts
from ..messages import wordless

if TYPE_CHECKING:
    from .journal import Entry
    from .subscription import Subscriber

_log = logging.getLogger(__name__)


def failed(s: Subscriber, entry: Entry, error: BaseException, attempt: int, *, words: bool) -> None:
    """Say that an event failed; with the error's own *words* and its stack, unless they may hold what is sealed."""
    where = {"event": entry.kind, "entity": entry.entity, "record": entry.record, "tenant": entry.tenant, "position": entry.position}
    extra = facts("subscriber_failed", plugin=s.plugin, function=s.name, attempt=attempt, error=type(error).__name__, **where)
    what = (s.name, entry.kind, entry.entity, entry.record, attempt, "" if words else f": {wordless(error)}")
    _log.warning("%s: %s of %s %s failed, try %d%s", *what, exc_info=error if words else None, extra=extra)


def fenced(s: Subscriber) -> None:
    """Say that another worker took a subscription over."""
    _log.warning("%s: another worker took over", s.name, extra=facts("worker_fenced", plugin=s.plugin, function=s.name))


def changed(s: Subscriber, what: str) -> None:
    """Say that a subscriber left something of the process other than it was."""
    extra = facts("surroundings_changed", plugin=s.plugin, function=s.name, what=what)
    _log.warning("while %s ran, the %s of the process changed", s.name, what.replace("_", " "), extra=extra)
