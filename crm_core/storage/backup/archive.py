"""A backup's file: a head, every table with its rows, and what they add up to, as lines of JSON, packed and sealed."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Self

import attrs

from ...disk import sync_folder
from ...errors import BackupRefused, Unavailable
from ..keys.provider import KeyProvider
from .reading import BATCH, Count, Rows, Tally, total
from .sealing import SealedReader, SealedWriter

FORMAT = 1
_PACKED = 1  # the fastest level: a little more in size, a fraction of the time
_GZIP = 31  # zlib's word for a gzip header
_END = b"{}\n"
_LONGEST_HEAD = 16 * 1024 * 1024  # bytes of a line that says what follows, or the manifest: it is read before anything is known
_MOST = 2**63
_REVISION = re.compile(r"declared\.[0-9a-f]{1,64}|[0-9]{1,9}(\.[0-9]{1,9})*")
_LONGEST = 256 * 1024 * 1024  # bytes of a row; who has no key could make a longer one of few bytes


@attrs.frozen
class Manifest:
    """What a backup says of itself.

    Attributes:
        version: of this package, which made it.
        database: ``sqlite`` or ``postgresql``.
        at: when its transaction began.
        tenant: whose rows alone it holds; None: everybody's.
        schema: the revision of each plugin.
        plugins: the version of each plugin.
        position: the journal's last position in it; what came later is not in it.
        tables: rows and checksum by table.
        tenants: whose rows there are.
        heads: the end of each tenant's chain of seals, where the journal is sealed.
    """

    version: str
    database: str
    at: datetime
    tenant: str | None
    schema: Mapping[str, str]
    plugins: Mapping[str, str]
    position: int
    tables: Mapping[str, Count] = attrs.field(factory=dict)
    tenants: tuple[str, ...] = ()
    heads: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def rows(self) -> int:
        """How many rows there are in all tables."""
        return total(self.tables)

    @property
    def entries(self) -> int:
        """How many rows the journal has."""
        return self.tables["journal"].rows

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return attrs.asdict(self) | {"at": self.at.isoformat()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returned, which anybody may have written.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is no manifest.
        """
        tables = {name: Count(c["rows"], c["sha256"], _names(c["columns"])) for name, c in data["tables"].items()}
        made = cls(**{**data, "at": datetime.fromisoformat(data["at"]), "tables": tables, "tenants": _names(data["tenants"])})
        named = (pair for each in (made.schema, made.plugins, made.heads) for pair in each.items())
        names = [made.version, made.database, *chain.from_iterable(named), *([] if made.tenant is None else [made.tenant])]
        names += [count.sha256 for count in tables.values()]
        numbers = [made.position, *(count.rows for count in tables.values())]
        if not (all(map(_is_name, names)) and all(type(n) is int and 0 <= n < _MOST for n in numbers)):
            raise ValueError("manifest")
        if made.at.utcoffset() is None or not made.schema or not all(_REVISION.fullmatch(id) for id in made.schema.values()):
            raise ValueError("manifest")
        return made


def write(file: IO[bytes], head: Manifest, tables: Iterator[Rows], key: KeyProvider | None) -> Manifest:
    """Write a backup and return its manifest, which stands at its end, when all was counted.

    Args:
        head: the manifest without its tables.
    """
    tally, packer = Tally(), zlib.compressobj(_PACKED, wbits=_GZIP)
    sealed = SealedWriter(file, key, {"purpose": "backup", "at": head.at.isoformat()})
    sealed.write(packer.compress(_said({"format": FORMAT, "head": head.to_json()})))
    for rows in tally.through(tables):
        sealed.write(packer.compress(_said({"table": rows.name, "columns": rows.columns})))
        while batch := list(islice(rows.lines, BATCH)):
            sealed.write(packer.compress(b"".join(batch)))
        sealed.write(packer.compress(_END))
    manifest = attrs.evolve(head, tables=tally.tables)
    sealed.write(packer.compress(_said({"manifest": manifest.to_json()})) + packer.flush())
    sealed.finish()
    return manifest


def _said(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, sort_keys=True).encode() + b"\n"


class Archive:
    """A backup's file, to be read as often as needed.

    Raises:
        BackupRefused: when it is read: ``backup_unreadable``, ``backup_newer``, and what :class:`SealedReader` raises.
    """

    def __init__(self, path: str | os.PathLike[str], key: KeyProvider | None) -> None:
        self._path = Path(path)
        self._key = key
        self._stated: Manifest | None = None

    def verify(self) -> Manifest:
        """Read all of it, compare each table with the manifest, and return that."""
        tally = Tally()
        for rows in tally.through(self.tables()):
            for _ in rows.lines:
                pass
        if self._stated is None or tally.tables != self._stated.tables:
            raise BackupRefused("backup_damaged", where="manifest")
        return self._stated

    def tables(self) -> Iterator[Rows]:
        """Yield every table, in the order in which they were written; read each to its end before the next."""
        lines = self._lines()
        head = _read(next(lines, b""))
        if head.get("format") != FORMAT:
            raise BackupRefused("backup_newer", found=str(head.get("format"))[:20], known=FORMAT)
        for line in lines:
            said = _read(line)
            try:
                if "manifest" in said:
                    self._stated = Manifest.from_json(said["manifest"])
                    continue
                rows = Rows(str(said["table"]), tuple(said["columns"]), _until_end(lines))
            except (KeyError, TypeError, ValueError, AttributeError):
                raise BackupRefused("backup_damaged", where="content") from None
            yield rows

    def _lines(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                packed = gzip.GzipFile(fileobj=io.BufferedReader(SealedReader(file, self._key)))
                while line := packed.readline(_LONGEST):
                    if not line.endswith(b"\n"):
                        raise BackupRefused("backup_damaged", where="content")
                    yield line
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise BackupRefused("backup_damaged", where="content") from None
        except OSError as e:
            raise BackupRefused("backup_unreadable", path=self._path.name, reason=e.strerror or "") from e


def _is_name(given: object) -> bool:
    return isinstance(given, str) and len(given) <= 255 and given.isprintable()


def _names(given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(map(_is_name, given)):
        raise ValueError("manifest")
    return tuple(given)


def _read(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line) if len(line) <= _LONGEST_HEAD else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise BackupRefused("backup_damaged", where="content")
    return said


def _until_end(lines: Iterator[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line == _END:
            return
        yield line
    raise BackupRefused("backup_damaged", where="content")


@contextmanager
def whole(path: str | os.PathLike[str], *, force: bool) -> Iterator[IO[bytes]]:
    """Write a file under a temporary name, for its owner's eyes only, and give it its own when it is on the disk.

    Raises:
        BackupRefused: ``backup_exists``.
        Unavailable: ``backup_no_room``: the disk is full, or the folder cannot be written.
    """
    target = Path(path)
    try:
        if target.exists() and not force:
            raise BackupRefused("backup_exists", path=target.name)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        try:
            with open(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _give_name(Path(name), target, force)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as e:
        raise Unavailable("backup_no_room", path=target.name, reason=e.strerror or str(e)) from e


def _give_name(temporary: Path, target: Path, force: bool) -> None:
    """Name the file for good. A link is never made over a file that came meanwhile; a rename is."""
    if force:
        temporary.replace(target)
    else:
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise BackupRefused("backup_exists", path=target.name) from None
    sync_folder(target.parent)
