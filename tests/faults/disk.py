"""A disk that breaks: an SQLite file system that counts what is asked of it, fails where it is told to, and loses what was not synced.

Writes go through to the real files, so that all connections see them; beside them the disk keeps what would be there after a power
cut: the bytes of the last sync, and of what came later a random part, torn at sectors. Not simulated: directory entries that get lost.
"""

from __future__ import annotations

import errno
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import attrs

SECTOR = 512


@attrs.define
class Image:
    """One file: what is safe, and what was written since, in order; None as data cuts the file to the offset."""

    safe: bytearray
    pending: list[tuple[int, bytes | None]] = attrs.Factory(list)
    deleted: bool = False

    def sync(self) -> None:
        """Make everything safe."""
        for at, data in self.pending:
            _apply(self.safe, at, data)
        self.pending.clear()

    def after_cut(self, chance: random.Random) -> bytes:
        """Return what is found after a power cut: all that is safe, and some of the rest."""
        found = bytearray(self.safe)
        share = chance.choice([0.0, 0.5, 0.9])
        for at, data in self.pending:
            if chance.random() >= share:
                continue
            if data is not None and chance.random() < 0.2:
                data = data[: chance.randrange(0, len(data) + SECTOR, SECTOR)]
            _apply(found, at, data)
        return bytes(found)


def broken(text: str, code: int = apsw.SQLITE_IOERR) -> apsw.Error:
    """Return what the disk answers where it fails; *code* is one of SQLite's."""
    error = {apsw.SQLITE_IOERR: apsw.IOError, apsw.SQLITE_FULL: apsw.FullError}[code](text)
    error.result = error.extendedresult = code  # type: ignore[attr-defined]  # as SQLite's own errors have them
    return error


def _apply(content: bytearray, at: int, data: bytes | None) -> None:
    if data is None:
        del content[at:]
        return
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data


class Disk(apsw.VFS):
    """A file system under a name of its own, until :meth:`unregister`.

    Args:
        watch: called with each operation and file name before it is done, by one thread at a time; what it raises is the disk's answer.

    Attributes:
        counts: how often each operation was done.
        is_off: the power is cut; nothing works any more.
    """

    def __init__(self, name: str, watch: Callable[[str, str], None] | None = None) -> None:
        super().__init__(name, "")
        self.name = name
        self.counts: dict[str, int] = {}
        self.images: dict[str, Image] = {}
        self.is_off = False
        self.watch = watch
        self.lock = threading.RLock()

    def url(self, path: Path) -> str:
        """Return the URL of a database on this disk."""
        return f"sqlite+apsw:///{path}?vfs={self.name}"

    def step(self, what: str, path: str) -> None:
        """Count an operation, or fail it."""
        self.counts[what] = self.counts.get(what, 0) + 1
        if self.watch is not None and not self.is_off:
            self.watch(what, path)
        if self.is_off:
            raise broken("the power is off")

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802  # SQLite's name
        with self.lock:
            path = "" if name is None else name.filename() if isinstance(name, apsw.URIFilename) else name
            self.step("open", path)
            return File(self, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        with self.lock:
            self.step("delete", filename)
            super().xDelete(filename, syncdir)
            if filename in self.images:
                self.images[filename].deleted = True

    def excepthook(self, etype: Any, evalue: Any, etraceback: Any) -> bool:
        """Say nothing: an operation that fails on purpose is no news."""
        return True

    def image(self, path: str) -> Image:
        """Return what is kept of a file; one that was there before is safe."""
        known = self.images.get(path)
        if known is None or known.deleted:
            file = Path(path)
            known = self.images[path] = Image(bytearray(file.read_bytes() if file.exists() else b""))
        return known

    def forget_deleted(self) -> None:
        """Let deleted files be gone for good."""
        self.images = {name: image for name, image in self.images.items() if not image.deleted}

    def sync(self, path: Path) -> None:
        """Stand in for the fsync that the core does itself, beside SQLite."""
        with self.lock:
            try:
                self.step("sync", str(path))
            except apsw.Error as e:
                raise OSError(errno.EIO, str(e)) from e
            if str(path) in self.images:
                self.images[str(path)].sync()

    def cut(self, path: Path, chance: random.Random) -> None:
        """Leave at *path* what a power cut would leave of the one database that is on this disk."""
        with self.lock:
            self.is_off = True
            for name, image in self.images.items():
                if not name.endswith("-shm") and not (image.deleted and chance.random() < 0.5):
                    suffix = name[name.rindex(".db") + 3 :]
                    path.with_name(path.name + suffix).write_bytes(image.after_cut(chance))


class File(apsw.VFSFile):
    """An open file of a disk."""

    def __init__(self, disk: Disk, path: str, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._path = path
        self._image = disk.image(path) if path else Image(bytearray())
        self._folder_synced = not path.endswith(("-wal", "-journal"))

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        with self._disk.lock:
            self._disk.step("read", self._path)
            return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        with self._disk.lock:
            self._disk.step("write", self._path)
            super().xWrite(data, offset)
            self._image.pending.append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        with self._disk.lock:
            self._disk.step("truncate", self._path)
            super().xTruncate(newsize)
            self._image.pending.append((newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        with self._disk.lock:
            self._disk.step("sync", self._path)
            self._image.sync()
            # With the first sync of a new file SQLite syncs the folder, and what was deleted stays so.
            if not self._folder_synced:
                self._folder_synced = True
                self._disk.forget_deleted()

    def xFileSize(self) -> int:  # noqa: N802
        with self._disk.lock:
            self._disk.step("size", self._path)
            return super().xFileSize()

    def excepthook(self, etype: Any, evalue: Any, etraceback: Any) -> bool:
        """Say nothing: an operation that fails on purpose is no news."""
        return True
