"""The integrator's ERP: it answers as its web service does."""

from __future__ import annotations

from typing import Any

MAPPING = """
[customer]
record = "account"
to_erp = "needed"

[customer.fields]
external_ref = "FNumber"
name = { erp = "FName", owner = "manual" }

[deal]
record = "sales.opportunity"
entity = "order"
owner = "crm"
to_erp = "always"
from_erp = "never"

[deal.fields]
name = "FNote"
account = { erp = "FCustId", codec = "ref", stream = "customer" }
amount = { erp = "FAmount", codec = "money", currency = "FCurrency" }
"""


class Erp:
    """One customer; what is saved waits for somebody who approves it."""

    def __init__(self) -> None:
        self.saved: list[tuple[str, str]] = []

    def query(self, form: str, *, filter: str, order: str, limit: int) -> list[dict[str, Any]]:
        """Return the rows of a form in one organisation."""
        assert (order, limit) == ("FModifyDate,FID", 2000) or limit <= 2000
        if form != "BD_Customer" or "'101'" not in filter:
            return []
        return [{"FID": "1", "FNumber": "C-1", "FName": "华东贸易", "FModifyDate": "2026-01-05T08:00:00+00:00", "FDocumentStatus": "C"}]

    def save(self, form: str, data: dict[str, Any], *, number: str) -> dict[str, Any]:
        """Take a document in."""
        self.saved.append((form, data["FNote"]))
        return {"Id": "9", "status": "B", "FModifyDate": "2026-01-06T08:00:00+00:00"}

    def call(self, question: str, args: dict[str, Any], *, timeout: float) -> dict[str, Any]:
        """Answer a question at once."""
        return {"question": question, **args, "timeout": timeout}


erp = Erp()
