"""Real data: Northwind as CSV, with lines that are broken; put right, it gives the figures that are known of it [C67]."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

import crm_sales
from crm_core import Account, Actor, Contact, Entity, Field, MoneyField, Plugin, Ref, field
from crm_core.io import Importer, Mapping, Report, mapping_of, read_mappings
from crm_sales.api import Product

MAPPINGS = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "northwind.toml"
IMPORT = Actor.system("import", tenant="main")
CENT = Decimal("0.01")
plugin = Plugin("northwind", version="1.0.0", requires={"sales": ">=0"})


class Sale(Entity):
    """An order as the file has it."""

    customer: Field[Ref[Account]]
    placed: Field[date]
    street: Field[str]
    country: Field[str]
    external_ref: Field[str | None] = field(default=None, unique=True)


class Item(Entity):
    """A line of an order."""

    sale: Field[Ref[Sale]]
    product: Field[Ref[Product]]
    price: MoneyField
    quantity: Field[int]
    discount: Field[Decimal]


plugin.entities(Sale, Item)
SALES: dict[str, Any] = {
    "path": "orders.csv",
    "entity": "northwind.sale",
    "key": "northwind:{orderID}",
    "fields": {
        "customer": {"template": "northwind:{customerID}", "lookup": "external_ref"},
        "placed": {"column": "orderDate", "dates": ["%Y-%m-%d %H:%M:%S.%f"]},
        "street": "shipAddress",
        "country": "shipCountry",
    },
}
ITEMS: dict[str, Any] = {
    "path": "order-details.csv",
    "entity": "northwind.item",
    "fields": {
        "sale": {"template": "northwind:{orderID}", "lookup": "external_ref"},
        "product": {"template": "northwind:{productID}", "lookup": "external_ref"},
        "price": {"column": "unitPrice", "currency": "USD"},
        "quantity": "quantity",
        "discount": "discount",
    },
}
# The column whose comma is not quoted.
ADDRESS = {"customers.csv": "address", "suppliers.csv": "address", "orders.csv": "shipAddress"}


@pytest.fixture
def folder(test_data: Callable[[str], Path]) -> Path:
    return test_data("sales/northwind_csv") / "data"


def put_right(errors: Path, column: str) -> Path:
    """Do what a person does in a file of failed rows: join the two cells that are one address."""
    with errors.open(encoding="utf-8", newline="") as stream:
        head, *rows = csv.reader(stream)
    at = head.index(column)
    with errors.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(head)
        for row in rows:
            assert len(row) == len(head) + 1
            writer.writerow([*row[:at], f"{row[at]},{row[at + 1]}", *row[at + 2 :]])
    return errors


def counts(report: Report) -> tuple[int, int, int, int]:
    return report.rows, report.created, report.unchanged, report.failed


def test_the_broken_lines_are_told_put_right_and_the_net_is_what_is_known(make_crm: Any, folder: Path, tmp_path: Path) -> None:
    crm = make_crm(plugins=[crm_sales.plugin, plugin])
    errors = tmp_path / "errors.csv"

    def brought(mapping: Mapping, path: Path, errors: Path | None = None) -> Report:
        again = attrs.evolve(mapping, ignore=[*mapping.ignore, "line", "reason"])
        return Importer(crm, IMPORT, again).run(path, errors=errors)

    first: dict[str, tuple[int, int, int, int]] = {}
    for mapping in [*read_mappings(MAPPINGS), mapping_of(SALES), mapping_of(ITEMS)]:
        report = brought(mapping, folder / mapping.path, errors)
        first[mapping.path] = counts(report)
        if report.failed:
            assert {f.error.code for f in report.failures} == {"import_ragged"}
            mended = brought(mapping, put_right(errors, ADDRESS[mapping.path]))
            assert counts(mended) == (report.failed, report.failed, 0, 0)
    assert first == {
        "customers.csv": (91, 67, 0, 24),
        "suppliers.csv": (29, 20, 0, 9),
        "products.csv": (77, 77, 0, 0),
        "orders.csv": (830, 654, 0, 176),
        "order-details.csv": (2155, 2155, 0, 0),
    }
    with crm.session(IMPORT, write=False) as s:
        assert (s.query(Account).count(), s.query(Contact).count(), s.query(Sale).count()) == (120, 91, 830)
        assert {c.account is not None for c in s.query(Contact).all()} == {True}
        assert {s.country for s in s.query(Sale).all()} == countries(folder)
        net: dict[str, list[Decimal]] = defaultdict(list)
        for item in s.query(Item).all():
            net[item.sale.id].append(item.price.amount * item.quantity * (1 - item.discount))
    lines = [value for values in net.values() for value in values]
    assert sum(lines, Decimal(0)).quantize(CENT) == Decimal("1265793.04")
    assert half_up(lines) == Decimal("1265793.29")
    assert half_up(sum(values, Decimal(0)) for values in net.values()) == Decimal("1265793.22")


def half_up(values: Iterable[Decimal]) -> Decimal:
    return sum((value.quantize(CENT, ROUND_HALF_UP) for value in values), Decimal(0))


def countries(folder: Path) -> set[str]:
    """The countries that orders go to: the last cell, however many are before it."""
    with (folder / "orders.csv").open(encoding="utf-8", newline="") as stream:
        _, *rows = csv.reader(stream)
    return {row[-1] for row in rows}
