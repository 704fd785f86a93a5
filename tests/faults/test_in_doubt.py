"""R5: the connection breaks during COMMIT, a thousand times; with a key there is exactly one record and one event each."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import pytest

from crm_core import CRM, CommitOutcomeUnknown
from crm_core.testing.databases import PostgresDatabases
from tests.faults.ledger import SYSTEM, found, write_pair
from tests.figures import LONG, figure
from tests.session.cutting import CuttingProxy

SEED = 20266


def test_many_commits_in_doubt_give_one_record_a_key(
    postgres_databases: PostgresDatabases, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cases = 1000 if LONG else 20
    database = postgres_databases.create()
    crm = CRM(database.url)
    crm.migrate()
    proxy = CuttingProxy(tmp_path_factory.mktemp("s"), Path(str(crm.bound.engine.url.query["host"])))
    through = CRM(crm.bound.engine.url.update_query_dict({"host": str(proxy.folder)}).render_as_string(hide_password=False))
    with through.session(SYSTEM, write=False):
        pass
    chance = random.Random(SEED)
    doubts = committed = 0
    for n in range(cases):
        name = f"n{n}"
        ids = []
        # A second try may be cut as the first was.
        for when in (chance.choice(["before", "after"]), chance.choice(["before", "after", None]), None):
            proxy.when = when  # type: ignore[assignment]  # of the three
            try:
                ids.append(through.transact(SYSTEM, partial(write_pair, name=name), idempotency_key=name))
            except CommitOutcomeUnknown:
                doubts += 1
                proxy.when = None
                committed += crm.outcome(name) is not None
        assert len(set(ids)) == 1
    left = found(crm)
    left.check(f"n{n}" for n in range(cases))
    assert len(left.names) == cases
    assert doubts >= cases
    result = f"{len(left.names)} records of {cases} keys; {doubts} commits in doubt, {committed} of them known as done"
    bar = "exactly one record and one event a key"
    figure("R5 commits in doubt", database="postgresql 18", cases=cases, rows=left.rows, seed=SEED, result=result, bar=bar)
    through.close()
    crm.close()
    proxy.close()
    postgres_databases.drop(database)
