"""One company a database and file of tests; the figures of S7 and S16 at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_core.testing.databases import KINDS, Database, Databases
from tests.attacks.raid import CPU_SECONDS, MEGABYTES, World
from tests.figures import figure


@pytest.fixture(scope="session")
def attempts() -> Iterator[dict[str, tuple[Counter[str], Counter[str]]]]:
    """What was tried and handled, by database; told at the end."""
    found: dict[str, tuple[Counter[str], Counter[str]]] = {kind: (Counter(), Counter()) for kind in KINDS}
    yield found
    for kind, (tried, handled) in found.items():
        if tried:
            of = f"{handled.total()} of {tried.total()} handled, in {len(tried)} classes"
            figure("S7", database=kind, cases=tried.total(), result=of, bar="100 %", met=handled == tried)


@pytest.fixture(scope="module", params=KINDS)
def world(
    request: pytest.FixtureRequest, attempts: dict[str, tuple[Counter[str], Counter[str]]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """The company (``WORLD`` of the file, if it says so), for all tests of a file: attacks change nothing."""
    kind: type[World] = getattr(request.module, "WORLD", World)
    folder = Path(tmp_path_factory.mktemp("attacks"))
    databases: Databases = request.getfixturevalue(f"{'sqlite' if request.param == 'sqlite' else 'postgres'}_databases")

    def prepare(database: Database) -> None:
        crm = kind.opened(database.url, folder)
        crm.migrate()
        crm.close()

    database = databases.reserve()

    databases.fill(database, f"attacks {kind.__name__}", prepare)
    crm = kind.opened(database.url, folder)
    made = kind(crm, folder)
    made.settle()
    yield made
    attempts[request.param][0].update(made.tried)
    attempts[request.param][1].update(made.handled)
    figure(
        f"S16 {request.module.__name__.rpartition('test_')[2]}",
        database=request.param,
        cases=made.tried.total(),
        result=f"at most {made.spent:.2f} s CPU and {made.grown} MB more",
        bar=f"{CPU_SECONDS:g} s CPU, {MEGABYTES} MB",
        met=made.spent <= CPU_SECONDS and made.grown <= MEGABYTES,
    )
    crm.close()
    databases.drop(database)
