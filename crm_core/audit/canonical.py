"""What is hashed: bytes that say the same of a journal row on SQLite and on PostgreSQL, in one way only.

Every value stands behind its kind and length, so no two rows have the same bytes. JSON is read and written anew: PostgreSQL keeps its
meaning, not its text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import attrs
from sqlalchemy import Connection, Table, Text, cast

FORMAT = 1
COLUMNS = (
    "id", "tenant", "at", "actor", "on_behalf_of", "plugin", "reason", "request", "entity", "record", "version", "kind", "format",
)  # fmt: skip
_JSON = ("payload", "personal")
_WHOLE = 10**18


@attrs.frozen
class Row:
    """One journal row as the database has it: its columns but the last three in their order, JSON as text."""

    values: tuple[Any, ...]
    payload: str | None
    personal: str | None
    key_id: str | None

    @property
    def id(self) -> int:
        """Its number in the journal."""
        return int(self.values[0])

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return str(self.values[1])

    @property
    def record(self) -> str:
        """The record it is about."""
        return str(self.values[COLUMNS.index("record")])


def columns(journal: Table) -> list[Any]:
    """Return what to select for :func:`row_of`."""
    return [*(journal.c[n] for n in COLUMNS), *(cast(journal.c[n], Text()) for n in _JSON), journal.c.key_id]


def row_of(values: Sequence[Any]) -> Row:
    """Make a row of what the driver gave for :func:`columns`."""
    *rest, payload, personal, key_id = values
    return Row(tuple(rest), payload, personal, key_id)


def row_digest(row: Row) -> str:
    """Hash all of a row but its personal part, and but its number, which is another where a backup was restored: its seal has its place."""
    return _digest("journal", [*row.values[1:], _parsed(row.payload)])


def personal_digest(row: Row) -> str | None:
    """Hash a row's personal part as it is stored, with the id of the key it is encrypted with; None where it has none."""
    return None if row.personal is None else _digest("personal", [row.key_id, _parsed(row.personal)])


def seal_hash(previous: str, tenant: str, number: int, row: str, personal: str | None) -> str:
    """Hash a link of the chain."""
    return _digest("seal", [previous, tenant, number, row, personal])


def checkpoint_bytes(tenant: str, number: int, head: str, at: datetime) -> bytes:
    """Return what a checkpoint's signature is over."""
    return _bytes("checkpoint", [tenant, number, head, at])


def newest(connection: Connection, column: Any) -> int:
    """Return a column's highest number, 0 where there is none."""
    found = connection.execute(column.table.select().with_only_columns(column).order_by(column.desc()).limit(1)).scalar()
    return found or 0


def _digest(what: str, value: Any) -> str:
    return hashlib.sha256(_bytes(what, value)).hexdigest()


def _bytes(what: str, value: Any) -> bytes:
    parts: list[bytes] = [f"crm:{what}:{FORMAT}\n".encode()]
    _write(value, parts)
    return b"".join(parts)


def _write(value: Any, parts: list[bytes]) -> None:
    """Append a value: its kind, its length, itself."""
    match value:
        case str():
            text = value.encode(errors="surrogatepass")
            parts += (b"s%d:" % len(text), text)
        case None | True | False:
            parts.append(b"-" if value is None else b"T" if value else b"F")
        case int() | Decimal():
            text = _number(value)
            parts += (b"n%d:" % len(text), text)
        case list():
            parts.append(b"l%d:" % len(value))
            for item in value:
                _write(item, parts)
        case dict():
            parts.append(b"m%d:" % len(value))
            for name in sorted(value):
                _write(name, parts)
                _write(value[name], parts)
        case datetime():
            _write(value.astimezone(UTC).isoformat(timespec="microseconds"), parts)
        case UUID():
            _write(str(value), parts)
        case _:  # nothing that the core writes
            text = repr(value).encode(errors="surrogatepass")
            parts += (b"x%d:" % len(text), text)


def _number(value: int | Decimal) -> bytes:
    """Write a number in one way: 100, 100.0 and 1E+2 are 1E2."""
    if isinstance(value, int) and -_WHOLE < value < _WHOLE:  # most are small, and their digits are at hand
        sign, text, exponent = int(value < 0), str(abs(value)).lstrip("0"), 0
    else:
        sign, digits, given = Decimal(value).as_tuple()
        text, exponent = "".join(map(str, digits)).lstrip("0"), int(given)
    short = text.rstrip("0")
    return f"{'-' if sign and short else ''}{short}E{exponent + len(text) - len(short) if short else 0}".encode()


def _parsed(text: str | None) -> Any:
    """Read JSON; what is none, or says a thing twice, is hashed as the bytes that it is."""
    try:
        return None if text is None else _decoder.decode(text)
    except (ArithmeticError, RecursionError, TypeError, ValueError):
        return str(text).encode(errors="surrogatepass")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # SQLite reads the first of two equal names, Python the last.
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_once, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_number)
