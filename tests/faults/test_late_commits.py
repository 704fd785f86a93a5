"""R7: transactions that commit late, and one left open in another database of the server: no event is passed over, none waits."""

from __future__ import annotations

import random

import attrs
import sqlalchemy as sa

from crm_core.testing.databases import PostgresDatabases
from tests.events.raw import RawHost
from tests.figures import LONG, figure

SEED = 20267


@attrs.define
class Writer:
    """A transaction that is open: two records that are its own, and the rows it has written of them."""

    connection: sa.Connection
    records: list[str]
    rows: int = 2


def test_late_commits_lose_no_event(postgres_databases: PostgresDatabases) -> None:
    """Random steps of four open writers and a delivery between them; a writer's own lock keeps each record's order."""
    steps = 10_000 if LONG else 250
    database, elsewhere = postgres_databases.create(), postgres_databases.create()
    host = RawHost(database, {"box.record": lambda s, e: s.effect(e), "box.other": lambda s, e: None})
    host.create()
    chance = random.Random(SEED)
    open_: list[Writer] = []
    committed = delivered = late = 0
    with elsewhere.engine().connect() as stranger:
        stranger.execute(sa.text("CREATE TABLE left_open (n int)"))
        delivery = host.delivery()
        for _ in range(steps):
            match chance.choices(["begin", "write", "end", "deliver", "quick"], [3, 4, 3, 3, 3])[0]:
                case "begin" if len(open_) < 4:
                    writer = Writer(host.bound.engine.connect(), host.records(2))
                    host.write(writer.connection, writer.records)
                    open_.append(writer)
                case "write" if open_:
                    writer = chance.choice(open_)
                    host.write(writer.connection, [chance.choice(writer.records)])
                    writer.rows += 1
                case "end" if open_:
                    writer = open_.pop(chance.randrange(len(open_)))
                    if chance.random() < 0.8:
                        writer.connection.commit()
                        committed += writer.rows
                        late += 1
                    writer.connection.close()
                case "deliver":
                    delivered += delivery.run_pending(limit=chance.choice([None, 3]))
                case "quick":
                    host.journal(host.records(1))
                    committed += 1
        for writer in open_:
            writer.connection.close()
        delivered += delivery.run_pending()
        assert stranger.in_transaction(), "the stranger's transaction was open all the time"
    assert host.effects() == host.expected()
    assert sum(map(len, host.effects().values())) == committed
    assert delivered == 2 * committed
    result = f"0 of {committed} events passed over; {late} transactions committed late"
    bar = "no event skipped; delivery goes on beside a foreign open transaction"
    figure("R7 late commits", database="postgresql 18", cases=steps, rows=committed, seed=SEED, result=result, bar=bar)
    host.bound.dispose()
    postgres_databases.drop(elsewhere)
    postgres_databases.drop(database)
