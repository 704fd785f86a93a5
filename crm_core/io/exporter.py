"""Files out: an actor's records as CSV or JSON lines: what they may read, and of that what they may export."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import attrs

from ..entities.custom_kind import PREFIX
from ..entities.fields import FieldSpec
from ..entities.meta import spec
from ..errors import Invalid
from ..messages import closest
from ..spreadsheet import spreadsheet_safe

if TYPE_CHECKING:
    from ..entities.entity import Entity
    from ..query import Query
    from ..session import Session

BATCH = 500
_HIDDEN = frozenset({"tenant", "deleted_at"})


@attrs.frozen
class Exported:
    """What an export wrote.

    Attributes:
        rows: records in the file.
        withheld: records that the actor may read and not export; they are not in the file.
        fields: what the file has of each, in its order.
    """

    rows: int
    withheld: int
    fields: tuple[str, ...]


def export(session: Session, query: Query[Any], path: Path | str, *, fields: Sequence[str] = ()) -> Exported:
    """Write the records of *query* to a file, ``.csv`` or ``.jsonl`` by its name; it appears whole or not at all, for its owner alone.

    CSV has an amount's currency beside it (``amount``, ``amount_currency``), a list's values in one cell, the primary one first, and
    nothing that a spreadsheet would run. JSON lines are records as ``crm.to_json`` writes them. Memory is bounded by a batch. The
    journal keeps who exported what.

    Args:
        fields: what to write of each record, ``account.name`` through a reference; all that the actor may read where it is empty.

    Raises:
        Denied: the actor may export no record of the entity.
        Invalid: ``unknown_field`` names a field that is not there or not readable; ``export_bad_name`` a file of another form.
        ReadOnly: the session does not write, and so no journal.
    """
    path, entity = Path(path), query.entity
    if not session.can("export", entity):
        raise session._denied("export", action="export", entity=spec(entity).name)
    columns = _Columns(session, entity, fields)
    writers: dict[str, Callable[[TextIO, _Columns], Callable[[Entity], None]]] = {".csv": _to_csv, ".jsonl": _to_jsonl}
    if path.suffix not in writers:
        raise Invalid("export_bad_name", given=path.name[:100], allowed=sorted(writers))
    rows = withheld = 0
    with _whole(path) as file:
        write = writers[path.suffix](file, columns)
        for batch in _batches(query.preload(*columns.references).stream(BATCH)):
            allowed = session.permitted_among("export", batch)
            for record in allowed:
                write(record)
            rows, withheld = rows + len(allowed), withheld + len(batch) - len(allowed)
        session.note("core.exported.v1", {"fields": list(columns.names), "rows": rows, "withheld": withheld}, entity=spec(entity).name)
    return Exported(rows, withheld, columns.names)


class _Columns:
    """What a file has of each record: paths of one or two steps to readable fields."""

    def __init__(self, session: Session, entity: type[Entity], asked: Sequence[str]) -> None:
        self._session, self._entity = session, entity
        self.codec = session.codec(entity)
        self.names = tuple(asked) or tuple(self._readable(entity))
        self.paths = [self._path(name) for name in self.names]
        self.references = [getattr(entity, name) for name in {path[0]: None for path in self.paths if len(path) == 2}]

    def _readable(self, entity: type[Entity]) -> dict[str, FieldSpec]:
        levels = self._session.levels(entity)
        fields = self._session.codec(entity).fields
        return {n: f for n, f in fields.items() if n not in _HIDDEN and levels.get(n, "write") != "none"}

    def _path(self, name: str) -> tuple[str, ...]:
        """Check a path, so that what a file would not have is said before there is one."""
        steps = _steps(name)
        known = self._readable(self._entity)
        for step in steps[:-1]:
            reference = known.get(step)
            known = self._readable(reference.target) if reference and reference.target and reference.extension is None else {}
        if len(steps) > 2 or steps[-1] not in known:
            raise Invalid("unknown_field", field=name[:100], suggestion=closest(steps[-1], known))
        return steps

    def header(self, name: str, path: tuple[str, ...]) -> list[str]:
        """Return the heads of a path's columns: an amount has two."""
        fields = self.codec.fields if len(path) == 1 else self._readable(cast("type[Entity]", self.codec.fields[path[0]].target))
        return [name, f"{name}_currency"] if fields[path[-1]].kind == "money" else [name]

    def read(self, record: Entity, path: tuple[str, ...]) -> tuple[FieldSpec, Any]:
        """Return the field that a path leads to, and its value as plain JSON; None where the reference leads to nothing."""
        target: Any = record
        codec = self.codec
        if len(path) == 2:
            reference = codec.fields[path[0]]
            assert reference.target is not None
            target, codec = self._session.related(record, getattr(self._entity, path[0])), self._session.codec(reference.target)
        field = codec.fields[path[-1]]
        return field, None if target is None else codec.plain({path[-1]: codec.get(target, path[-1])})[path[-1]]


def _steps(name: str) -> tuple[str, ...]:
    """Cut ``account.custom.region`` into the reference and the field that it leads to."""
    first, point, rest = name.partition(".")
    return (name,) if not point or name.startswith(PREFIX) else (first, rest) if rest.startswith(PREFIX) else tuple(name.split("."))


def _to_csv(file: TextIO, columns: _Columns) -> Callable[[Entity], None]:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([cell for name, path in zip(columns.names, columns.paths, strict=True) for cell in columns.header(name, path)])

    def write(record: Entity) -> None:
        writer.writerow([cell for path in columns.paths for cell in _cells(*columns.read(record, path))])

    return write


def _cells(field: FieldSpec, value: Any) -> list[str]:
    if field.kind == "money":
        return [value["amount"], value["currency"]] if value else ["", ""]
    if value is None:
        return [""]
    match field.kind:
        case "list":
            texts = [field.type(**item).index_value for item in sorted(value, key=lambda item: not item.get("primary", False))]
            return [spreadsheet_safe("; ".join(texts))]
        case "bool":
            return ["true" if value else "false"]
        case "json":
            return [spreadsheet_safe(json.dumps(value, ensure_ascii=False))]
        case "int" | "decimal":
            return [str(value)]
    return [spreadsheet_safe(str(value))]


def _to_jsonl(file: TextIO, columns: _Columns) -> Callable[[Entity], None]:
    def write(record: Entity) -> None:
        values = {name: columns.read(record, path)[1] for name, path in zip(columns.names, columns.paths, strict=True)}
        file.write(json.dumps(values, ensure_ascii=False) + "\n")

    return write


def _batches(records: Iterable[Entity]) -> Iterator[list[Entity]]:
    found = iter(records)
    while batch := list(islice(found, BATCH)):
        yield batch


@contextmanager
def _whole(path: Path) -> Iterator[TextIO]:
    """Write under a temporary name, which nobody else may read, and give the file its own when it is on the disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
