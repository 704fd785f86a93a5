"""The one way in which commands print a table: whole lines for a file or a pipe, folded columns on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

Cell: TypeAlias = str | Text
_GAP = "  "


def echo_table(headings: Sequence[str], rows: Iterable[Sequence[Cell]], *, right: Collection[str] = ()) -> None:
    """Print *rows* below their *headings*; the columns that *right* names stand to the right.

    No cell loses a letter. On a terminal a column that is too wide goes on in the next line. Anywhere else a row is one line, however
    long: programs read it, and the width of a terminal that is not there is a guess. Without a heading in it, none are printed.
    """
    cells = [list(row) for row in rows]
    if sys.stdout.isatty():
        _fold(headings, cells, right)
        return
    lines = [[" ".join(str(cell).splitlines()) for cell in row] for row in ([headings] if any(headings) else []) + cells]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        placed = (_placed(cell, width, heading in right) for cell, width, heading in zip(line, widths, headings, strict=True))
        click.echo(_GAP.join(placed).rstrip())


def _placed(cell: str, width: int, to_right: bool) -> str:
    room = " " * (width - cell_len(cell))
    return room + cell if to_right else cell + room


def _fold(headings: Sequence[str], rows: Iterable[Sequence[Cell]], right: Collection[str]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(headings))
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    Console().print(table)
