"""A CRM bridged to an ERP that is a folder: its files come in, ours go out, and the ERP's clerk acknowledges them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from crm_core import CRM, Account, Actor, FixedClock, Runtime
from crm_erp_bridge import plugin
from crm_erp_bridge.api import Bridge, FolderDrop, FolderSettings, Sync
from crm_erp_bridge.conformance import TcpProxy
from tests.erp_bridge.http_desk import START, HttpDesk, bridge
from tests.erp_bridge.http_desk import SYSTEM as SYSTEM
from tests.erp_bridge.http_erp import HttpConnector, HttpErp

OPERATOR = Actor("7", roles={"erp_bridge.operator"})

MAPPING = """
[customer]
record = "account"
to_erp = "needed"
match = ["external_ref"]

[customer.fields]
external_ref = "number"
name = { erp = "name", owner = "manual" }
website = { erp = "web", owner = "crm" }
emails = { erp = "email", codec = "email", owner = "crm" }
industry = "branch"

[order]
record = "erp_bridge.order"

[order.fields]
number = "no"
account = { erp = "customer", codec = "ref", stream = "customer" }
ordered_on = { erp = "date", codec = "date" }
kind = { erp = "kind", codec = "enum", values = { sale = "S", return = "R" } }
status = { erp = "state", codec = "enum", values = { draft = "Z", open = ["A", "B"], done = "C", cancelled = "X" } }
total = { erp = "total", codec = "money", currency = "currency" }
base_total = { erp = "base", codec = "money", currency = "=EUR" }

[line]
record = "erp_bridge.order_line"

[line.fields]
order = { erp = "order", codec = "ref", stream = "order" }
position = { erp = "pos", codec = "int" }
product = "item"
quantity = { erp = "qty", codec = "decimal" }
price = { erp = "price", codec = "money", currency = "=EUR" }
total = { erp = "total", codec = "money", currency = "=EUR" }

[invoice]
record = "erp_bridge.invoice"

[invoice.fields]
number = "no"
account = { erp = "customer", codec = "ref", stream = "customer" }
order = { erp = "order", codec = "ref", stream = "order" }
kind = { erp = "kind", codec = "enum", values = { invoice = "I", credit_note = "C" } }
invoiced_on = { erp = "date", codec = "date" }
total = { erp = "total", codec = "money", currency = "currency" }
open_amount = { erp = "open", codec = "money", currency = "currency" }

[payment]
record = "erp_bridge.payment"

[payment.fields]
number = "no"
account = { erp = "customer", codec = "ref", stream = "customer" }
invoice = { erp = "invoice", codec = "ref", stream = "invoice" }
paid_on = { erp = "date", codec = "date" }
amount = { erp = "amount", codec = "money", currency = "currency" }

[deal]
record = "sales.opportunity"
entity = "order"
owner = "crm"
to_erp = "always"
from_erp = "never"

[deal.fields]
name = "title"
account = { erp = "customer", codec = "ref", stream = "customer" }
amount = { erp = "total", codec = "money", currency = "currency" }
"""


def customer(id: str = "C1", **given: Any) -> dict[str, Any]:
    return {"id": id, "number": f"K-{id}", "name": f"Customer {id}", **given}


def order(id: str, customer: str = "C1", **given: Any) -> dict[str, Any]:
    basis = {"id": id, "no": f"SO-{id}", "customer": customer, "date": "2026-01-10", "kind": "S", "state": "C"}
    return {**basis, "total": "100.00", "currency": "EUR", "base": "100.00", **given}


@define
class Desk:
    """Both sides: the CRM with its bridge, and the ERP's folder."""

    crm: CRM
    clock: FixedClock
    root: Path
    sync: Sync
    settings: FolderSettings

    def drop(self, name: str, *records: dict[str, Any], scope: str = "", text: str = "") -> Path:
        """Have the ERP put a file into the folder: records as JSON, or a text."""
        path = self.root / "incoming" / scope / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or json.dumps(records), encoding="utf-8")
        return path

    def outgoing(self) -> list[dict[str, Any]]:
        """Return what we wrote for the ERP, in the order of the files' names."""
        return [json.loads(p.read_text(encoding="utf-8")) for p in sorted((self.root / "outgoing").rglob("*.json"))]

    def acknowledge(self, **given: Any) -> list[str]:
        """Have the ERP's clerk acknowledge what is open, each with an id of its own, and return the ids."""
        made = []
        for body in self.outgoing():
            path = self.root / "acks" / f"{body['key']}.json"
            if not path.exists():
                id = body["id"] or f"{body['entity'][0].upper()}{body['key'][:4]}"
                path.write_text(json.dumps({"status": "ok", "id": id, "version": "1", **given}), encoding="utf-8")
                made.append(id)
        return made

    def deliver(self) -> None:
        """Deliver events, and push what they queued."""
        self.crm.run_pending()
        self.sync.push()

    def later(self, **by: float) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(**by))

    def accounts(self) -> list[Account]:
        """Return all accounts by name."""
        with self.crm.session(SYSTEM, write=False) as s:
            return s.query(Account).order_by(Account.name).all()


MakeDesk = Callable[..., Desk]


@pytest.fixture
def make_desk(make_crm: Callable[..., CRM], tmp_path: Path) -> MakeDesk:
    """Make a desk; ``sales`` adds that module, ``folder`` and ``settings`` change the connector's and the module's settings."""

    def make(*, sales: bool = False, folder: dict[str, Any] | None = None, mapping: str = MAPPING, **settings: Any) -> Desk:
        for name in ("incoming", "outgoing", "acks"):
            (tmp_path / name).mkdir(exist_ok=True)
        text = mapping if sales else mapping.split("[deal]")[0]
        (tmp_path / "erp.toml").write_text(text, encoding="utf-8")
        given = FolderSettings(root=tmp_path, entities=["customer", "order", "line", "invoice", "payment"], **(folder or {}))
        bridge = Bridge("files", FolderDrop, mapping=tmp_path / "erp.toml", settings=given)
        plugins = [plugin.configured(bridges=[bridge], **settings)]
        if sales:
            import crm_sales

            plugins = [crm_sales.plugin, *plugins]
        clock = FixedClock(START)
        crm = make_crm(plugins=plugins, runtime=Runtime.seeded(1, clock=clock))
        return Desk(crm, clock, tmp_path, Sync(crm, "files"), given)

    return make


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    """A desk without sales."""
    return make_desk()


MakeHttpDesk = Callable[..., HttpDesk]


@pytest.fixture
def erp(tmp_path: Path) -> Iterator[HttpErp]:
    """The ERP behind HTTP."""
    made = HttpErp(tmp_path)
    yield made
    made.close()


@pytest.fixture
def proxy(erp: HttpErp) -> Iterator[TcpProxy]:
    """What stands before it and can fail."""
    with TcpProxy(erp.address) as made:
        yield made


@pytest.fixture
def make_http_desk(make_crm: Callable[..., CRM], erp: HttpErp, proxy: TcpProxy, tmp_path: Path) -> MakeHttpDesk:
    """Make a CRM bridged to it; ``connector`` is another class than ``HttpConnector``, the rest are settings of the module."""

    def make(*, connector: type[HttpConnector] = HttpConnector, **settings: Any) -> HttpDesk:
        given = bridge(tmp_path, lambda _: connector(proxy.address))
        clock = FixedClock(START)
        crm = make_crm(plugins=[plugin.configured(bridges=[given], **settings)], runtime=Runtime.seeded(1, clock=clock))
        return HttpDesk(crm, clock, erp, Sync(crm, "http"))

    return make
