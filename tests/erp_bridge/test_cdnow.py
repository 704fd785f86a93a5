"""Purchase history of a real shop: the CDNOW sample, 2,357 customers and 6,919 purchases of 1997 and 1998 [C04]."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from time import perf_counter

from crm_core import Account, Money
from crm_erp_bridge.api import ErpBridge
from tests.erp_bridge.conftest import MAPPING, OPERATOR, MakeDesk

Purchases = dict[str, list[tuple[date, Decimal]]]


def test_c04_every_customers_history_is_that_of_the_file_to_the_cent(make_desk: MakeDesk, test_data: Callable[[str], Path]) -> None:
    purchases = read(test_data("analytics/cdnow/CDNOW_sample.txt"))
    assert (len(purchases), sum(map(len, purchases.values()))) == (2357, 6919)
    desk = make_desk(
        mapping=MAPPING.replace("=EUR", "=USD"), folder={"decimal": ",", "delimiter": ";", "numbers": {"order": ["total", "base"]}}
    )
    write(desk.root / "incoming", purchases)
    started = perf_counter()
    assert desk.sync.pull() == {"customer.create": 2357, "order.create": 6919}
    print(f"{desk.crm.bound.kind}: 9,276 records in {perf_counter() - started:.1f} s")
    chosen = sorted(purchases)[:: len(purchases) // 100]
    with desk.crm.session(OPERATOR, write=False) as s:
        for account in s.query(Account).where(Account.external_ref.in_(chosen)).all():
            assert account.external_ref is not None
            found, facts = s.use(ErpBridge).purchase_history(account), sorted(purchases[account.external_ref])
            total = Money(sum(value for _, value in facts), "USD")
            assert (found.orders, found.first, found.last) == (len(facts), facts[0][0], facts[-1][0])
            assert (found.lifetime, found.lifetime_base) == ({"USD": total}, total)
            if len(facts) > 1:
                assert found.interval == (facts[-1][0] - facts[0][0]) / (len(facts) - 1)
    orders = next(r for r in desk.sync.reconcile().streams if r.stream == "order")
    everything = sum(value for facts in purchases.values() for _, value in facts)
    assert orders.clean
    assert sum(here for name, (_, here) in orders.sums.items() if name.startswith("total ")) == everything


def read(path: Path) -> Purchases:
    """Return the purchases by customer."""
    found: Purchases = defaultdict(list)
    for line in path.read_text().splitlines():
        customer, _, day, _, value = line.split()
        found[customer].append((date.fromisoformat(day), Decimal(value)))
    return found


def write(folder: Path, purchases: Purchases) -> None:
    """Have the ERP write its files: German numbers, as it knows no others."""
    with (folder / "customer-1.csv").open("w", newline="") as file:
        rows = csv.writer(file, delimiter=";")
        rows.writerow(["id", "number", "name"])
        rows.writerows([c, c, f"Customer {c}"] for c in purchases)
    with (folder / "order-1.csv").open("w", newline="") as file:
        rows = csv.writer(file, delimiter=";")
        rows.writerow(["id", "no", "customer", "date", "kind", "state", "total", "currency", "base"])
        for customer, facts in purchases.items():
            for n, (day, value) in enumerate(facts):
                amount = str(value).replace(".", ",")
                rows.writerow([f"{customer}-{n}", f"{customer}-{n}", customer, day, "S", "C", amount, "USD", amount])
