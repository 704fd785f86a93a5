"""What became of a file: counts that add up, what was unknown and what may be meant, and the rows that failed, each with its reason."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import attrs

from ..errors import CRMError, Detail, Invalid
from ..messages import Messages
from .readers import Row

KEPT = 100
_HEAD = ("line", "reason")


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


class _Nowhere:
    def write(self, row: Row, error: CRMError) -> None:
        """Nobody asked for the rows."""


class _File:
    def __init__(self, stream: Any, messages: Messages, locale: str) -> None:
        self._rows = csv.writer(stream)
        self._messages = messages
        self._locale = locale

    def write(self, row: Row, error: CRMError) -> None:
        self._rows.writerow([row.line, said(self._messages, error, self._locale), *map(_cell, row.cells)])


@contextmanager
def error_file(path: Path | None, columns: Sequence[str], messages: Messages, locale: str) -> Iterator[ErrorFile]:
    """Open the file of failed rows: line, reason, and the row as it came, so that it can be put right and imported.

    Raises:
        Invalid: ``import_errors_exist``: a file that is not one of ours is there already.
    """
    if path is None:
        yield _Nowhere()
        return
    if path.exists() and path.stat().st_size and not _is_ours(path):
        raise Invalid("import_errors_exist", path=str(path)[-200:])
    with path.open("w", encoding="utf-8", newline="") as stream:
        found = _File(stream, messages, locale)
        csv.writer(stream).writerow([*_HEAD, *columns])
        yield found


def _is_ours(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(12).startswith(b"line,reason")


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, default=str, ensure_ascii=False)
