"""A CRM bridged to the ERP behind HTTP; also run as a process that dies: ``python -m tests.erp_bridge.http_desk URL PORT POINT FOLDER``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import define

from crm_core import CRM, Account, Actor, FixedClock, Runtime
from crm_erp_bridge import plugin
from crm_erp_bridge.api import Bridge, Connector, Op, OpResult, Page, Sync
from tests.erp_bridge.http_erp import HttpConnector, HttpErp

SYSTEM = Actor.system("test", tenant="main")
START = datetime.fromisoformat("2026-03-02T09:00+00:00")
MAPPING = """
[customer]
record = "account"
to_erp = "always"
fields = { name = { erp = "name", owner = "manual" }, website = { erp = "web", owner = "crm" }, industry = "branch" }

[order]
record = "erp_bridge.order"

[order.fields]
number = "no"
account = { erp = "customer", codec = "ref", stream = "customer" }
ordered_on = { erp = "date", codec = "date" }
total = { erp = "total", codec = "money", currency = "=EUR" }
"""
POINTS = ("before apply", "after apply", "after page")


class Dying(HttpConnector):
    """Its process dies at a point."""

    point = ""

    def apply(self, ops: Sequence[Op]) -> list[OpResult]:
        if self.point == "before apply":
            os._exit(9)
        found = super().apply(ops)
        if self.point == "after apply":
            os._exit(9)
        return found

    def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
        if self.point == "after page" and cursor:
            os._exit(9)
        return super().read(entity, cursor, until, min(limit, 3), scope)


def bridge(folder: Path, connector: Callable[[Any], Connector]) -> Bridge:
    """Return the bridge, its mapping written into a folder."""
    path = folder / "http.toml"
    path.write_text(MAPPING, encoding="utf-8")
    return Bridge("http", connector, mapping=path)


@define
class HttpDesk:
    """Both sides."""

    crm: CRM
    clock: FixedClock
    erp: HttpErp
    sync: Sync

    def make(self, *names: str) -> None:
        """Create accounts, and queue them."""
        with self.crm.session(SYSTEM) as s:
            s.create_many([Account(name=name) for name in names])
        self.crm.run_pending()

    def later(self, **by: float) -> None:
        """Let time pass on both sides."""
        self.clock.advance(timedelta(**by))
        self.erp.now += timedelta(**by)

    def names(self) -> list[str]:
        """Return the names of our accounts."""
        with self.crm.session(SYSTEM, write=False) as s:
            return [a.name for a in s.query(Account).order_by(Account.name).all()]

    def there(self) -> list[str]:
        """Return the names of the ERP's customers."""
        return sorted(r["name"] for r in self.erp.rows("customer").values())


def main(url: str, port: str, point: str, folder: str) -> None:
    """Push and pull, and die on the way."""
    dying = type("DyingHere", (Dying,), {"point": point})
    given = bridge(Path(folder), lambda _: dying(("127.0.0.1", int(port))))
    crm = CRM(url, plugins=[plugin.configured(bridges=[given])], runtime=Runtime.seeded(2, clock=FixedClock(START)))
    sync = Sync(crm, "http")
    if point == "after page":
        sync.pull()
    else:
        sync.push()


if __name__ == "__main__":
    main(*sys.argv[1:])
