"""S9 [C72]: keys are replaced under eight writers, and the process that does it is killed midway."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from sqlalchemy import func, select

from crm_core import Actor
from tests.figures import figure
from tests.keys.clinic import FULL, Patient

WRITERS = 8
ROWS = 2_000 if os.environ.get("CRM_TRUST_LONG") else 200
SEED = 9
CHILD = """
import sys
from crm_core import CRM, FileKeys
from crm_core.storage.keys import rotation
from tests.keys.clinic import CLINIC
rotation.BATCH = 5
crm = CRM(sys.argv[1], plugins=[CLINIC], keys=FileKeys(sys.argv[2]))
print("ready", flush=True)
crm.keys.rotate("main", grace=0.1)
"""


class Writer(threading.Thread):
    """Writes to records of its own, and checks at once that what it wrote is read and found."""

    def __init__(self, crm: Any, admin: Actor, ids: list[str], number: int, stop: threading.Event) -> None:
        super().__init__()
        self.crm, self.admin, self.ids, self.number, self.stop = crm, admin, ids, number, stop
        self.rng = random.Random(SEED + number)
        self.last: dict[str, str] = {}
        self.errors: list[str] = []
        self.done = 0

    def run(self) -> None:
        while not self.stop.is_set():
            id_, value = self.rng.choice(self.ids), f"W{self.number}-{self.done}"
            try:
                with self.crm.session(self.admin) as s:
                    s.update(Patient, id_, {"iban": value, "card": f"card {value}"})
                self.last[id_] = value
                with self.crm.session(self.admin, write=False) as s:
                    assert s.get(Patient, id_).iban == value
                    assert s.query(Patient).where(Patient.iban == value).one().id == id_
                if self.done % 5 == 0:
                    with self.crm.session(self.admin) as s:
                        made = s.create(Patient(name="new", iban=f"new {value}"))
                    self.last[made.id] = f"new {value}"
            except BaseException as e:
                self.errors.append(repr(e))
            self.done += 1


def sealed_anew(crm: Any, ids: list[str]) -> int:
    """Count the records, which no writer touches, that the rotation has come by."""
    table = crm.tables.entities[Patient]
    with crm.bound.begin(write=False) as connection:
        anew = select(func.count()).where(table.c.id.in_(ids), table.c.iban_blind.like("2:%"))
        return int(connection.execute(anew).scalar_one())


@pytest.mark.timeout(300)
def test_a_rotation_that_is_killed_under_eight_writers_loses_nothing(crm: Any, admin: Actor, keys: Any) -> None:
    """[S9]"""
    with crm.session(admin) as s:
        ids = [p.id for p in s.create_many([Patient(**{**FULL, "card": f"C-{n}"}) for n in range(ROWS)]).ok]
    stop = threading.Event()
    writers = [Writer(crm, admin, ids[n * 5 : n * 5 + 5], n, stop) for n in range(WRITERS)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen([sys.executable, "-c", CHILD, crm.url, str(keys._path)], env=environment, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    for writer in writers:
        writer.start()
    while sealed_anew(crm, ids[WRITERS * 5 : WRITERS * 5 + 500]) < 10:
        time.sleep(0.05)
    child.kill()
    child.wait()
    child.stdout.close()
    killed_midway = crm.keys.status()[0].rotating
    (done,) = crm.keys.rotate("main", grace=0.1)
    stop.set()
    for writer in writers:
        writer.join()
    wrong = [e for w in writers for e in w.errors]
    last = {id_: value for w in writers for id_, value in w.last.items()}
    lost, unreadable = 0, 0
    with crm.session(admin, write=False) as s:
        for record in s.query(Patient).stream():
            unreadable += record.iban is None or (record.name != "new" and record.story != FULL["story"])
            lost += record.id in last and record.iban != last[record.id]
        lost += s.query(Patient).count() - ROWS != sum(value.startswith("new") for value in last.values())
        for id_, value in list(last.items())[:20]:
            assert s.query(Patient).where(Patient.iban == value).one().id == id_
    writes = sum(w.done for w in writers)
    shown = f"{unreadable} unreadable, {lost} lost, {len(wrong)} errors of {WRITERS} writers; {done.rows} rows sealed anew after the kill"
    figure("S9", database=crm.bound.kind, cases=writes, rows=ROWS, seed=SEED, result=shown, bar="0 unreadable, 0 lost, 0 errors")
    assert killed_midway
    assert done.done
    assert (unreadable, lost, wrong) == (0, 0, [])
    (state,) = crm.keys.status()
    assert (state.version, state.rotating) == (2, False)
