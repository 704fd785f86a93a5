"""What a user may not see changes nothing of what they get: not a value, count, error, order or cursor [S3]."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crm_core import Account, Actor, Conflict, Contact, CRMError, Money, Note, Session
from tests.figures import LONG, figure
from tests.permissions.doors import DOORS, answer
from tests.permissions.doors_world import KINDS, SYSTEM, Close, Deal, Kind, World, beside, opened, unsettle

PROGRAMS = 400 if LONG else 30
STEPS = 6
CURIOUS = [k for k in KINDS if k.name in ("owner", "sparse, by a share", "by the account", "restricted", "no fields")]
Write = Callable[[Session, World, int], Any]


class _Undo(Exception):
    """Ends a program whose work is not to stay."""


def _one(s: Session, entity: type[Any], n: int) -> Any:
    found = s.query(entity).order_by(entity.id).all()
    return found[n % len(found)] if found else s.get(entity, "")


def _renamed(record: Any, n: int) -> Any:
    record.name = f"renamed {n}"
    return record


def _deals(s: Session, n: int, count: int = 1) -> list[Deal]:
    account = _one(s, Account, n).ref
    return [Deal(name=f"mine {n} {i}", account=account, amount=Money(n + 1, "EUR"), code=f"w:{n}:{i}") for i in range(count)]


WRITES: dict[str, Write] = {
    "create": lambda s, w, n: s.create(_deals(s, n)[0]),
    "create many": lambda s, w, n: [[*r.ok, *map(str, r.failed)] for r in [s.create_many(_deals(s, n, 3), on_error="collect")]],
    "update": lambda s, w, n: s.update(Deal, _one(s, Deal, n).id, {"name": f"new {n}", "stage": ["new", "won"][n % 2]}),
    "update a hidden field": lambda s, w, n: s.update(Deal, _one(s, Deal, n).id, {"salary": n}),
    "update a stale version": lambda s, w, n: s.update(Deal, _one(s, Deal, n).id, {"name": f"new {n}"}, version=n % 3),
    "give away": lambda s, w, n: s.update(Deal, _one(s, Deal, n).id, {"owner": "u4"}),
    "point at another account": lambda s, w, n: s.update(Deal, _one(s, Deal, n).id, {"account": w.of(Account)[n % 16].id}),
    "stand below another account": lambda s, w, n: s.update(Account, _one(s, Account, n).id, {"parent": w.of(Account)[n % 15].id}),
    "save": lambda s, w, n: s.save(_renamed(_one(s, Deal, n), n)),
    "upsert": lambda s, w, n: s.upsert(
        Deal(name="up", account=_one(s, Account, n).ref, amount=Money(1, "EUR"), code=f"w:{n % 9}:0"), on="code"
    ),
    "update where": lambda s, w, n: s.update_where(s.query(Deal).where(Deal.stage == "new"), {"name": f"all {n}"}),
    "delete": lambda s, w, n: s.delete(_one(s, Deal, n)),
    "delete a note": lambda s, w, n: s.delete(_one(s, Note, n)),
    "restore": lambda s, w, n: s.restore(Deal, w.of(Deal)[n % 40].id),
    "share": lambda s, w, n: s.share(_one(s, Deal, n), "user:u9", "read"),
    "unshare": lambda s, w, n: s.unshare(_one(s, Deal, n), "user:u9"),
    "link": lambda s, w, n: s.link(beside, _one(s, Account, n), _one(s, Deal, n)),
    "unlink": lambda s, w, n: s.unlink(beside, _one(s, Account, n), _one(s, Deal, n)),
    "perform": lambda s, w, n: s.perform(Close(deal=_one(s, Deal, n).ref)),
    "create a contact": lambda s, w, n: s.create(Contact(name=f"new {n}", account=_one(s, Account, n).ref)),
}
DOORS_AND_WRITES = [*DOORS, *WRITES, *WRITES]


def _run(world: World, kind: Kind, program: list[tuple[str, int]], *, undone: bool) -> list[str]:
    answers = []
    try:
        with world.crm.session(kind.actor) as s:
            for name, n in program:
                answers.append(answer(s, world, name, n, WRITES.get(name)))
            if undone:
                raise _Undo
    except _Undo:
        pass
    except CRMError as e:
        answers.append(str(e.problem()))
    return answers


@pytest.mark.parametrize("kind", CURIOUS, ids=lambda k: k.name)
def test_random_programs_get_the_same_bytes_whatever_is_hidden(databases: Any, tmp_path: Path, kind: Kind) -> None:
    """[S3] Two databases that differ in what the user may not see, and the same programs of reads and writes."""
    chance = random.Random(f"{kind.name} 1")
    worlds = [opened(databases, 1, tmp_path, kind.role(limit=kind.limit)) for _ in range(2)]
    for world in worlds:
        world.stand_as(kind)
    unsettle(worlds[1], kind, seed=7)
    answers = failed = 0
    for _ in range(PROGRAMS):
        program = [(chance.choice(DOORS_AND_WRITES), chance.randrange(1000)) for _ in range(STEPS)]
        undone = chance.random() < 0.5
        one, two = (_run(world, kind, program, undone=undone) for world in worlds)
        for (name, n), a, b in zip(program, one, two, strict=False):
            assert a == b, f"{name} {n} of {program}:\n  {a[:1500]}\n  {b[:1500]}"
        assert one == two
        answers += len(one)
        failed += sum('"status"' in a for a in one)
    for world in worlds:
        world.crm.close()
    figure(
        "S3", database=worlds[0].crm.bound.kind, cases=PROGRAMS, rows=118, seed=1, bar="2,000 programs, 0 differences",
        result=f"{kind.name}: 0 of {answers} answers differ, {failed} of them errors",
    )  # fmt: skip
    assert 0 < failed < answers


# -- what the contract lets through ------------------------------------------------------------------------------------------------------


def test_a_taken_value_tells_that_it_is_taken_and_nothing_else(databases: Any, tmp_path: Path) -> None:
    """[S3] The exception that SECURITY.md names: the error is the one that a value of one's own record gives, to the letter."""
    kind = KINDS[0]
    world = opened(databases, 1, tmp_path, kind.role())
    world.stand_as(kind)
    codes = [world.of(Deal, records)[0] for records in (world.visible, world.unseen)]
    other = world.of(Deal, world.visible)[1]

    def writes(taken: str) -> list[Callable[[Session], Any]]:
        return [
            lambda s: s.create(_coded(s, taken)),
            lambda s: s.update(Deal, other.id, {"code": taken}),
            lambda s: s.create_many([_coded(s, taken)], on_error="collect").failed[0][1],
        ]

    told = []
    for deal in codes:
        for write in writes(deal.code):
            with world.crm.session(kind.actor) as s:
                told.append(_told(lambda s=s, write=write: write(s)))  # type: ignore[misc]  # bound now
    assert told[:3] == told[3:]
    hidden = codes[1]
    for said in told:
        assert not any(secret in said for secret in (hidden.id, hidden.name, str(hidden.owner), hidden.account.id))
    with world.crm.session(kind.actor) as s, pytest.raises(Conflict) as raised:
        s.upsert(_coded(s, str(hidden.code)), on="code")
    assert raised.value.code == "not_unique"
    assert set(raised.value.params) <= {"entity", "field", "fields"}
    world.crm.close()


