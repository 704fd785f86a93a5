"""A look, from a thread apart, at plugin functions that do not return: Python cannot stop them, but it can say which and where."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterable
from types import CodeType, FrameType

from ..errors import LoadError
from ..logs import facts
from .parts import Contribution
from .stops import code_of

_log = logging.getLogger(__name__)


class Watchdog:
    """Names plugin functions that run for long, in any thread of the process, once each, with the stack in which they hang.

    It reads the threads' stacks and is told nothing, so it costs a call nothing. Between two looks it keeps the frames it saw.

    Args:
        parts: the functions.
        seconds: how long one may run; it is named after one and a half times as long at the latest.

    Raises:
        LoadError: ``bad_stuck_after``.
    """

    def __init__(self, parts: Iterable[Contribution], seconds: float) -> None:
        if not (isinstance(seconds, int | float) and 0 < seconds < threading.TIMEOUT_MAX):
            raise LoadError("bad_stuck_after", given=str(seconds)[:60])
        self._parts = {code: part for part in parts if part.plugin != "core" and (code := code_of(part.fn)) is not None}
        self._seconds = seconds
        self._seen: dict[FrameType, int] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def watch(self) -> None:
        """Begin to look, if nobody does in this process: after a fork the thread is gone."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._lock:
            if (self._thread is None or not self._thread.is_alive()) and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="crm-watchdog", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds / 2):
            self.look()

    def look(self) -> None:
        """Name what is where it was at the last two looks."""
        running: dict[FrameType, int] = {}
        own = threading.get_ident()
        for thread, top in sys._current_frames().items():
            for part, frame in self._found(top) if thread != own else ():
                looks = running[frame] = self._seen.get(frame, 0) + 1
                if looks == 3:
                    self._name(part, top)
        self._seen = running

    def _found(self, top: FrameType) -> Iterable[tuple[Contribution, FrameType]]:
        frame: FrameType | None = top
        while frame is not None:
            code: CodeType = frame.f_code
            if code in self._parts:
                yield self._parts[code], frame
            frame = frame.f_back

    def _name(self, part: Contribution, top: FrameType) -> None:
        stack = "".join(traceback.format_stack(top))
        message = "%s of the plugin %s has run for more than %g seconds and holds its transaction; Python cannot interrupt it:\n%s"
        extra = facts("function_hangs", plugin=part.plugin, function=part.name, seconds=self._seconds)
        _log.error(message, part.name, part.plugin, self._seconds, stack, extra=extra)
