"""Who can write to the database gets nothing but typed errors [C72] (S8, A34), and a provider that fails tells nothing (A29)."""

from __future__ import annotations

import os
import random
import string
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select

from crm_core import Actor, Unavailable, Unreadable
from tests.figures import figure
from tests.keys.clinic import CLINIC, FULL, IBAN, SEALED, Patient

MUTATIONS = 10_000 if os.environ.get("CRM_TRUST_LONG") else 1_000
TEXT = string.ascii_letters + string.digits + "+/="
SEED = 20261122


class World:
    """Six patients of two tenants, and ways to damage the first one's sealed values and keys."""

    def __init__(self, crm: Any, admin: Actor, rng: random.Random) -> None:
        self.crm, self.admin, self.rng = crm, admin, rng
        self.table, self.keys = crm.tables.entities[Patient], crm.tables.system.key
        self.id = ""
        for tenant in ("main", "other"):
            with crm.session(Actor.system("tests", tenant=tenant)) as s:
                made = s.create_many([Patient(**{**FULL, "card": f"C-{n}"}) for n in range(3)]).ok
                self.id = self.id or made[0].id
        with crm.bound.begin(write=False) as connection:
            rows = connection.execute(self.table.select()).all()
            self.rows = {r.id: dict(r._mapping) for r in rows}
            self.wrapped = [dict(r._mapping) for r in connection.execute(self.keys.select())]
        self.row: dict[str, Any] = self.rows[self.id]
        self.others = [r for r in self.rows.values() if r["id"] != self.id]
        self.ways: list[Callable[[str], str]] = [
            self.flip, self.head, self.key_id, self.cut, self.grow, self.other_row, self.other_column, self.other_tenant, self.noise,
            self.splice,
        ]  # fmt: skip

    def value(self, name: str) -> str:
        return str(self.row[name])

    def flip(self, name: str) -> str:
        value = self.value(name)
        at = self.rng.randrange(len(value))
        return value[:at] + self.rng.choice(sorted(set(TEXT) - {value[at]})) + value[at + 1 :]

    def head(self, name: str) -> str:
        return self.rng.choice(["0A", "2A", "1B", "1C", "1a", "  "]) + self.value(name)[2:]

    def key_id(self, name: str) -> str:
        other = self.rng.choice([k["id"] for k in self.wrapped if k["id"] != self.value(name)[2:18]] + ["0" * 16])
        return f"{self.value(name)[:2]}{other}{self.value(name)[18:]}"

    def cut(self, name: str) -> str:
        return self.value(name)[: self.rng.randrange(len(self.value(name)))]

    def grow(self, name: str) -> str:
        return self.value(name) + self.rng.choice(["A", "=", "AAAA", " ", ":", "\n", "***"])

    def other_row(self, name: str) -> str:
        return str(self.rng.choice([r for r in self.others if r["tenant"] == "main"])[name])

    def other_column(self, name: str) -> str:
        return self.value(self.rng.choice(sorted(SEALED - {name})))

    def other_tenant(self, name: str) -> str:
        return str(self.rng.choice([r for r in self.others if r["tenant"] == "other"])[name])

    def noise(self, name: str) -> str:
        return "".join(self.rng.choices(TEXT + ":", k=self.rng.randrange(120)))

    def splice(self, name: str) -> str:
        """A cell of somebody else inside the value, to confuse who takes the cell apart."""
        other = self.rng.choice(self.others)
        return f"{self.value(name)}:{other['tenant']}:{other[name]}"

    @contextmanager
    def open(self) -> Iterator[Callable[..., Any]]:
        """Give a function that changes the database, reads in one of three ways, and undoes the change."""
        with self.crm.bound.begin() as connection, self.crm.session(self.admin, on=connection, write=False) as s:

            def read(name: str, changed: Mapping[str, Any], keys: Mapping[str, Any]) -> Any:
                with connection.begin_nested() as point:
                    if changed:
                        connection.execute(self.table.update().where(self.table.c.id == self.id).values(**changed))
                    if keys:
                        connection.execute(self.keys.update().where(self.keys.c.id == keys["id"]).values(**keys))
                    try:
                        match self.rng.randrange(3):
                            case 0:
                                return getattr(s.get(Patient, self.id), name)
                            case 1:
                                return s.execute(select(getattr(Patient, name)).where(Patient.id == self.id)).scalar_one()
                            case _:
                                return next(getattr(p, name) for p in s.query(Patient).page(10) if p.id == self.id)
                    finally:
                        point.rollback()

            yield read


