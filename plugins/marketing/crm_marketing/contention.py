"""What several do at once: whoever comes second finds what the first one made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from crm_core import Conflict, Refused, Session

R = TypeVar("R")


def retried(session: Session, work: Callable[[], R]) -> R:
    """Do something again that another transaction was quicker to do.

    Raises:
        Refused: ``marketing.contended``: three times somebody was.
    """
    for _ in range(3):
        try:
            with session.savepoint():
                return work()
        except Conflict:
            continue
    raise Refused("marketing.contended")
