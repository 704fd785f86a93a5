"""The connectors under test, each with the side door to its ERP."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from crm_erp_bridge.api import Connector, FolderDrop, FolderSettings
from crm_erp_bridge.conformance import Document, Subject
from crm_erp_bridge.folder import write_whole
from tests.erp_bridge.http_erp import KEY, HttpConnector, HttpErp

TRICKY: list[dict[str, Any]] = [
    {"note": "价税合计 – Größe – \U0001f600"},
    {"note": "x" * 300},
    {"note": ""},
    {"note": None},
    {"price": "12.3456"},
]
DATES: list[dict[str, Any]] = [{"day": "2026-12-31"}, {"at": "2026-03-29T01:30:00+01:00"}]


class CustomerSubject(Subject):
    """An ERP whose records are customers."""

    def sample(self, n: int) -> dict[str, Any]:
        return {"name": f"Customer {n}"}

    def bad(self) -> dict[str, Any]:
        return {"name": ""}

    def tricky(self) -> Sequence[Mapping[str, Any]]:
        return [*TRICKY, *DATES]


class HttpSubject(CustomerSubject):
    """The ERP behind HTTP."""

    secret = KEY
    make: type[HttpConnector] = HttpConnector

    def __init__(self) -> None:
        self.erp = HttpErp(Path(mkdtemp()))
        self.address = self.erp.address

    def connector(self, address: tuple[str, int] | None = None) -> Connector:
        return self.make(address or self.erp.address)

    def stranger(self) -> Connector:
        return self.make(self.erp.address, key=KEY + "x")

    def put(self, records: Sequence[Mapping[str, Any]]) -> list[str]:
        return self.erp.write(self.entity, records)

    def change(self, id: str, data: Mapping[str, Any]) -> None:
        self.erp.change(id, data)

    def delete(self, id: str) -> None:
        self.erp.delete(id)

    def living(self) -> Mapping[str, Mapping[str, Any]]:
        return self.erp.rows(self.entity)

    def begin(self, record: Mapping[str, Any]) -> Callable[[], str]:
        at = self.erp.tick()
        return lambda: self.erp.write(self.entity, [record], at=at)[0]

    def change_line(self, id: str) -> bool:
        self.erp.change_line(id, "Another address")
        return True

    def documents(self) -> Sequence[Document]:
        sold = [self.erp.sell("33.33", 3, included=included) for included in (False, True)]
        return [Document(entity, id, amounts) for sale in sold for entity, (id, amounts) in sale.items()]

    def questions(self) -> Sequence[tuple[str, dict[str, Any], dict[str, Any]]]:
        return [("stock", {"product": "P-1"}, {"quantity": self.erp.stock["P-1"]})]

    def close(self) -> None:
        self.erp.close()


class FolderSubject(CustomerSubject):
    """The ERP that is a folder: it writes files, takes ours, and acknowledges them."""

    def __init__(self) -> None:
        self.root = Path(mkdtemp())
        for name in ("incoming", "outgoing", "acks"):
            (self.root / name).mkdir()
        self._records: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count(1)

    def connector(self, address: tuple[str, int] | None = None) -> Connector:
        return FolderDrop(FolderSettings(root=self.root, entities=[self.entity, "order"]))

    def put(self, records: Sequence[Mapping[str, Any]]) -> list[str]:
        made = [f"C{next(self._numbers)}" for _ in records]
        self._records |= dict(zip(made, map(dict, records), strict=True))
        self._drop(*made)
        return made

    def change(self, id: str, data: Mapping[str, Any]) -> None:
        self._records[id] = dict(data)
        self._drop(id)

    def delete(self, id: str) -> None:
        del self._records[id]
        self._drop(id)

    def living(self) -> Mapping[str, Mapping[str, Any]]:
        return self._records

    def change_line(self, id: str) -> bool:
        self._records[id]["addresses"] = [{"city": "Another one"}]
        self._drop(id)
        return True

    def documents(self) -> Sequence[Document]:
        """What the ERP exports: amounts in its own decimals, as text and as JSON's numbers."""
        upon = {"total": "118.99", "net": "99.99", "tax": "19.00"}
        included = {"total": "99.99", "net": "84.03", "tax": "15.96"}
        numbers = ", ".join(f'"{name}": {amount}' for name, amount in included.items())
        write_whole(self.root / "incoming" / "order-000001.json", f'[{json.dumps({"id": "O1", **upon})}, {{"id": "O2", {numbers}}}]')
        return [Document("order", "O1", upon), Document("order", "O2", included)]

    def approve(self) -> None:
        for path in sorted((self.root / "outgoing").rglob("*.json")):
            body = json.loads(path.read_text(encoding="utf-8"))
            ack = self.root / "acks" / f"{body['key']}.json"
            if ack.exists():
                continue
            if not body["data"]["name"]:
                write_whole(ack, json.dumps({"status": "invalid", "errors": {"name": "required"}}))
                continue
            (id,) = self.put([body["data"]])
            write_whole(ack, json.dumps({"status": "ok", "id": id, "version": "1"}))

    def _drop(self, *ids: str) -> None:
        rows = [{"id": i, **self._records[i]} if i in self._records else {"id": i, "deleted": True} for i in ids]
        number = next(self._numbers)
        path = self.root / "incoming" / f"{self.entity}-{number:06}.json"
        write_whole(path, json.dumps(rows))
        os.utime(path, (number, number))  # the file system's clock is too coarse to tell them apart