@pytest.mark.timeout(900)
def test_every_changed_ciphertext_is_refused(crm: Any, admin: Actor) -> None:
    """[S8] [A34]"""
    rng = random.Random(SEED)
    world, refused, same = World(crm, admin, rng), 0, 0
    names = sorted(SEALED)
    with world.open() as read:
        for n in range(MUTATIONS):
            name, way = names[n % len(names)], world.ways[n % len(world.ways)]
            forged = way(name)
            if forged == world.value(name):
                same += 1
                continue
            with pytest.raises(Unreadable) as e:
                read(name, {name: forged}, {})
            assert e.value.code in ("seal_broken", "key_missing")
            refused += 1
        assert read("iban", {}, {}) == IBAN
    shown = f"{refused:,} of {MUTATIONS - same:,} refused"
    figure("S8", database=crm.bound.kind, cases=MUTATIONS - same, rows=len(world.rows), seed=SEED, result=shown, bar="10,000, all refused")


def test_every_changed_key_is_refused(crm: Any, admin: Actor) -> None:
    """[S8] [A34]"""
    world = World(crm, admin, random.Random(SEED))
    mine = next(k for k in world.wrapped if k["id"] == world.value("iban")[2:18])
    parent = next(k for k in world.wrapped if k["id"] == mine["parent"])
    others = [k for k in world.wrapped if k["id"] not in (mine["id"], parent["id"]) and k["wrapped"]]
    forged = [
        {"id": mine["id"], "wrapped": other["wrapped"]} for other in others if other["kind"] == "subject"
    ] + [
        {"id": mine["id"], "wrapped": ""},
        {"id": mine["id"], "wrapped": mine["wrapped"][:-1]},
        {"id": mine["id"], "parent": "0" * 16},
        {"id": mine["id"], "tenant": "other"},
        {"id": parent["id"], "wrapped": "not base64"},
        {"id": parent["id"], "wrapped": next(k["wrapped"] for k in others if k["kind"] == "tenant")},
    ]  # fmt: skip
    with world.open() as read:
        for keys in forged:
            with pytest.raises(Unreadable):
                read("iban", {}, keys)


def test_a_provider_that_fails_says_so_without_its_words(make_crm: Any, keys: Any, admin: Actor) -> None:
    """[A29]"""

    class Flaky:
        down = False

        def wrap(self, key: bytes, context: bytes) -> bytes:
            if self.down:
                raise ConnectionError(f"token=hunter2 while wrapping {key!r}")
            return bytes(keys.wrap(key, context))

        def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
            if self.down:
                raise ConnectionError("token=hunter2")
            return bytes(keys.unwrap(wrapped, context))

        def rotate(self) -> None: ...

        def describe(self) -> dict[str, str]:
            return {"kind": "flaky", "current": "1"}

    provider = Flaky()
    crm = make_crm(plugins=[CLINIC], keys=provider)
    with crm.session(admin) as s:
        made = s.create(Patient(**FULL))
    crm.tables.sealer.vault.tenant_key.cache_clear()
    crm.tables.sealer.vault.subject_key.cache_clear()
    provider.down = True
    newcomer = Actor.system("tests", tenant="new")
    works: list[tuple[Actor, Callable[[Any], Any]]] = [
        (admin, lambda s: s.get(Patient, made.id)),
        (admin, lambda s: s.create(Patient(**{**FULL, "card": "2"}))),
        (newcomer, lambda s: s.create(Patient(**FULL))),
    ]
    for actor, work in works:
        with pytest.raises(Unavailable) as e, crm.session(actor) as s:
            work(s)
        assert e.value.code == "keys_unreachable"
        assert "hunter2" not in "".join(traceback.format_exception(e.value)) + repr(e.value.problem())
    provider.down = False
    with crm.session(admin) as s:
        assert s.get(Patient, made.id).iban == IBAN
        assert s.query(Patient).count() == 1
