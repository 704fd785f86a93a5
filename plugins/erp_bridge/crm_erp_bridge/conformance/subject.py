"""Subject: the connector under test, and the side door to the real ERP behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from ..connector import Connector, Op, OpResult, Page, Pending, Remote

FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


@attrs.frozen
class Document:
    """An order, invoice or payment in the ERP, and its amounts by path, as exact text."""

    entity: str
    id: str
    amounts: Mapping[str, str]


class Subject(ABC):
    """Subclass it for your ERP: how to reach it through your connector, and how to work in it without.

    Attributes:
        entity, scope: the kind of records, and the organisation, that are tried.
        rows: how many the rule of paging writes.
        many: how many the rule of memory writes.
        address: host and port, where the connector has a socket; the rules then put a proxy before it.
        secret: the password or key that no message may show.
    """

    entity = "customer"
    scope = ""
    rows = 250
    many = 10_000
    address: tuple[str, int] | None = None
    secret = ""

    @abstractmethod
    def connector(self, address: tuple[str, int] | None = None) -> Connector:
        """Make a connector; with *address*, to the proxy that stands there."""

    def stranger(self) -> Connector | None:
        """Make a connector with a wrong password; None where there is none."""
        return None

    @abstractmethod
    def sample(self, n: int) -> dict[str, Any]:
        """Return good data of a new record, another one for each *n*."""

    def bad(self) -> dict[str, Any] | None:
        """Return data that the ERP refuses for a field; None where it refuses nothing."""
        return None

    def tricky(self) -> Sequence[Mapping[str, Any]]:
        """Return fields that must survive the way there and back."""
        return []

    @abstractmethod
    def put(self, records: Sequence[Mapping[str, Any]]) -> list[str]:
        """Write new records in the ERP, all in one transaction, and return their ids."""

    @abstractmethod
    def change(self, id: str, data: Mapping[str, Any]) -> None:
        """Change a record in the ERP."""

    @abstractmethod
    def delete(self, id: str) -> None:
        """Delete a record in the ERP."""

    @abstractmethod
    def living(self) -> Mapping[str, Mapping[str, Any]]:
        """Return all living records in the ERP by id."""

    def begin(self, record: Mapping[str, Any]) -> Callable[[], str] | None:
        """Begin a transaction in the ERP that writes a new record; what is returned ends it and says the id. None where that cannot be."""
        return None

    def change_line(self, id: str) -> bool:
        """Change a part of a record that the ERP keeps apart, such as a line or an address; False where it has none."""
        return False

    def documents(self) -> Sequence[Document]:
        """Make orders, invoices, payments, with tax upon the price and included, and return their amounts as the ERP computed them."""
        return []

    def questions(self) -> Sequence[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Return live questions with their arguments and what the ERP's own screens say to them."""
        return []

    def approve(self) -> None:  # noqa: B027  # not every ERP asks for approval
        """Do in the ERP what pending ops wait for."""

    def close(self) -> None:  # noqa: B027  # not everything must be stopped
        """Stop what was started."""

    # What the rules share

    def op(self, n: int, *, key: str = "", **given: Any) -> Op:
        """Return an op that creates the n-th sample, unless *given* says otherwise."""
        basis: dict[str, Any] = {"kind": "create", "remote_id": None, "data": self.sample(n)}
        return Op(key=key or f"00000000-0000-5000-8000-{n:012d}", entity=self.entity, scope=self.scope, **{**basis, **given})

    def applied(self, connector: Connector, *ops: Op) -> list[OpResult]:
        """Apply ops until none is pending, with the approval they wait for."""
        results = connector.apply(list(ops))
        if any(isinstance(r, Pending) for r in results):
            self.approve()
            results = connector.apply(list(ops))
        return results

    def turn(self, connector: Connector, cursor: str | None = None, limit: int = 1000, *, entity: str = "") -> Iterator[Page]:
        """Read page after page from a cursor on; a connector that leads nowhere is stopped after ten thousand."""
        for _ in range(10_000):
            page = connector.read(entity or self.entity, cursor, FOREVER, limit, self.scope)
            yield page
            if page.complete:
                return
            cursor = following(page)
        raise AssertionError("rule 4: the pages have no end")

    def pages(self, connector: Connector, cursor: str | None = None, limit: int = 1000) -> list[Page]:
        """Read all pages from a cursor on."""
        return list(self.turn(connector, cursor, limit))

    def read(self, connector: Connector, cursor: str | None = None, limit: int = 1000, *, entity: str = "") -> list[Remote]:
        """Read all records from a cursor on."""
        return [r for page in self.turn(connector, cursor, limit, entity=entity) for r in page.records]


def following(page: Page, overlap: timedelta = timedelta(0)) -> str | None:
    """Return where the bridge goes on after a page; by time, so much earlier."""
    cursor = page.next
    if cursor is None and page.records:
        cursor = max(r.modified_at for r in page.records).isoformat()
    try:
        return (datetime.fromisoformat(cursor) - overlap).isoformat() if cursor and overlap else cursor
    except ValueError:
        return cursor  # it goes by something else than time