def test_what_points_at_a_record_protects_it_and_is_not_named_where_it_is_hidden(databases: Any, tmp_path: Path) -> None:
    """[S3] The other exception: one's own record that a hidden one refers to cannot be deleted; that is all that is said."""
    kind = KINDS[0]
    world = opened(databases, 1, tmp_path, kind.role())
    world.stand_as(kind)
    with world.crm.session(Actor(kind.me, roles={"kind"})) as s:
        mine = s.create(Account(name="protected"))
    with world.crm.session(SYSTEM) as s:
        deal = s.create(Deal(name="theirs", account=mine.ref, amount=Money(1, "EUR"), owner="gone"))
    with world.crm.session(kind.actor) as s, pytest.raises(Conflict) as raised:
        s.delete(mine)
    assert raised.value.code == "protected"
    told = str(raised.value.problem())
    assert not any(secret in told for secret in (deal.id, "theirs", "gone", "1 "))
    world.crm.close()


def _coded(s: Session, code: str | None) -> Deal:
    return Deal(name="x", account=_one(s, Account, 0).ref, amount=Money(1, "EUR"), code=code)


def _told(work: Callable[[], Any]) -> str:
    try:
        found = work()
    except CRMError as e:
        found = e
    assert isinstance(found, Conflict)
    return f"{type(found).__name__} {found.problem()} {found}"
