"""Law 7: the same inputs give the same state, on either database, and the journal tells how every record came to be."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from crm_core import Account, Actor, Contact, CRMError, Email, Entity, FixedClock, Money, Runtime
from crm_core.events.journal import history, reconstruct
from crm_core.permissions.prepared import driver_rows
from tests.databases import PostgresDatabases, SQLiteDatabases
from tests.laws.shop import REP, Deal, Shop, plugin
from tests.state import state_hash

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 3, 1, 9, tzinfo=UTC)
ACTORS = [Actor.system("test", tenant="main"), Actor("1", roles={"rep"}), Actor("2", roles={"rep"})]
Call = tuple[str, int, int, int]


def recorded(seed: int, length: int) -> list[Call]:
    """Make a program: what is done, by whom, to which record, with which number."""
    chance = random.Random(seed)  # a test's program
    verbs = ["account", "contact", "deal", "rename", "amount", "delete", "restore", "upsert", "close", "many", "advance", "wrong"]
    return [(chance.choice(verbs), chance.randrange(len(ACTORS)), chance.randrange(1000), chance.randrange(1000)) for _ in range(length)]


def replayed(databases: Any, program: list[Call], seed: int) -> tuple[str, list[Any], list[str]]:
    """Run a program on a fresh database; return the state's hash, the journal, and what each call answered."""
    from crm_core import CRM

    database = databases.create()
    clock = FixedClock(START)
    crm = CRM(database.url, plugins=[plugin], roles=[REP], runtime=Runtime.seeded(seed, clock=clock))
    crm.migrate()
    known: list[Entity] = []
    answers = []
    for verb, who, which, number in program:
        if verb == "advance":
            clock.advance(timedelta(seconds=number))
            continue
        try:
            with crm.session(ACTORS[who]) as s:
                target = known[which % len(known)] if known else None
                answers.append(_done(s, verb, target, number, known))
        except CRMError as e:
            answers.append(e.code)
    with crm.bound.begin(write=False) as connection:
        table = crm.tables.system.journal
        columns = [table.c[n] for n in ("tenant", "at", "actor", "plugin", "entity", "record", "version", "kind", "payload", "personal")]
        journal = [tuple(r) for r in connection.execute(select(*columns).order_by(table.c.id))]
        _check_history(crm, connection)
    found = state_hash(crm)
    crm.close()
    databases.drop(database)
    return found, journal, answers


def _done(s: Any, verb: str, target: Any, number: int, known: list[Entity]) -> str:
    match verb:
        case "account":
            known.append(s.create(Account(name=f"a{number}", emails=[Email(f"a{number}@example.com")])))
        case "contact":
            account = target.ref if isinstance(target, Account) else None
            known.append(s.create(Contact(name=f"c{number}", account=account)))
        case "deal" if isinstance(target, Account):
            known.append(s.create(Deal(name=f"d{number}", account=target.ref, amount=Money(number, "EUR"))))
        case "rename" if target is not None:
            s.update(type(target), target.id, {"name": f"n{number}"})
        case "amount" if isinstance(target, Deal):
            s.update(Deal, target.id, {"amount": Money(number, "USD"), "details": {"n": number}})
        case "delete" if target is not None:
            s.delete(target)
        case "restore" if target is not None:
            s.restore(type(target), target.id)
        case "upsert":
            s.upsert(Account(name=f"u{number}", external_ref=f"r:{number % 5}"), on="external_ref")
        case "close" if isinstance(target, Deal):
            s.use(Shop).close(target)
        case "many":
            known.extend(s.create_many([Account(name="" if i == number % 4 else f"m{i}") for i in range(3)], on_error="collect").ok)
        case "wrong":
            s.create(Account(name="x" * 300))
    return verb


def _check_history(crm: Any, connection: Any) -> None:
    """Each record's journal, replayed, gives the record."""
    for entity in (Account, Contact, Deal):
        codec = crm.codec(entity)
        columns, load = codec.loader(codec.every)
        table = crm.tables.entities[entity]
        for row in driver_rows(connection.execute(select(*(table.c[c] for c in columns)))):
            record = load(row)
            entries = history(connection, crm.tables, record.tenant, codec.facts.name, record.id)
            values = reconstruct(entries)
            changes = [e for e in entries if e.is_automatic]
            assert [e.version for e in changes] == list(range(1, record.version + 1))
            if record.deleted_at is not None:
                assert values is None
                continue
            now = {n: v for n, v in codec.plain(codec.values(record)).items() if not codec.fields[n].system}
            assert {n: v for n, v in (values or {}).items() if v not in (None, []) and n in now} == {
                n: v for n, v in now.items() if v not in (None, [])
            }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_recorded_run_replays_to_the_same_state_on_both_databases(
    sqlite_databases: SQLiteDatabases, postgres_databases: PostgresDatabases, seed: int
) -> None:
    program = recorded(seed, 150)
    first = replayed(sqlite_databases, program, seed)
    again = replayed(sqlite_databases, program, seed)
    other = replayed(postgres_databases, program, seed)
    assert first[0] == again[0]
    assert first[1:] == again[1:]
    assert other[1] == first[1]
    assert other[2] == first[2]
    assert len(first[1]) > 50
    print(f"seed {seed}: {len(program)} calls, {len(first[1])} journal rows, sqlite and postgresql, state {first[0][:12]}")


def test_another_seed_gives_other_ids(sqlite_databases: SQLiteDatabases) -> None:
    program = recorded(1, 30)
    assert replayed(sqlite_databases, program, 1)[0] != replayed(sqlite_databases, program, 2)[0]


def test_another_process_with_other_hashes_writes_the_same_bytes(tmp_path: Path) -> None:
    hashes = [_in_a_process(tmp_path / seed, seed) for seed in ("1", "2", "3")]
    assert len(hashes[0]) == 64
    assert set(hashes) == {hashes[0]}


def _in_a_process(folder: Path, hash_seed: str) -> str:
    folder.mkdir()
    code = f"""
from tests.databases import SQLiteDatabases
from tests.laws.test_law7_deterministic import recorded, replayed
from pathlib import Path
print(replayed(SQLiteDatabases(Path({str(folder)!r})), recorded(1, 150), 1)[0])
"""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()
