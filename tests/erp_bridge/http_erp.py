"""A small real ERP behind HTTP: a server on a real socket, its records in an SQLite file of its own; and its connector."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, urlsplit

from crm_erp_bridge.api import (
    AuthFailed,
    CheckResult,
    Conflict,
    Connector,
    CursorExpired,
    EntityCaps,
    Fatal,
    IdPage,
    Invalid,
    Ok,
    Op,
    OpResult,
    Page,
    Remote,
    SchemaField,
    Throttled,
    Unavailable,
)

KEY = "s3cret-of-the-erp"
_TABLE = """CREATE TABLE IF NOT EXISTS record (
    entity TEXT, id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT, version INTEGER, modified TEXT, data TEXT, UNIQUE (entity, key))"""
_SHOWN = """CREATE VIEW IF NOT EXISTS shown AS SELECT entity, id, key, version + count(line.record) AS version,
    max(record.modified, coalesce(max(line.modified), '')) AS modified, data,
    json_group_array(text) FILTER (WHERE text IS NOT NULL) AS lines
    FROM record LEFT JOIN line ON line.record = id GROUP BY id"""
_SELECT = "SELECT id, key, version, modified, data, lines FROM shown"
_FIELDS = {
    "customer": ["name", "web", "branch", "note", "price", "day", "at"],
    "order": ["no", "customer", "date", "total", "tax", "net"],
    "invoice": ["order", "total", "open"],
    "payment": ["invoice", "amount"],
}


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # five, the library's, are dropped connections when ten come at once

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's own asks the network for this host's name
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]  # a host and a port


class HttpErp:
    """The server. ``rows`` and ``write`` are the side door: the ERP's own screens."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "erp.db"
        self._lock = threading.Lock()
        self.now = datetime(2026, 3, 2, 9, tzinfo=UTC)
        with closing(self.connect()) as db:
            db.execute(_TABLE)
            db.execute("CREATE TABLE IF NOT EXISTS line (record INTEGER, modified TEXT, text TEXT)")
            db.execute(_SHOWN)
        self.fields = {entity: {name: {"type": "text"} for name in names} for entity, names in _FIELDS.items()}
        self.stock = {"P-1": "12.5"}
        handler = type("Bound", (_Handler,), {"erp": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._server.server_port

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=30, isolation_level=None)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def tick(self) -> str:
        """Return the instant of a transaction's start; each is a second later than the last."""
        with self._lock:
            self.now += timedelta(seconds=1)
            return self.now.isoformat()

    def write(self, entity: str, records: Sequence[Mapping[str, Any]], *, at: str = "") -> list[str]:
        """Write new records in one transaction; *at* says when it began, where it ends later."""
        at = at or self.tick()
        with closing(self.connect()) as db:
            db.execute("BEGIN IMMEDIATE")
            insert = "INSERT INTO record (entity, version, modified, data) VALUES (?, 1, ?, ?)"
            made = [str(db.execute(insert, (entity, at, json.dumps(r))).lastrowid) for r in records]
            db.execute("COMMIT")
        return made

    def sell(self, price: str, quantity: int, *, included: bool) -> dict[str, tuple[str, dict[str, str]]]:
        """Sell with 19 % tax, upon the price or included in it: an order, its invoice, its payment: ids and amounts."""
        cent, rate = Decimal("0.01"), Decimal("1.19")
        given = Decimal(price) * quantity
        total = given if included else (given * rate).quantize(cent, ROUND_HALF_UP)
        net = (total / rate).quantize(cent, ROUND_HALF_UP) if included else given
        amounts = {"total": str(total), "net": str(net), "tax": str(total - net)}
        (order,) = self.write("order", [{"no": "S-1", **amounts}])
        (invoice,) = self.write("invoice", [{"order": order, "total": str(total), "open": "0.00"}])
        (payment,) = self.write("payment", [{"invoice": invoice, "amount": str(total)}])
        paid = {"total": str(total), "open": "0.00"}
        return {"order": (order, amounts), "invoice": (invoice, paid), "payment": (payment, {"amount": str(total)})}

    def change_line(self, id: str, text: str) -> None:
        """Change a line of a record in its table of lines; the record itself is not touched, as in many an ERP."""
        with closing(self.connect()) as db:
            db.execute("INSERT INTO line (record, modified, text) VALUES (?, ?, ?)", (id, self.tick(), text))

    def change(self, id: str, data: Mapping[str, Any]) -> None:
        with closing(self.connect()) as db:
            update = "UPDATE record SET data = ?, version = version + 1, modified = ? WHERE id = ?"
            db.execute(update, (json.dumps(data), self.tick(), id))

    def delete(self, id: str) -> None:
        with closing(self.connect()) as db:
            db.execute("DELETE FROM record WHERE id = ?", (id,))

    def rows(self, entity: str) -> dict[str, dict[str, Any]]:
        with closing(self.connect()) as db:
            return {str(i): json.loads(d) for i, d in db.execute("SELECT id, data FROM record WHERE entity = ? ORDER BY id", (entity,))}


class _Handler(BaseHTTPRequestHandler):
    erp: ClassVar[HttpErp]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _reply(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(data)

    def do_GET(self) -> None:  # the base class's name
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return self._reply(401, {})
        url = urlsplit(self.path)
        asked = {k: v[0] for k, v in parse_qs(url.query, keep_blank_values=True).items()}
        with closing(self.erp.connect()) as db:
            return self._reply(200, getattr(self, f"_{url.path.strip('/')}")(db, asked))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return self._reply(401, {})
        at = self.erp.tick()
        with closing(self.erp.connect()) as db:
            db.execute("BEGIN IMMEDIATE")
            results = [_write(db, op, at) for op in body]
            db.execute("COMMIT")
        return self._reply(200, results)

    def _clock(self, db: sqlite3.Connection, asked: dict[str, str]) -> Any:
        return {"version": "3.1", "now": self.erp.tick()}

    def _records(self, db: sqlite3.Connection, asked: dict[str, str]) -> Any:
        rows = db.execute(
            f"{_SELECT} WHERE entity = ? AND (modified > ? OR (modified = ? AND id > ?)) AND modified <= ? ORDER BY modified, id LIMIT ?",
            (asked["entity"], asked["since"], asked["since"], int(asked["after"]), asked["until"], int(asked["limit"])),
        )
        return [_shown(row) for row in rows]

    def _made(self, db: sqlite3.Connection, asked: dict[str, str]) -> Any:
        return [_shown(row) for row in db.execute(f"{_SELECT} WHERE entity = ? AND key = ?", (asked["entity"], asked["key"]))]

    def _schema(self, db: sqlite3.Connection, asked: dict[str, str]) -> Any:
        return self.erp.fields[asked["entity"]]

    def _stock(self, db: sqlite3.Connection, asked: dict[str, str]) -> Any:
        return {"quantity": self.erp.stock[asked["product"]]}

    def _ids(self, db: sqlite3.Connection, asked: dict[str, str]) -> Any:
        select = "SELECT id, version FROM shown WHERE entity = ? AND id > ? ORDER BY id LIMIT ?"
        return {str(i): str(v) for i, v in db.execute(select, (asked["entity"], int(asked["after"]), int(asked["limit"])))}


def _shown(row: tuple[Any, ...]) -> dict[str, Any]:
    return {
        "id": str(row[0]),
        "key": row[1] or "",
        "version": str(row[2]),
        "modified": row[3],
        "data": {**json.loads(row[4]), **_lines(row[5])},
    }


def _lines(text: str) -> dict[str, Any]:
    found = json.loads(text)
    return {"lines": found} if found else {}


def _write(db: sqlite3.Connection, op: dict[str, Any], at: str) -> dict[str, Any]:
    if not op["data"].get("name"):
        return {"errors": {"name": "required"}}
    if op["id"] is None:
        insert = "INSERT INTO record (entity, key, version, modified, data) VALUES (?, ?, 1, ?, ?) ON CONFLICT (entity, key) DO NOTHING"
        db.execute(insert, (op["entity"], op["key"], at, json.dumps(op["data"])))
        id, version = db.execute("SELECT id, version FROM record WHERE entity = ? AND key = ?", (op["entity"], op["key"])).fetchone()
        return {"id": str(id), "version": str(version)}
    row = db.execute(f"{_SELECT} WHERE id = ?", (op["id"],)).fetchone()
    if row is None:
        return {"fatal": "it is gone"}
    if op["expect"] and op["expect"] != str(row[2]):
        return {"current": _shown(row)}
    data = {**json.loads(row[4]), **op["data"]}
    db.execute("UPDATE record SET data = ?, version = version + 1, modified = ? WHERE id = ?", (json.dumps(data), at, op["id"]))
    return {"id": str(row[0]), "version": str(row[2] + 1)}


class HttpConnector(Connector):
    """Its connector, as an integrator would write it."""

    entities: Mapping[str, EntityCaps] = dict.fromkeys(
        _FIELDS, EntityCaps(cursor="time", id_listing=True, optimistic_lock=True, bulk_read=500)
    )

    def __init__(self, address: tuple[str, int], key: str = KEY, patience: float = 2.0) -> None:
        super().__init__()
        self._address, self._key, self._patience = address, key, patience

    def check(self) -> CheckResult:
        found = self._call("GET", "/clock")
        return CheckResult(version=found["version"], server_time=datetime.fromisoformat(found["now"]), scopes=[""])

    def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
        since, _, after = (cursor or "").partition("|")
        try:
            since = datetime.fromisoformat(since).isoformat() if cursor else ""
            last = int(after or 0)
        except ValueError as e:
            raise CursorExpired from e
        if cursor and not after:
            last = 0
        asked = {"entity": entity, "since": since, "after": last, "until": until.isoformat(), "limit": limit}
        rows = [_remote(r, scope) for r in self._call("GET", "/records", asked)]
        if len(rows) < limit:
            return Page(rows, complete=True, next=rows[-1].modified_at.isoformat() if rows else cursor and since)
        return Page(rows, complete=False, next=f"{rows[-1].modified_at.isoformat()}|{rows[-1].id}")

    def apply(self, ops: Sequence[Op]) -> list[OpResult]:
        body = [
            {
                "entity": o.entity,
                "key": o.key,
                "id": o.remote_id if o.kind == "update" else None,
                "data": o.data,
                "expect": o.expect_version,
            }
            for o in ops
        ]
        return [_result(found) for found in self._call("POST", "/", body=body)]

    def find(self, entity: str, key: str) -> list[Remote]:
        return [_remote(r, "") for r in self._call("GET", "/made", {"entity": entity, "key": key})]

    def list_ids(self, entity: str, after: str | None, limit: int, scope: str) -> IdPage:
        found = self._call("GET", "/ids", {"entity": entity, "after": after or 0, "limit": limit})
        return IdPage(found, list(found)[-1] if len(found) == limit else None)

    def schema(self, entity: str) -> Mapping[str, SchemaField]:
        return {name: SchemaField(**given) for name, given in self._call("GET", "/schema", {"entity": entity}).items()}

    def ask(self, question: str, args: dict[str, Any], *, timeout: timedelta) -> dict[str, Any]:
        if question != "stock":
            return super().ask(question, args, timeout=timeout)
        found: dict[str, Any] = self._call("GET", "/stock", args)
        return found

    def _call(self, method: str, path: str, asked: dict[str, Any] | None = None, body: Any = None) -> Any:
        query = "&".join(f"{k}={quote(str(v))}" for k, v in (asked or {}).items())
        connection = HTTPConnection(*self._address, timeout=self._patience)
        try:
            connection.connect()
            # A timeout of the socket begins anew with each byte; only hanging up ends a reply that trickles.
            patience = threading.Timer(self._patience, _hang_up, [connection])
            patience.start()
            try:
                data = None if body is None else json.dumps(body)
                connection.request(method, f"{path}?{query}", data, {"Authorization": f"Bearer {self._key}"})
                reply = connection.getresponse()
                status, text = reply.status, reply.read()
            finally:
                patience.cancel()
                patience.join()
        except (OSError, HTTPException) as e:
            raise Unavailable(reason=type(e).__name__) from e
        finally:
            connection.close()
        if status == 401:
            raise AuthFailed
        if status == 429:
            raise Throttled(timedelta(seconds=int(reply.headers.get("Retry-After") or 60)))
        if status != 200:
            raise Unavailable(reason=f"HTTP {status}")
        return json.loads(text)


def _hang_up(connection: HTTPConnection) -> None:
    with suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)


def _remote(found: dict[str, Any], scope: str) -> Remote:
    modified = datetime.fromisoformat(found["modified"])
    return Remote(found["id"], version=found["version"], modified_at=modified, data=found["data"], scope=scope, key=found["key"])


def _result(found: dict[str, Any]) -> OpResult:
    if "errors" in found:
        return Invalid(found["errors"])
    if "current" in found:
        return Conflict(_remote(found["current"], ""))
    if "fatal" in found:
        return Fatal(found["fatal"])
    return Ok(found["id"], found["version"])
