"""S14 [C72]: canaries planted in sealed fields are sent along every path; nothing that stays behind holds one."""

from __future__ import annotations

import base64
import csv
import logging
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select, text

from crm_core import CRM, Actor, Created, CRMError, FixedClock, Plugin, Runtime, Updated
from crm_core.io import Importer, Mapping, Source, export
from tests.figures import figure
from tests.keys.clinic import CLINIC, FULL, Patient, Visit

# No other test writes these words: the server that the tests share keeps what others wrote in the clear in its log.
SECRETS = ("MAGPIEiban", "MAGPIEcard", "MAGPIEstory", "MAGPIEjson", "MAGPIEwords")
CHILD = """
import os, signal, sys
from crm_core import CRM, Actor, FileKeys
from tests.keys.clinic import CLINIC, Patient
crm = CRM(sys.argv[1], plugins=[CLINIC], keys=FileKeys(sys.argv[2]))
with crm.session(Actor.system("tests", tenant="main")) as s:
    story = "MAGPIEstory" * 50
    s.create_many(Patient(name=f"K{n}", iban="MAGPIEiban", story=story, card=f"MAGPIEcard{n}") for n in range(100, 300))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def forms(secret: str) -> set[bytes]:
    """Return how a value may stand in a file: as it is, in UTF-16, in hexadecimal, and in base64 at each of the three offsets."""
    plain = secret.encode()
    shifted = {base64.b64encode(b"x" * n + plain)[4 if n else 0 : -4] for n in range(3)}
    return {plain, plain.lower(), plain.upper(), secret.encode("utf-16-le"), plain.hex().encode(), *shifted}


NEEDLES = {needle for secret in SECRETS for needle in forms(secret)}


def hits(data: bytes) -> list[bytes]:
    return [needle for needle in NEEDLES if needle in data]


def files_of(crm: CRM) -> Iterator[Path]:
    """Yield the files of the database: SQLite's with its WAL, PostgreSQL's data files and WAL."""
    url = crm.bound.url
    if crm.bound.kind == "sqlite":
        yield from (p for suffix in ("", "-wal", "-shm", "-journal") if (p := Path(f"{url.database}{suffix}")).exists())
        return
    with crm.bound.engine.connect() as connection:
        connection.exec_driver_sql("CHECKPOINT")
        root = Path(str(connection.exec_driver_sql("SHOW data_directory").scalar()))
        oid = connection.execute(text("SELECT oid FROM pg_database WHERE datname = current_database()")).scalar()
    yield from (p for p in (root / "base" / str(oid)).iterdir() if p.is_file())
    yield from (p for p in (root / "pg_wal").iterdir() if p.is_file())


def rows_of(crm: CRM) -> Iterator[bytes]:
    with crm.bound.begin(write=False) as connection:
        for name in inspect(connection).get_table_names():
            for row in connection.exec_driver_sql(f'SELECT * FROM "{name}"'):
                yield repr(row).encode()


def failures(crm: CRM, admin: Actor, made: Any) -> Iterator[str]:
    """Run what fails, and yield all that a host may write down of it."""
    tries: list[Any] = [
        lambda s: s.create(Patient(name="x", card="MAGPIEcard")),
        lambda s: s.update(Patient, made.id, {"iban": "MAGPIEiban" * 9}),
        lambda s: s.update(Patient, made.id, {"story": "MAGPIEstory", "name": "y"}, version=1),
        lambda s: s.update(Patient, made.id, {"born": "MAGPIEiban"}),
        lambda s: s.query(Patient).where(Patient.iban < "MAGPIEiban").all(),
        lambda s: s.query(Patient).where(Patient.born == "MAGPIEiban").all(),
        lambda s: s.query(Patient).matching({"iban__lt": "MAGPIEiban"}, allow=["iban"]).all(),
        lambda s: s.query(Patient).matching({"born": "MAGPIEiban"}, allow=["born"]).all(),
        lambda s: s.query(Patient).where(Patient.card == "MAGPIEcard\x00").all(),
        lambda s: Patient(name="x", ibn="MAGPIEiban"),  # type: ignore[call-arg]  # misspelt on purpose
    ]
    for work in tries:
        with pytest.raises(CRMError) as e, crm.session(admin) as s:
            work(s)
        yield "".join(traceback.format_exception(e.value, limit=0)) + repr(e.value.problem()) + repr(e.value)


def watching(seen: list[Any]) -> Plugin:
    """A plugin that is told of every patient, and fails with what it was told."""
    watch = Plugin("watch", version="1.0", requires={"clinic": ">=1"})
    watch.grants("clinic.patient:read")

    @watch.on(Created[Patient])
    def created(ctx: Any, event: Created[Patient]) -> None:
        seen.append(event.new.get("iban"))
        raise ValueError(f"cannot send {event.new.get('iban')}")

    @watch.on(Updated[Patient])
    def updated(ctx: Any, event: Updated[Patient]) -> None:
        seen.append(event.changes)

    return watch


def import_canaries(crm: CRM, admin: Actor, table: Path) -> None:
    """Import a patient, one who is there already, and one who fails."""
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ["name", "card", "iban"],
                ["I1", "MAGPIEcard-i1", "MAGPIEiban"],
                ["I2", "MAGPIEcard-i2", "MAGPIEiban" * 9],
                ["I3", "MAGPIEcard", "MAGPIEiban3"],
            ]
        )
    mapping = Mapping(entity="clinic.patient", fields={n: Source(n) for n in ("name", "card", "iban")}, match="card")
    report = Importer(crm, admin, mapping).run(table)
    assert (report.created, report.updated, report.failed) == (1, 1, 1)


def test_no_canary_stays_behind(make_crm: Any, keys: Any, admin: Actor, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """[S14] [A29]"""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "sqlalchemy.engine")
    seen: list[Any] = []
    clock = FixedClock(Runtime.seeded(3).clock.now())
    crm: CRM = make_crm(plugins=[CLINIC, watching(seen)], keys=keys, runtime=Runtime.seeded(3, clock=clock), quarantine_after=3)
    told: list[str] = []
    values: Any = {**FULL, "iban": "MAGPIEiban", "card": "MAGPIEcard", "story": "MAGPIEstory", "notes": {"k": "MAGPIEjson"}}
    with crm.session(admin, idempotency_key="once") as s:
        made = s.create(Patient(**values))
        s.create_many([Patient(name=f"CONTROLname{n}", iban="MAGPIEiban", card=f"MAGPIEcard{n}") for n in range(20)])
        s.create(Visit(patient=made.ref, words="MAGPIEwords"))
        told.append(repr(made))
    with crm.session(admin, idempotency_key="once") as s:
        s.create(Patient(**values))  # answered from the key
        s.create_many([Patient(name=f"CONTROLname{n}", iban="MAGPIEiban", card=f"MAGPIEcard{n}") for n in range(20)])
        s.create(Visit(patient=made.ref, words="MAGPIEwords"))
    with crm.session(admin) as s:
        s.update(Patient, made.id, {"iban": "MAGPIEiban2", "notes": {"k": ["MAGPIEjson"]}})
        record = s.get(Patient, made.id)
        record.story = "MAGPIEstory2"
        s.save(record)
        s.upsert(Patient(name="U", card="MAGPIEcard", iban="MAGPIEiban"), on="card")
        assert s.query(Patient).where(Patient.iban == "MAGPIEiban").count() == 21
        assert s.execute(select(Patient.iban).where(Patient.card.in_(["MAGPIEcard"]))).scalar_one() == "MAGPIEiban"
        told.append(repr(s.query(Patient).first()))
        assert s.view360(record, at=clock.now()).record is not None
        exported = tmp_path / "out.csv"
        assert export(s, s.query(Patient), exported).rows == 21
    assert b"MAGPIEiban" in exported.read_bytes()  # an export is plain: it is what was asked for
    import_canaries(crm, admin, tmp_path / "in.csv")
    told += failures(crm, admin, made)
    for _ in range(3):
        crm.run_pending()
        clock.advance(timedelta(days=1))
    told += [repr(line) for line in crm.delivery.parked()]
    assert "MAGPIEiban" in seen
    assert crm.delivery.parked()
    with crm.session(admin) as s:
        s.delete(s.query(Visit).one())
        s.delete(s.get(Patient, made.id))
    crm.keys.rotate(grace=0)
    child = subprocess.run(
        [sys.executable, "-c", CHILD, crm.url, keys._path], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, check=False
    )
    assert child.returncode == -signal.SIGKILL
    scanned = [(p.name, p.read_bytes()) for p in files_of(crm)]
    found = [(name, hits(data)) for name, data in scanned if hits(data)]
    found += [("row", hits(row)) for row in rows_of(crm) if hits(row)]
    found += [("told", [t[:200].encode()]) for t in told if hits(t.encode())]
    found += [("log", [r.getMessage()[:300].encode()]) for r in caplog.records if hits((r.getMessage() + str(r.exc_text or "")).encode())]
    assert found == []
    # The names, which are not sealed, are found: the scan looks where the values would be.
    assert any(needle in data for _, data in scanned for needle in forms("CONTROLname"))
    size = sum(len(data) for _, data in scanned)
    shown = f"0 hits in {len(scanned)} files ({size >> 20} MiB) and {len(caplog.records)} log lines"
    figure("S14", database=crm.bound.kind, cases=len(NEEDLES), result=shown, bar="0 hits")
