"""What became of a file: counts that add up, what was unknown and what may be meant, and the rows that failed, each with its reason."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import attrs

from ..errors import CRMError, Detail, Invalid
from ..messages import Messages
from ..spreadsheet import spreadsheet_safe
from .readers import HEAD, Row

KEPT = 100
_COUNTS = ("rows", "created", "updated", "unchanged", "failed", "blank")


@attrs.frozen
class Failure:
    """A row that is not in the CRM, and why."""

    line: int
    error: CRMError


@attrs.define
class Unknown:
    """A name that nothing in the CRM has, in how many rows, and which known one it is most like."""

    field: str
    value: str
    proposal: str
    rows: int = 0


@attrs.define
class Report:
    """What an import did; in a dry run, what it would do.

    Every row is counted once: ``rows == created + updated + unchanged + failed + blank``.

    Attributes:
        committed: whether what is counted is in the database.
        run: the id of the record that the import left of itself; empty where it changed nothing.
        resumed: the line behind which it went on; 0 where it began at the beginning.
        failures: the first hundred rows that failed; the error file has all.
        unknown: names that were looked up and not found, the first hundred.
        empty: by reference, how many rows are kept without one.
        references: by entity, how many records were created because a row names them.
        related: by name and entity, how many related records were created and updated.
        unmapped: columns that the mapping does not mention.
    """

    entity: str
    path: str
    dry_run: bool = False
    committed: bool = False
    run: str = ""
    resumed: int = 0
    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    blank: int = 0
    failures: list[Failure] = attrs.Factory(list)
    unknown: list[Unknown] = attrs.Factory(list)
    empty: Counter[str] = attrs.Factory(Counter)
    references: Counter[str] = attrs.Factory(Counter)
    related: dict[tuple[str, str], Counter[str]] = attrs.Factory(dict)
    unmapped: list[str] = attrs.Factory(list)

    def kept(self) -> dict[str, Any]:
        """Return the counts as plain JSON, for an import that may have to go on later."""
        return {
            **{n: getattr(self, n) for n in _COUNTS},
            "empty": dict(self.empty),
            "references": dict(self.references),
            "related": [[*key, dict(found)] for key, found in self.related.items()],
            "unknown": [[u.field, u.value, u.proposal, u.rows] for u in self.unknown],
        }

    def restore(self, run: str, line: int, kept: Mapping[str, Any]) -> None:
        """Go on counting where an import broke off."""
        self.run, self.resumed = run, line
        for name in _COUNTS:
            setattr(self, name, kept[name])
        self.empty.update(kept["empty"])
        self.references.update(kept["references"])
        self.related = {(name, entity): Counter(found) for name, entity, found in kept["related"]}
        self.unknown = [Unknown(*facts) for facts in kept["unknown"]]

    def add(self, outcome: Outcome) -> None:
        """Count what became of a batch."""
        self.created += outcome.created
        self.updated += outcome.updated
        self.unchanged += outcome.unchanged
        self.failed += len(outcome.failed)
        self.empty.update(outcome.empty)
        self.references.update(outcome.references)
        _add(self.related, outcome.related)
        self.failures += [Failure(row.line, e) for row, e in outcome.failed[: KEPT - len(self.failures)]]
        _join(self.unknown, outcome.unknown)


@attrs.define
class Outcome:
    """What became of one batch."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: list[tuple[Row, CRMError]] = attrs.Factory(list)
    later: list[Any] = attrs.Factory(list)
    unknown: list[Unknown] = attrs.Factory(list)
    empty: Counter[str] = attrs.Factory(Counter)
    references: Counter[str] = attrs.Factory(Counter)
    related: dict[tuple[str, str], Counter[str]] = attrs.Factory(dict)

    @property
    def wrote(self) -> bool:
        """Whether anything was created or changed."""
        counts = (self.references, *self.related.values())
        return bool(self.created or self.updated or any(found[how] for found in counts for how in found if how != "unchanged"))

    def count(self, name: str, entity: str, how: str) -> None:
        """Count a record that was kept: a row's own, or the related one of *name*."""
        if name:
            self.related.setdefault((name, entity), Counter())[how] += 1
        else:
            setattr(self, how, getattr(self, how) + 1)

    def add(self, other: Outcome) -> None:
        """Count what became of another part of the batch."""
        self.created += other.created
        self.updated += other.updated
        self.unchanged += other.unchanged
        self.failed += other.failed
        self.later += other.later
        self.empty.update(other.empty)
        self.references.update(other.references)
        _add(self.related, other.related)
        _join(self.unknown, other.unknown)


