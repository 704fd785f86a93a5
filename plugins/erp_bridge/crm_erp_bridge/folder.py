"""Folder drop: an ERP that puts files into a folder and takes files from one. JSON and CSV; every convention is a setting.

``incoming/<scope>/<entity>*.json|jsonl|csv`` are the ERP's, used up in the order of their names; another name, or other content, is another
file. A column that a file does not have says nothing of its field. We write
``outgoing/<scope>/<entity>-<key>.json``, whole or not at all, and the ERP answers with ``acks/<key>.json``:
``{"status": "ok", "id": "C-17", "version": "1"}``, or ``"invalid"`` with ``errors``, or ``"fatal"`` with a ``reason``, or ``"retry"``.
A refusal is used up: its file becomes ``<key>.refused.json``, and a replay asks anew.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import attrs

from crm_core import CRMError

from .connector import (
    AuthFailed,
    CheckResult,
    Connector,
    CursorExpired,
    EntityCaps,
    Fatal,
    Invalid,
    Ok,
    Op,
    OpResult,
    Page,
    Pending,
    Remote,
    Retry,
    Unavailable,
)

_REFUSALS = ("invalid", "fatal")
_SUFFIXES = (".json", ".jsonl", ".csv")
_LIKE = {".": "1,234.50", ",": "1.234,50"}
Position = tuple[str, int]


class BadFile(CRMError):
    """A file is not what the settings say; it is named and left where it is."""

    default_code, status = "erp_bridge.bad_file", 422


class BadRow(CRMError):
    """One record of a file is not what the settings say: it becomes a dead letter, and the file is read on."""

    default_code, status = "erp_bridge.bad_row", 422


@attrs.frozen(kw_only=True)
class FolderSettings:
    """How the files are written.

    Attributes:
        root: the folder with ``incoming``, ``outgoing`` and ``acks``.
        entities: the kinds of records.
        id, version, deleted: the columns that hold them; without a version column, it is the hash of the row.
        ids: the column of the id by entity, where it is not ``id``.
        encoding: of CSV files; ``utf-8-sig`` takes files with and without a byte order mark.
        delimiter, decimal: of CSV files.
        numbers: the columns that hold numbers, by entity. Only there are they read by ``decimal``: ``1.234,50`` by a comma, also with
            spaces between the thousands, or its minus behind it; ``59.50`` is none then, and its record a dead letter.
        poll: after what time to look for an acknowledgement.
    """

    root: Path = attrs.field(converter=Path)
    entities: Sequence[str]
    id: str = "id"
    ids: Mapping[str, str] = attrs.field(factory=dict)
    version: str = "version"
    deleted: str = "deleted"
    encoding: str = "utf-8-sig"
    delimiter: str = ","
    decimal: str = attrs.field(default=".", validator=attrs.validators.in_((".", ",")))
    numbers: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    poll: timedelta = timedelta(minutes=1)


class FolderDrop(Connector):
    """The connector; its clock is the file system's."""

    def __init__(self, settings: FolderSettings) -> None:
        super().__init__(settings)
        self._given = settings
        self._digests: dict[tuple[str, int, int], str] = {}
        self._open: tuple[Position, Iterator[Mapping[str, Any]]] | None = None
        self._number = _number(settings.decimal)
        self.entities = {
            name: EntityCaps(cursor="sequence", tombstones=True, unique_keys=[self._id(name)], idempotency_key=True)
            for name in settings.entities
        }

    def _id(self, entity: str) -> str:
        return self._given.ids.get(entity, self._given.id)

    def check(self) -> CheckResult:
        """Look whether the folders are there, and write a file to see that we may and what time it is there."""
        for name in ("incoming", "outgoing", "acks"):
            if not (self._given.root / name).is_dir():
                raise Unavailable(reason=f"no folder {name}")
        probe = self._given.root / "outgoing" / ".check"
        try:
            probe.write_text("")
            now = _modified(probe)
            probe.unlink()
        except PermissionError as e:
            raise AuthFailed from e
        scopes = sorted(p.name for p in (self._given.root / "incoming").iterdir() if p.is_dir())
        return CheckResult(version="1", server_time=now, scopes=scopes)

    # -- incoming -----------------------------------------------------------------------------------------------------------------

    def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
        """Return the next rows of the first file that is not used up; the cursor says which, and how many rows of it were read."""
        position = _position(cursor)
        files = self._fresh(entity, scope, position[0] if position else "")
        if not files:
            return Page([], next=None if position is None else "", complete=True)
        digest, path = files[0]
        start = position[1] if position and position[0] == digest else 0
        rows = self._rows(entity, path, digest, start)
        taken = list(islice(rows, limit + 1))
        more = len(taken) > limit
        records = [self._remote(entity, path, start + n, row, scope) for n, row in enumerate(taken[:limit])]
        if more:
            self._open = ((digest, start + limit), _chained(taken[limit], rows))
            return Page(records, next=f"{digest}:{start + limit}", complete=False)
        self._open = None
        return Page(records, next=f"{digest}:end", complete=len(files) == 1, marks={digest: path.name})

    def _fresh(self, entity: str, scope: str, current: str) -> list[tuple[str, Path]]:
        """Return digest and path of the files to read, in order: that of the cursor first, or those after it."""
        folder = self._given.root / "incoming" / scope
        named = sorted(p for p in folder.glob(f"{entity}*") if p.suffix in _SUFFIXES and _entity_of(p, self.entities) == entity)
        found = [(self._digest(p), p) for p in named]
        used = self.memory.known([digest for digest, _ in found])
        unused = [(digest, p) for digest, p in found if digest not in used]
        if current.endswith(":end"):
            # Where nothing is remembered (a full comparison), the cursor alone says which files were read.
            last = current.removesuffix(":end")
            places = [n for n, (digest, _) in enumerate(unused) if digest == last]
            return unused[places[-1] + 1 :] if places else unused
        if current:
            places = [n for n, (digest, _) in enumerate(unused) if digest == current]
            if not places:
                raise CursorExpired
            return unused[places[0] :]
        return unused

    def _digest(self, path: Path) -> str:
        facts = path.stat()
        key = (path.name, facts.st_size, facts.st_mtime_ns)
        if key not in self._digests:
            self._digests[key] = _digest(path)
        return self._digests[key]

    def _rows(self, entity: str, path: Path, digest: str, start: int) -> Iterator[Mapping[str, Any]]:
        if self._open is not None and self._open[0] == (digest, start):
            return self._open[1]
        return islice(self._parsed(entity, path), start, None)

    def _parsed(self, entity: str, path: Path) -> Iterator[Mapping[str, Any]]:
        try:
            if path.suffix == ".csv":
                yield from self._csv(entity, path)
            elif path.suffix == ".jsonl":
                with path.open(encoding="utf-8-sig") as lines:
                    yield from (_object(json.loads(line, parse_float=Decimal)) for line in lines if line.strip())
            else:
                loaded = json.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal)
                yield from map(_object, loaded if isinstance(loaded, list) else [loaded])
        except (ValueError, csv.Error) as e:
            raise BadFile(file=path.name, reason=str(e)[:200]) from e

    def _csv(self, entity: str, path: Path) -> Iterator[Mapping[str, Any]]:
        with path.open(encoding=self._given.encoding, newline="") as lines:
            reader = csv.reader(lines, delimiter=self._given.delimiter, strict=True)
            header = next(reader, [])
            if header and self._id(entity) not in header:
                raise BadFile(file=path.name, reason=f"there is no column {self._id(entity)}")
            for line in reader:
                if len(line) != len(header):
                    raise BadFile(file=path.name, reason=f"line {reader.line_num} has {len(line)} of {len(header)} columns")
                yield dict(zip(header, line, strict=True))

    def _remote(self, entity: str, path: Path, row: int, data: Mapping[str, Any], scope: str) -> Remote:
        given, found, wrong = self._given, dict(data), None
        id = str(data.get(self._id(entity)) or "")
        version = str(data.get(given.version) or "") or _hash(data)
        gone = str(data.get(given.deleted) or "").strip().lower() in ("1", "true", "yes", "x")
        if not id:
            wrong = BadRow(file=path.name, row=row + 1, column=self._id(entity), expected="an id")
        elif path.suffix == ".csv" and not gone:  # what is gone has no values that count
            for column in filter(found.get, given.numbers.get(entity, ())):
                try:
                    found[column] = self._point(found[column])
                except ValueError:
                    wrong = BadRow(file=path.name, row=row + 1, column=column, expected=f"a number like {_LIKE[given.decimal]}")
        return Remote(
            id or f"{path.name}:{row + 1}", version=version, modified_at=_modified(path), data=found, scope=scope, deleted=gone,
            key=str(data.get("key") or ""), partial=True, wrong=wrong,
        )  # fmt: skip

    def _point(self, text: str) -> str:
        """Write a number with a decimal point.

        Raises:
            ValueError: it is none by the settings.
        """
        found = self._number.fullmatch(text.strip())
        if found is None:
            raise ValueError(text)
        whole, fraction = (re.sub(r"\D", "", found[name] or "") for name in ("whole", "fraction"))
        minus = "-" if "-" in (found["before"], found["after"]) else ""
        return f"{minus}{whole or 0}.{fraction}" if fraction else f"{minus}{whole}"

    # -- outgoing -----------------------------------------------------------------------------------------------------------------

    def apply(self, ops: Sequence[Op]) -> list[OpResult]:
        """Write a file for each op that has none yet, and answer with what was acknowledged."""
        return [self._applied(op) for op in ops]

    def _applied(self, op: Op) -> OpResult:
        answer = self._acknowledged(op.key)
        if answer is None:
            folder = self._given.root / "outgoing" / op.scope
            path = folder / f"{op.entity}-{op.key}.json"
            if not path.exists():
                folder.mkdir(parents=True, exist_ok=True)
                body = {"key": op.key, "op": op.kind, "entity": op.entity, "id": op.remote_id, "data": dict(op.data)}
                write_whole(path, json.dumps(body, ensure_ascii=False, indent=1))
            return Pending(op.remote_id or "", waits_for="acknowledgement", poll_after=self._given.poll)
        result = _answered(answer, op, self._given.poll)
        if answer.get("status") in _REFUSALS:
            self._use_up(op)
        return result

    def _use_up(self, op: Op) -> None:
        """Put a refusal aside, so that a replay asks anew; in this order, for a process may die between the two."""
        root = self._given.root
        (root / "outgoing" / op.scope / f"{op.entity}-{op.key}.json").unlink(missing_ok=True)
        (root / "acks" / f"{op.key}.json").replace(root / "acks" / f"{op.key}.refused.json")

    def _acknowledged(self, key: str) -> dict[str, Any] | None:
        path = self._given.root / "acks" / f"{key}.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            return None
        except ValueError:
            return None  # half a file: its writer is still at it
        return found if isinstance(found, dict) else None

    def find(self, entity: str, key: str) -> list[Remote]:
        """Return what was acknowledged under a key."""
        answer = self._acknowledged(key)
        if answer is None or answer.get("status") != "ok":
            return []
        modified = _modified(self._given.root / "acks" / f"{key}.json")
        return [Remote(str(answer["id"]), version=str(answer.get("version") or ""), modified_at=modified, data={}, key=key)]


