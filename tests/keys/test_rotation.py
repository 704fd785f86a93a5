"""Keys are replaced while everybody works on [C72]: online, resumable, and old keys go when nothing uses them (S9)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from crm_core import CRM, Actor, Conflict, FileKeys, Refused
from crm_core.storage.keys.rotation import Rotation
from tests.keys.clinic import CLINIC, FULL, Patient, Visit, stored


def states(crm: Any, kind: str) -> dict[str, int]:
    table = crm.tables.system.key
    with crm.bound.begin(write=False) as connection:
        found = [r.state for r in connection.execute(select(table.c.state).where(table.c.kind == kind, table.c.wrapped.is_not(None)))]
    return {state: found.count(state) for state in set(found)}


def fill(crm: Any, admin: Actor, count: int = 3) -> list[str]:
    with crm.session(admin) as s:
        made = s.create_many([Patient(**{**FULL, "card": f"C-{n}", "name": f"P{n}"}) for n in range(count)]).ok
        s.create_many([Visit(patient=p.ref, words=f"words {n}") for n, p in enumerate(made)])
        return [p.id for p in made]


def check(crm: Any, admin: Actor, ids: list[str]) -> None:
    with crm.session(admin, write=False) as s:
        for n, id_ in enumerate(ids):
            assert s.get(Patient, id_).story == FULL["story"]
            assert s.query(Patient).where(Patient.card == f"C-{n}").one().id == id_
        assert sorted(s.execute(select(Visit.words)).scalars()) == [f"words {n}" for n in range(len(ids))]


def test_a_rotation_replaces_all_keys_and_leaves_every_value_as_it_was(crm: Any, admin: Actor) -> None:
    ids = fill(crm, admin)
    before = stored(crm, Patient, ids[0])
    (done,) = crm.keys.rotate("main", grace=0)
    assert (done.rows, done.done, done.unreadable) == (6, True, 0)
    after = stored(crm, Patient, ids[0])
    assert after.iban[2:18] != before.iban[2:18]
    assert (before.card_blind[:2], after.card_blind[:2]) == ("1:", "2:")
    assert (after.version, after.updated_at) == (before.version, before.updated_at)
    check(crm, admin, ids)
    assert states(crm, "tenant") == states(crm, "index") == {"current": 1}
    (state,) = crm.keys.status()
    assert (state.version, state.rotating, state.subjects["current"]) == (2, False, 3)
    (again,) = crm.keys.rotate(grace=0)
    assert again.done
    assert crm.keys.status()[0].version == 3
    check(crm, admin, ids)


def test_only_one_tenants_keys_are_replaced(crm: Any, admin: Actor) -> None:
    fill(crm, admin)
    with crm.session(Actor.system("tests", tenant="other")) as s:
        s.create(Patient(**FULL))
    crm.keys.rotate("other", grace=0)
    assert {s.tenant: s.version for s in crm.keys.status()} == {"main": 1, "other": 2}
    assert crm.keys.rotate("nobody", grace=0) == []


def test_a_stopped_rotation_goes_on_and_meanwhile_everything_is_found(crm: Any, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = fill(crm, admin, 5)
    monkeypatch.setattr("crm_core.storage.keys.rotation.BATCH", 2)
    batch, calls = Rotation._batch, [0]

    def dies(self: Any, *args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        return batch(self, *args)

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(Rotation, "_batch", dies)
        crm.keys.rotate(grace=0)
    assert crm.keys.status()[0].rotating
    assert states(crm, "index") == {"current": 1, "old": 1}
    check(crm, admin, ids)
    with crm.session(admin) as s:
        with pytest.raises(Conflict):
            s.create(Patient(name="x", card="C-4"))  # taken, and indexed under the old key
        assert s.upsert(Patient(name="found", card="C-3"), on="card").id == ids[3]
        s.create(Patient(name="new", card="C-new"))
    (done,) = crm.keys.rotate(grace=0)
    assert done.done
    assert (crm.keys.status()[0].version, states(crm, "index")) == (2, {"current": 1})
    check(crm, admin, ids)


def test_a_new_root_key_wraps_the_tenants_keys_and_the_old_one_can_go(make_crm: Any, key_file: Path, admin: Actor) -> None:
    crm = make_crm(plugins=[CLINIC], keys=FileKeys(key_file))
    ids = fill(crm, admin)
    root = crm.keys.root()["current"]
    crm.keys.rotate(root=True, grace=0)
    assert crm.keys.root()["current"] != root
    assert crm.keys.status()[0].root == crm.keys.root()["current"]
    key_file.write_text(key_file.read_text().splitlines()[0] + "\n")
    other = CRM(crm.url, plugins=[CLINIC], keys=FileKeys(key_file))
    check(other, admin, ids)
    other.close()


def test_a_row_that_was_changed_outside_stays_and_keeps_nobody_else_from_new_keys(crm: Any, admin: Actor) -> None:
    ids = fill(crm, admin)
    table = crm.tables.entities[Patient]
    with crm.bound.begin() as connection:
        connection.execute(table.update().where(table.c.id == ids[0]).values(iban=stored(crm, Patient, ids[1]).iban))
    (done,) = crm.keys.rotate(grace=0)
    assert (done.unreadable, done.rows) == (1, 5)
    with crm.session(admin) as s:
        assert s.get(Patient, ids[1]).iban == FULL["iban"]


def test_a_rotation_forgets_the_blind_indexes_of_somebody_who_was_erased(crm: Any, admin: Actor) -> None:
    ids = fill(crm, admin)
    with crm.bound.begin() as connection:
        crm.tables.sealer.keyring.shred(connection, "main", [f"clinic.patient/{ids[0]}"])
    assert stored(crm, Patient, ids[0]).iban_blind
    (done,) = crm.keys.rotate(grace=0)
    assert (done.done, done.unreadable) == (True, 0)
    assert stored(crm, Patient, ids[0]).iban_blind is None
    assert crm.keys.status()[0].subjects["destroyed"] == 1


def test_history_stays_readable_when_keys_are_replaced(crm: Any, admin: Actor) -> None:
    ids = fill(crm, admin, 1)
    crm.keys.rotate(grace=0)
    with crm.session(admin) as s:
        at = crm.runtime.clock.now()
        s.update(Patient, ids[0], {"story": "later"})
        seen: Any = s.view360(s.get(Patient, ids[0]), at=at).record
    assert seen.story == FULL["story"]


def test_a_crm_without_keys_says_so(make_crm: Any) -> None:
    crm = make_crm()
    for call in (crm.keys.root, crm.keys.status, crm.keys.rotate):
        with pytest.raises(Refused) as e:
            call()
        assert e.value.code == "no_keys"
