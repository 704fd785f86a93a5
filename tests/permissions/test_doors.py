"""Every door shows exactly what its user may see: as if there were nothing else [S2]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crm_core.rules import everything
from tests.figures import LONG, figure
from tests.permissions.doors import DOORS, answer
from tests.permissions.doors_world import KINDS, Kind, hide, opened

ASKED = 6 if LONG else 1


class _Undo(Exception):
    """Ends a session whose work is not to stay."""


def _answers(world: Any, kind: Kind, at: int) -> dict[str, str]:
    found = {}
    for name in DOORS:
        for n in range(at, at + ASKED):
            try:
                with world.crm.session(kind.actor) as s:
                    found[f"{name} {n}"] = answer(s, world, name, n)
                    raise _Undo
            except _Undo:
                pass
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_every_door_answers_as_if_there_were_nothing_but_what_its_user_may_see(databases: Any, tmp_path: Path, kind: Kind) -> None:
    """[S2] Asked are the database as it is, as this user, and one that holds only what this user may see, as one who sees all of it.

    A record, field or number too many is a leak and one too few is missing; both are a difference.
    """
    worlds = []
    for role in (kind.role(limit=kind.limit), kind.role({} if kind.rules == {} else everything)):
        world = opened(databases, 1, tmp_path, role)
        world.stand_as(kind)
        worlds.append(world)
    hide(worlds[1], kind)
    got, want = (_answers(world, kind, KINDS.index(kind)) for world in worlds)
    for world in worlds:
        world.crm.close()
    wrong = [f"{name}:\n  {got[name][:600]}\n  {want[name][:600]}" for name in got if got[name] != want[name]]
    figure(
        "S2", database=worlds[0].crm.bound.kind, cases=len(got), rows=len(worlds[0].records), seed=1,
        result=f"{kind.name}: {len(wrong)} of {len(got)} answers by {len(DOORS)} doors differ", bar="0 leaks, 0 missing", met=not wrong,
    )  # fmt: skip
    assert not wrong, "\n".join(wrong)
    assert len(DOORS) >= 100