def _answered(answer: Mapping[str, Any], op: Op, poll: timedelta) -> OpResult:
    """Read an acknowledgement. One that says nothing we know stays where it is: it is corrected there, and the write tried again."""
    id = answer.get("id") or op.remote_id
    match answer.get("status"):
        case "ok" if id:
            return Ok(str(id), str(answer.get("version") or ""))
        case "ok":
            return Fatal(f"acks/{op.key}.json has no id")
        case "invalid":
            errors = answer.get("errors")
            return Invalid({str(k): str(v) for k, v in errors.items()} if isinstance(errors, dict) else {"": str(errors or "")})
        case "retry":
            return Retry(poll)
        case "fatal":
            return Fatal(str(answer.get("reason") or "no reason given"))
        case other:
            return Fatal(f"acks/{op.key}.json has the status {other}, which is none of ok, invalid, fatal, retry")


def write_whole(path: Path, text: str) -> None:
    """Write a file under a temporary name and give it its own when it is safely on the disk, so that nobody reads half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _position(cursor: str | None) -> Position | None:
    """Read a cursor: a file's digest and the rows read of it, or its end."""
    if not cursor:
        return None
    digest, _, row = cursor.partition(":")
    if len(digest) != 64 or not (row.isdigit() or row == "end"):
        raise CursorExpired
    return (f"{digest}:end", 0) if row == "end" else (digest, int(row))


def _entity_of(path: Path, entities: Mapping[str, Any]) -> str:
    """Return the longest entity's name that a file's name begins with."""
    return max((name for name in entities if path.name.startswith(name)), key=len, default="")


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _number(decimal: str) -> re.Pattern[str]:
    """Return what a number is: its thousands, if they are apart, in groups of three, and its minus before or behind it."""
    point, group = re.escape(decimal), re.escape("," if decimal == "." else ".") + " '\u00a0\u202f\u2019"
    whole = rf"\d+|\d{{1,3}}(?:(?P<group>[{group}])\d{{3}})(?:(?P=group)\d{{3}})*|(?={point}\d)"  # some write no 0 before the point
    return re.compile(rf"(?P<before>[+-]?)(?P<whole>{whole})(?:{point}(?P<fraction>\d*))?(?P<after>-?)", re.ASCII)


def _digest(path: Path) -> str:
    found = hashlib.sha256(path.name.encode() + b"\0")
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def _hash(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("a record is no object")
    return value


def _chained(first: Mapping[str, Any], rest: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    yield first
    yield from rest
