"""A table as CSV or JSON, for spreadsheets and programs."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import Any

from crm_core import Money, spreadsheet_safe

from .periods import Period
from .reports import Row, Table


def to_csv(table: Table, *, labelled: bool = False) -> str:
    """Write the rows as CSV (RFC 4180): period, dimensions, currency, figures; amounts are bare numbers beside their currency.

    Text that a spreadsheet would run as a formula is put behind an apostrophe.

    Args:
        labelled: for people: columns and options by their labels in the actor's language; else by their names, for programs.
    """
    report = table.report
    head = [*(["period"] if report.grain else []), *report.by, *(["currency"] if _has_currency(table) else []), *report.metrics]
    head = [table.labels[name] for name in head] if labelled else head
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(map(spreadsheet_safe, head))
    for row in table.rows:
        writer.writerow([*_keys(table, row, labelled), *(_number(row[name]) for name in report.metrics)])
    return out.getvalue()


def to_json(table: Table) -> str:
    """Write rows, totals and labels as JSON; numbers that are not whole are text, so that no reader makes them floats."""
    rows = [_row(table, row) for row in table.rows]
    return json.dumps({"rows": rows, "totals": [_figures(row) for row in table.totals], "labels": table.labels}, ensure_ascii=False)


def _has_currency(table: Table) -> bool:
    return any(row.currency for row in table.rows)


def _keys(table: Table, row: Row, labelled: bool) -> list[str]:
    period = [row.period.label if row.period else ""] if table.report.grain else []
    currency = [row.currency or ""] if _has_currency(table) else []
    keys = zip(table.report.by, row.keys, strict=True)
    shown = [table.worded(name, key) if labelled else table.shown(key) for name, key in keys]
    return [*period, *map(spreadsheet_safe, shown), *currency]


def _number(value: Any) -> str:
    if value is None:
        return ""
    number = value.amount if isinstance(value, Money) else value
    return f"{number:f}" if isinstance(number, Decimal) else str(number)


def _row(table: Table, row: Row) -> dict[str, Any]:
    period = {"period": _period(row.period)} if table.report.grain else {}
    by = {name: table.shown(key) if key is not None else None for name, key in zip(table.report.by, row.keys, strict=True)}
    return {**period, **({"by": by} if by else {}), **_figures(row)}


def _period(period: Period | None) -> dict[str, str] | None:
    if period is None:
        return None
    return {"label": period.label, "first": period.first.isoformat(), "last": period.last.isoformat()}


def _figures(row: Row) -> dict[str, Any]:
    currency = {"currency": row.currency} if row.currency else {}
    return {**currency, "figures": {name: _plain(value) for name, value in row.figures.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Money):
        return value.to_json()
    return f"{value:f}" if isinstance(value, Decimal) else value
