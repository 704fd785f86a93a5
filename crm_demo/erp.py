"""The company's ERP: a program that knows folders only. It takes in what was won, invoices it, and is paid for most of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from crm_core import Refused
from crm_erp_bridge.api import Bridge, FolderDrop, FolderSettings, Sync

from .company import TENANT, Company

TAX = Decimal("1.19")
_MAPPING = """
[customer]
record = "account"
to_erp = "needed"

[customer.fields]
name = { erp = "name", owner = "manual" }

[order]
record = "erp_bridge.order"

[order.fields]
number = "no"
account = { erp = "customer", codec = "ref", stream = "customer" }
ordered_on = { erp = "date", codec = "date" }
total = { erp = "total", codec = "money", currency = "currency" }

[invoice]
record = "erp_bridge.invoice"

[invoice.fields]
number = "no"
account = { erp = "customer", codec = "ref", stream = "customer" }
order = { erp = "order", codec = "ref", stream = "order" }
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
amount = { erp = "total", codec = "money", currency = "currency" }

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


def bridge(root: Path) -> Bridge:
    """Make the ERP's folders and the bridge to them."""
    for name in ("incoming", "outgoing", "acks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    mapping = root / "mapping.toml"
    mapping.write_text(_MAPPING, encoding="utf-8")
    settings = FolderSettings(root=root, entities=["customer", "order", "invoice", "payment"])
    return Bridge("erp", FolderDrop, mapping=mapping, scopes={"": TENANT}, settings=settings)


def trade(company: Company) -> None:
    """Send what was won, let the ERP do its work, and take in what it wrote: all that is begun is brought to its end."""
    end = company.clock.now() + timedelta(hours=1)
    with Sync(company.crm, "erp", tenant=TENANT) as sync:
        while _alone(company, sync.push):
            _acknowledge(company.root)
            company.clock.advance(timedelta(minutes=2))
        _invoice(company.root, company.clock.now().date())
        sync.pull()
    company.clock.advance(max(end - company.clock.now(), timedelta(0)))  # however often it had to begin anew


def _alone(company: Company, run: Callable[[], Counter[str]]) -> Counter[str]:
    """Run the bridge; who has its lease was killed with it in hand, so its time passes first."""
    try:
        return run()
    except Refused as e:
        if e.code != "erp_bridge.busy":
            raise
        company.clock.advance(datetime.fromisoformat(e.params["until"]) - company.clock.now())
        return run()


def _acknowledge(root: Path) -> None:
    """Take in every file that has no answer yet; the ERP's numbers follow from ours."""
    for path in sorted((root / "outgoing").glob("*.json")):
        key = json.loads(path.read_text(encoding="utf-8"))["key"]
        answer = root / "acks" / f"{key}.json"
        if not answer.exists():
            _write_whole(answer, {"status": "ok", "id": f"{path.name[0].upper()}-{key[:8]}", "version": "1"})


def _invoice(root: Path, today: date) -> None:
    """Confirm and invoice every order once, with the ERP's own tax; about two of three are paid at once."""
    for path in sorted((root / "outgoing").glob("order-*.json")):
        sent = json.loads(path.read_text(encoding="utf-8"))
        number = f"O-{sent['key'][:8]}"
        if (root / "incoming" / f"order-{number}.json").exists():
            continue
        gross = (Decimal(str(sent["data"]["total"])) * TAX).quantize(Decimal("0.01"), ROUND_HALF_UP)
        paid = gross * 100 % 3 != 0
        facts = {"customer": sent["data"]["customer"], "date": today.isoformat(), "total": str(gross), "currency": sent["data"]["currency"]}
        invoice = {"id": f"I{number}", "no": f"I{number}", "order": number, "open": "0.00" if paid else str(gross)}
        if paid:
            _write(root, "payment", number, {"id": f"P{number}", "no": f"P{number}", "invoice": invoice["id"], **facts})
        _write(root, "invoice", number, {**invoice, **facts})
        _write(root, "order", number, {"id": number, "no": number, **facts})


def _write(root: Path, entity: str, number: str, record: Mapping[str, Any]) -> None:
    _write_whole(root / "incoming" / f"{entity}-{number}.json", record)


def _write_whole(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file that is there wholly or not at all, wherever the power is cut."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(content), encoding="utf-8")
    part.replace(path)
