"""S9 [C72]: fields are sealed while eight writers and a reader work, and the process that seals is killed midway."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from crm_core import CRM, Actor, Conflict, FileKeys, Refused, Unavailable, Unreadable
from tests.figures import LONG, figure
from tests.keys.test_encryption import FULL, clinic

WRITERS = 8
ROWS = 5_000 if LONG else 240
SEED = 11
CHILD = """
import sys
from crm_core import CRM, FileKeys
from crm_core.storage.keys import encryption
from tests.keys.test_encryption import clinic
encryption.BATCH = 10
crm = CRM(sys.argv[1], plugins=[clinic(True)[0]], keys=FileKeys(sys.argv[2]))
print("ready", flush=True)
crm.keys.encrypt()
"""


@pytest.fixture
def sealed(make_crm: Callable[..., Any], keys: FileKeys, request: pytest.FixtureRequest) -> Any:
    """A CRM whose rows (ten, if not said otherwise) were written before their fields were sealed, its entity, and their ids."""
    count = getattr(request, "param", 10)
    before, patient = clinic(False)
    old = make_crm(plugins=[before])
    with old.session(Actor.system("tests", tenant="main")) as s:
        made = s.create_many([patient(**{**FULL, "name": f"p{n}", "iban": f"I-{n}"}) for n in range(count)]).ok
    url, ids = old.url, [p.id for p in made]
    old.close()
    after, patient = clinic(True)
    crm = CRM(url, plugins=[after], keys=keys)
    crm.migrate()
    yield crm, patient, ids
    crm.close()


class Worker(threading.Thread):
    """Writes to records of its own, and reads its own and others' as they should be."""

    def __init__(self, crm: Any, admin: Actor, patient: Any, ids: list[str], others: list[str], number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.crm, self.admin, self.patient, self.ids, self.others, self.number, self.stop = crm, admin, patient, ids, others, number, stop
        self.rng = random.Random(SEED + number)
        self.last: dict[str, str] = {}
        self.errors: list[str] = []
        self.done = self.made = 0

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self.step(self.rng.choice(self.ids), f"W{self.number}-{self.done}")
            except BaseException as e:
                self.errors.append(repr(e))
            self.done += 1

    def step(self, id_: str, value: str) -> None:
        with self.crm.session(self.admin) as s:
            s.update(self.patient, id_, {"story": value, "debt": Decimal("1.5")})
        self.last[id_] = value
        with self.crm.session(self.admin, write=False) as s:
            mine, other = s.get(self.patient, id_), s.get(self.patient, self.rng.choice(self.others))
            assert (mine.story, mine.debt, mine.born, mine.notes) == (value, Decimal("1.5"), FULL["born"], FULL["notes"])
            assert {name: getattr(other, name) for name in FULL if name != "iban"} == {n: v for n, v in FULL.items() if n != "iban"}
        if self.done % 5 == 0:
            with self.crm.session(self.admin) as s:
                s.create(self.patient(name="new", story=value))
            self.made += 1


def left(crm: Any, patient: Any) -> int:
    """Count the rows that have no blind index yet, of those that had a value."""
    table = crm.tables.entities[patient]
    with crm.bound.begin(write=False) as connection:
        return int(connection.execute(select(func.count()).where(table.c.iban.is_not(None), table.c.iban_blind.is_(None))).scalar_one())


@pytest.mark.timeout(7200 if LONG else 300)
@pytest.mark.parametrize("sealed", [ROWS], indirect=True)
def test_fields_are_sealed_under_writers_by_a_process_that_is_killed(sealed: Any, admin: Actor, keys: Any) -> None:
    """[S9]"""
    crm, patient, ids = sealed
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen([sys.executable, "-c", CHILD, crm.url, str(keys._path)], env=environment, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    crm.keys.allow_open()
    stop, most = threading.Event(), WRITERS * 5
    workers = [Worker(crm, admin, patient, ids[n * 5 : n * 5 + 5], ids[most:], n, stop) for n in range(WRITERS)]
    while left(crm, patient) == ROWS:
        time.sleep(0.01)
    for worker in workers:
        worker.start()
    while left(crm, patient) > ROWS * 0.7:
        time.sleep(0.01)
    child.kill()
    child.wait()
    child.stdout.close()
    at_the_kill = left(crm, patient)
    (done,) = crm.keys.encrypt()
    stop.set()
    for worker in workers:
        worker.join()
    wrong = [e for w in workers for e in w.errors]
    last = {id_: value for w in workers for id_, value in w.last.items()}
    made = sum(w.made for w in workers)
    with crm.session(admin, write=False) as s:
        shown = {p.id: p for p in s.query(patient).stream()}
        lost = sum(shown[id_].story != value for id_, value in last.items()) + abs(len(shown) - ROWS - made)
        unreadable = sum(p.name != "new" and (p.iban, p.visits) != (f"I-{p.name[1:]}", 42) for p in shown.values())
        assert s.query(patient).where(patient.iban == "I-7").one().id == ids[7]
        assert s.query(patient).where(patient.born == date(1815, 12, 10)).count() == ROWS
    writes = sum(w.done for w in workers)
    result = f"{unreadable} unreadable, {lost} lost, {len(wrong)} errors of {WRITERS} writers; {done.rows} rows sealed after the kill"
    bar = "0 unreadable, 0 lost, 0 errors"
    figure("S9 encrypting", database=crm.bound.kind, cases=writes, rows=ROWS, seed=SEED, result=result, bar=bar)
    assert (unreadable, lost, wrong) == (0, 0, [])
    assert 0 < at_the_kill < ROWS
    assert (done.rows > 0, done.left, left(crm, patient)) == (True, 0, 0)


def test_what_would_miss_open_values_is_refused_until_there_are_none(sealed: Any, admin: Actor) -> None:
    crm, patient, ids = sealed
    with crm.session(admin) as s, pytest.raises((Unreadable, Unavailable)):
        s.get(patient, ids[0])  # nobody said that plain values may stand there
    crm.keys.encrypt("nobody")  # makes room for what is sealed, and seals nothing yet
    crm.keys.allow_open()
    asked: list[Callable[[Any], object]] = [
        lambda s: s.query(patient).where(patient.iban == "I-3").all(),
        lambda s: s.query(patient).where(patient.born != date(2000, 1, 1)).count(),
        lambda s: s.create(patient(iban="I-3")),
        lambda s: s.update(patient, ids[0], {"iban": "I-3"}),
        lambda s: s.upsert(patient(iban="I-3"), on="iban"),
    ]
    for ask in asked:
        with crm.session(admin) as s, pytest.raises(Unavailable) as e:
            ask(s)
        assert (e.value.code, e.value.params["retryable"]) == ("still_open", True)
    crm.keys.encrypt()
    with crm.session(admin) as s:
        assert s.query(patient).where(patient.iban == "I-3").one().id == ids[3]
        with pytest.raises(Conflict):
            s.create(patient(iban="I-3"))


def test_a_value_that_is_an_envelope_of_no_key_is_none_that_stands_open(sealed: Any, admin: Actor) -> None:
    crm, patient, ids = sealed
    crm.keys.allow_open()
    crm.keys.encrypt()
    table = crm.table(patient)
    with crm.bound.begin() as connection:
        connection.execute(table.update().where(table.c.id == ids[0]).values(story=f"1A{'0' * 16}{'A' * 60}"))
    with crm.session(admin) as s, pytest.raises(Unreadable):
        s.get(patient, ids[0])


def test_without_keys_nothing_stands_open(make_crm: Callable[..., Any]) -> None:
    with pytest.raises(Refused):
        make_crm().keys.allow_open()
