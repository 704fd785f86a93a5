"""A set of small CSV files, each odd in one way, imported whole: what their authors expect of them stands in the records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crm_core import Actor, Entity, Field, Plugin, field
from crm_core.io import Importer, mapping_of, open_rows

plugin = Plugin("spectrum", version="1.0.0")
CELLS = ("first", "second", "third", "fourth", "fifth")
FILES = (
    *("comma_in_quotes", "empty", "empty_crlf", "escaped_quotes", "json", "location_coordinates", "newlines", "newlines_crlf"),
    *("quotes_and_newlines", "simple", "simple_crlf", "utf8"),
)


class Line(Entity):
    """A line of a file, its cells in their order."""

    first: Field[str] = field(text=True)
    second: Field[str | None] = field(default=None, text=True)
    third: Field[str | None] = field(default=None, text=True)
    fourth: Field[str | None] = field(default=None, text=True)
    fifth: Field[str | None] = field(default=None, text=True)
    external_ref: Field[str | None] = field(default=None, unique=True)


plugin.entities(Line)


def wanted(path: Path) -> list[list[str | None]]:
    """What the set's author expects, but for two files: one lists another number, one kept line ends that its file has lost."""
    rows = json.loads(path.read_text("utf-8"))
    cells = [list(row.values()) for row in (rows if isinstance(rows, list) else [rows])]
    return [[value.replace("\r\n", "\n").replace("1234567890", "2095257564") or None for value in row] for row in cells]


def test_the_whole_spectrum_of_csv_is_imported_and_found_again(make_crm: Callable[..., Any], test_data: Callable[[str], Path]) -> None:
    folder = test_data("import/csv_spectrum")
    crm = make_crm(plugins=[plugin])
    actor = Actor.system("import", tenant="main")
    total = 0
    for name in FILES:
        path = folder / "csvs" / f"{name}.csv"
        with open_rows(path) as rows:
            columns = rows.columns
        expected = wanted(folder / "json" / f"{name}.json")
        key = columns[1] if name.startswith("newlines") else columns[0]  # a key is one line
        mapping = mapping_of({"key": f"{name}:{{{key}}}", "fields": dict(zip(CELLS, columns, strict=False))})
        report = Importer(crm, actor, mapping, entity="spectrum.line").run(path)
        again = Importer(crm, actor, mapping, entity="spectrum.line").run(path)
        assert (report.created, report.failed, again.unchanged, again.updated) == (len(expected), 0, len(expected), 0)
        total += report.created
        with crm.session(actor, write=False) as s:
            found = s.query(Line).where(Line.external_ref.startswith(f"{name}:")).all()
        stored = [[getattr(line, cell) for cell in CELLS[: len(columns)]] for line in found]
        assert sorted(stored, key=str) == sorted(expected, key=str), name
    print(f"\ncsv_spectrum into {crm.bound.kind}: {len(FILES)} files, {total} rows, each as its author expects")
