"""A circuit breaker: an ERP that keeps failing is left alone for a while, then tried once."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from .connector import Unavailable


class Breaker:
    """Closed, open, or half open for one probe.

    Args:
        failures: so many within *within* open it.
        pause: for how long it stays open before one call may probe.
    """

    def __init__(self, failures: int = 5, within: timedelta = timedelta(minutes=1), pause: timedelta = timedelta(minutes=1)) -> None:
        self._limit, self._within, self._pause = failures, within, pause
        self._failed: deque[datetime] = deque()
        self.open_until: datetime | None = None

    def check(self, now: datetime) -> None:
        """Let a call through, or not.

        Raises:
            Unavailable: ``erp_bridge.breaker_open``.
        """
        if self.open_until is not None and now < self.open_until:
            raise Unavailable("erp_bridge.breaker_open", until=self.open_until.isoformat())

    def succeeded(self) -> None:
        """Close it."""
        self._failed.clear()
        self.open_until = None

    def failed(self, now: datetime) -> None:
        """Count a failure; a failed probe opens it again at once."""
        self._failed.append(now)
        while self._failed[0] <= now - self._within:
            self._failed.popleft()
        if self.open_until is not None or len(self._failed) >= self._limit:
            self.open_until = now + self._pause