def _add(counts: dict[tuple[str, str], Counter[str]], more: Mapping[tuple[str, str], Counter[str]]) -> None:
    for key, found in more.items():
        counts.setdefault(key, Counter()).update(found)


def _join(unknown: list[Unknown], more: Iterable[Unknown]) -> None:
    known = {(u.field, u.value): u for u in unknown}
    for other in more:
        same = known.get((other.field, other.value))
        if same is not None:
            same.rows += other.rows
        elif len(unknown) < KEPT:
            unknown.append(other)


def said(messages: Messages, error: CRMError, locale: str) -> str:
    """Say an error on one line, all its details included, in words of *locale*."""

    def one(d: Detail) -> str:
        return f"{d.field}: {messages.text(d.code, {'entity': d.entity, 'field': d.field, 'value': d.value, **d.params}, locale)}"

    return " ".join(map(one, error.details)) or messages.text(error.code, error.params, locale)


class ErrorFile(Protocol):
    """Where rows go that failed."""

    def write(self, row: Row, error: CRMError) -> None:
        """Add a row with its reason."""

    def size(self) -> int:
        """How many bytes are in the file, all that was written included."""


class _Nowhere:
    def write(self, row: Row, error: CRMError) -> None:
        """Nobody asked for the rows."""

    def size(self) -> int:
        return 0


class _File:
    def __init__(self, stream: Any, messages: Messages, locale: str) -> None:
        self._stream = stream
        self._rows = csv.writer(stream)
        self._messages = messages
        self._locale = locale

    def write(self, row: Row, error: CRMError) -> None:
        self._rows.writerow([row.line, *(spreadsheet_safe(c) for c in (said(self._messages, error, self._locale), *map(_cell, row.cells)))])

    def size(self) -> int:
        self._stream.flush()
        return os.fstat(self._stream.fileno()).st_size


@contextmanager
def error_file(path: Path | None, columns: Sequence[str], messages: Messages, locale: str, *, keep: int = 0) -> Iterator[ErrorFile]:
    """Open the file of failed rows: line, reason, and the row as it came, so that it can be put right and imported.

    A cell that a spreadsheet would run as a formula has an apostrophe before it, which importing the file again takes away.

    Args:
        keep: how many bytes of a file that is there already stay: what an import wrote that goes on now.

    Raises:
        Invalid: ``import_errors_exist``: a file that is not one of ours is there already.
    """
    if path is None:
        yield _Nowhere()
        return
    if path.exists() and path.stat().st_size and not _is_ours(path):
        raise Invalid("import_errors_exist", path=str(path)[-200:])
    goes_on = keep > 0 and path.exists() and _ends_a_row(path, keep)
    with path.open("r+" if goes_on else "w", encoding="utf-8", newline="") as stream:
        if goes_on:
            stream.truncate(keep)
            stream.seek(0, os.SEEK_END)
        else:
            csv.writer(stream).writerow([*HEAD, *map(spreadsheet_safe, columns)])
        yield _File(stream, messages, locale)


def _ends_a_row(path: Path, size: int) -> bool:
    with path.open("rb") as stream:
        stream.seek(size - 1)
        return stream.read(1) == b"\n"


def _is_ours(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(12).startswith(b"line,reason")


def _cell(value: Any) -> str:
    if isinstance(value, date | Decimal):
        return str(value)
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, default=str, ensure_ascii=False)
