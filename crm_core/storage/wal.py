"""One fsync for many commits: what SQLite has written into its WAL is made safe for all who wait, by whichever of them comes first.

A writer of a crowded file commits without SQLite's own fsync, lets the next writer begin, and is told that it is done when an fsync that
began after its commit has returned. A power cut before that may take its commit away, of which nobody has been told; it never takes an
earlier one and leaves a later, since the WAL is read in order.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from ..errors import CommitOutcomeUnknown


def sync_file(path: Path) -> None:
    """Make a file's content safe. One that is gone was written back into the database and synced there before."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        os.fsync(file)
    finally:
        os.close(file)


class WalSync:
    """The fsyncs of one WAL.

    Attributes:
        broken: one failed. What the disk has is unknown then, and a later one says nothing of it.
    """

    def __init__(self, wal: Path) -> None:
        self._wal = wal
        self._changed = threading.Condition()
        self._begun = self._done = 0
        self._running = False
        self.broken = False

    def wait(self) -> None:
        """Return when all that was committed before is safe.

        Raises:
            CommitOutcomeUnknown: the disk failed.
        """
        with self._changed:
            mine = self._begun + 1
            while self._running and self._done < mine and not self.broken:
                self._changed.wait()
            if self._done >= mine:
                return
            if self.broken:
                raise CommitOutcomeUnknown
            self._running = True
            self._begun = mine = self._begun + 1
        try:
            sync_file(self._wal)
        except OSError as e:
            self.broken = True
            raise CommitOutcomeUnknown from e
        else:
            self._done = mine
        finally:
            with self._changed:
                self._running = False
                self._changed.notify_all()
