"""Law 7: the same inputs give the same state, on either database, and the journal tells how every record came to be."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from sqlalchemy import select

from crm_core import (
    CRM,
    Account,
    Actor,
    Contact,
    Created,
    CRMError,
    Email,
    Entity,
    FixedClock,
    Link,
    Money,
    Note,
    Plugin,
    Role,
    Runtime,
    Session,
    Updated,
    owner,
)
from crm_core.events.journal import history, reconstruct
from crm_core.io import Importer, mapping_of
from crm_core.permissions.prepared import driver_rows
from crm_core.rules import everything
from crm_core.testing.databases import PostgresDatabases, SQLiteDatabases
from crm_core.testing.state import state_hash
from tests.figures import LONG
from tests.laws.shop import REP, Deal, Shop, plugin

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 3, 1, 9, tzinfo=UTC)
SYSTEM = Actor.system("test", tenant="main")
ACTORS = [SYSTEM, Actor("1", roles={"rep"}), Actor("2", roles={"rep", "lent"})]
Call = tuple[str, int, int, int]
VERBS = [
    *("account", "contact", "deal", "rename", "amount", "delete", "restore", "upsert", "close", "many", "advance", "wrong"),
    *("deliver", "share", "unshare", "link", "unlink", "role", "no role", "settings", "import"),
]
MAPPING = mapping_of({"key": "i:{id}", "fields": {"name": "name", "industry": "industry"}})


@attrs.frozen
class Settings:
    """How many notes a new account gets, which a tenant may change."""

    notes: int = 1


# What a program of some length leaves in the journal, beside the changes of records.
TRACES = {
    *("note.created.v1", "import_run.created.v1", "core.shared.v1", "core.linked.v1", "core.settings_changed.v1"),
    *("core.role_defined.v1", "core.role_removed.v1"),
}

aside = Plugin("aside", version="1", requires={"shop": ">=1"}, settings=Settings)
aside.grants("account:read", "contact:read", "note:create")
knows = aside.link(Account, Contact)


@aside.on(Created[Account])
def write_notes(s: Session, event: Created[Account]) -> None:
    """A subscriber that writes: as many notes as the settings say."""
    s.create_many([Note(body=f"{event.new['name']} {n}", links=[Link.to(event.record)]) for n in range(s.settings(Settings).notes)])


@aside.on(Updated[Account])
def stumble(s: Session, event: Updated[Account]) -> None:
    """A subscriber that fails at some records, which then wait a while that chance draws."""
    if "name" in event.changes and str(event.changes["name"].new).endswith(("3", "6", "9")):
        raise ValueError("no")


def recorded(seed: int, length: int) -> list[Call]:
    """Make a program: what is done, by whom, to which record, with which number."""
    chance = random.Random(seed)  # a test's program
    return [(chance.choice(VERBS), chance.randrange(len(ACTORS)), chance.randrange(1000), chance.randrange(1000)) for _ in range(length)]


def replayed(databases: Any, program: list[Call], seed: int) -> tuple[str, list[Any], list[str]]:
    """Run a program on a fresh database; return the state's hash, the journal, and what each call answered."""
    database = databases.create()
    clock = FixedClock(START)
    crm = CRM(database.url, plugins=[plugin, aside], roles=[REP], runtime=Runtime.seeded(seed, clock=clock))
    crm.migrate()
    known: list[Entity] = []
    answers = []
    for verb, who, which, number in program:
        if verb == "advance":
            clock.advance(timedelta(seconds=number))
            continue
        try:
            if verb in ("deliver", "import"):
                answers.append(f"{verb} {crm.run_pending() if verb == 'deliver' else _imported(crm, number)}")
                continue
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
    answers += [f"{line.record} tried {line.attempts} times, next at {line.next_try}" for line in crm.delivery.parked()]
    found = state_hash(crm)
    crm.close()
    databases.drop(database)
    return found, journal, answers


def _imported(crm: CRM, number: int) -> str:
    """Import three rows, the last of them wrong: new ones, or changes of those of another import."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "accounts.csv"
        file.write_text("id,name,industry\n" + "".join(f"{n},i{number},steel\n" for n in (number % 3, number % 5)) + f"9,{'x' * 300},\n")
        report = Importer(crm, SYSTEM, MAPPING, entity="account").run(file)
    return f"{report.created} {report.updated} {report.failed}"


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
        case "share" if target is not None:
            s.share(target, f"user:{1 + number % 2}", *(("read", "update")[: 1 + number % 2]))
        case "unshare" if target is not None:
            s.unshare(target, f"user:{1 + number % 2}")
        case "link" | "unlink":
            pairs = [(a, c) for a in known if isinstance(a, Account) for c in known if isinstance(c, Contact)]
            for pair in pairs[number % 3 : number % 3 + 2]:
                (s.link if verb == "link" else s.unlink)(knows, *pair)
        case "role":
            s.define_role(Role("lent").allow(Account, "read", "update", where=owner if number % 2 else everything))
        case "no role":
            s.remove_role("lent")
        case "settings":
            s.change_settings(Settings, {"notes": number % 4})
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


@pytest.mark.parametrize("seed", [1, 2, 3] if LONG else [1])
def test_a_recorded_run_replays_to_the_same_state_on_both_databases(
    sqlite_databases: SQLiteDatabases, postgres_databases: PostgresDatabases, seed: int
) -> None:
    program = recorded(seed, 300)
    first = replayed(sqlite_databases, program, seed)
    again = replayed(sqlite_databases, program, seed)
    other = replayed(postgres_databases, program, seed)
    assert first[0] == again[0]
    assert first[1:] == again[1:]
    assert other[1] == first[1]
    assert other[2] == first[2]
    assert {row[7] for row in first[1]} >= TRACES
    assert any(" tried " in answer for answer in first[2]), "a delivery failed and waits as long as chance says"
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
from crm_core.testing.databases import SQLiteDatabases
from tests.laws.test_law7_deterministic import recorded, replayed
from pathlib import Path
print(replayed(SQLiteDatabases(Path({str(folder)!r})), recorded(1, 150), 1)[0])
"""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()
