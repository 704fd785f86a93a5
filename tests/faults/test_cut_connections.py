"""R5: the connection ends at each message of a call: the database is away, it is never the caller's fault, and all is done or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from crm_core import CRM, CommitOutcomeUnknown, Unavailable
from crm_core.testing.databases import PostgresDatabases
from tests.events.boxes import Box
from tests.events.world import ADMIN, box_plugin, recorder
from tests.figures import figure
from tests.session.cutting import CuttingProxy

Call = Callable[[CRM, str], None]


def write(crm: CRM, name: str) -> None:
    with crm.session(ADMIN) as s:
        s.update(Box, s.create(Box(name=name)).id, {"size": 1})


def write_under_a_key(crm: CRM, name: str) -> None:
    with crm.session(ADMIN, idempotency_key=name) as s:
        box = s.create(Box(name=name))
        s.update(Box, box.id, {"size": s.lock(Box, box.id).size + 1})


def write_on(crm: CRM, name: str) -> None:
    """Go on after an error, as code does that catches too much."""
    with crm.session(ADMIN) as s:
        with suppress(Unavailable):
            s.query(Box).count()
        with suppress(Unavailable):
            s.create(Box(name="never alone"))
        s.update(Box, s.create(Box(name=name)).id, {"size": 1})


def read(crm: CRM, _: str) -> None:
    with crm.session(ADMIN, write=False) as s:
        s.query(Box).order_by(Box.id).page(size=20)
        s.query(Box).count()


def deliver(crm: CRM, name: str) -> None:
    write(crm, name)
    crm.run_pending()


CALLS: dict[str, Call] = {f.__name__: f for f in (write, write_under_a_key, write_on, read, deliver)}


@pytest.fixture
def cut(postgres_databases: PostgresDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CRM, CRM, CuttingProxy]]:
    """One CRM, and another of the same database whose connections can be cut."""
    database = postgres_databases.create()
    plugin = box_plugin()
    recorder(plugin)
    crm = CRM(database.url, plugins=[plugin])
    crm.migrate()
    proxy = CuttingProxy(tmp_path_factory.mktemp("s"), Path(str(crm.bound.engine.url.query["host"])))
    through = CRM(
        crm.bound.engine.url.update_query_dict({"host": str(proxy.folder)}).render_as_string(hide_password=False), plugins=[plugin]
    )
    yield crm, through, proxy
    through.close()
    crm.close()
    proxy.close()
    postgres_databases.drop(database)


@pytest.mark.parametrize("call", CALLS)
def test_a_connection_that_ends_at_any_message(cut: tuple[CRM, CRM, CuttingProxy], call: str) -> None:
    crm, through, proxy = cut
    CALLS[call](through, "warm")
    done, doubts = {"warm"}, set[str]()
    codes: list[str] = []
    n, cuts = 0, -1
    while proxy.cut > cuts:
        n, cuts, name = n + 1, proxy.cut, f"n{n}"
        proxy.at = proxy.passed + n
        try:
            CALLS[call](through, name)
            done.add(name)
        except CommitOutcomeUnknown:
            doubts.add(name)
        except Unavailable as e:
            codes.append(e.code)
            doubts |= {name} if call == "deliver" else set()
    proxy.at = None
    crm.run_pending()
    with crm.session(ADMIN, write=False) as s:
        boxes = s.query(Box).where(Box.name != "never alone").all()
    assert all((b.size, b.version) == (1, 2) for b in boxes)
    names = {b.name for b in boxes}
    assert len(boxes) == len(names)
    assert names - doubts == (set() if call == "read" else done)
    assert set(codes) == {"connection_lost"}
    assert len(codes) > 3
    assert bool(doubts) is (call != "read")
    figure(
        f"R5 {call} cut at each message",
        database="postgresql 18",
        cases=n,
        rows=len(boxes),
        result=f"{len(codes)} answered connection_lost, {len(doubts)} in doubt; all or nothing each time",
        bar="typed error, all or nothing",
    )
