"""A read_only field is set by its plugin's own code and by a system actor, and refused to anybody else."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from crm_core import Actor, Change, Entity, Field, Invalid, Plugin, Ref, Role, Session, WriteCtx, before_write, field

plugin = Plugin("club", version="1.0.0")


class Card(Entity):
    name: Field[str]
    stamp: Field[str | None] = field(default=None, read_only=True)
    seen: Field[str | None] = field(default=None, read_only=True)


plugin.entities(Card)


@attrs.frozen
class Stamp:
    card: Ref[Card]


@plugin.hook(before_write, on=Card)
def seen(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    for change in changes:
        change.record.seen = "by the hook"  # type: ignore[attr-defined]
    return changes


@plugin.action(on=Card, permission="club.stamp", label="club.stamp")
def stamp(s: Session, command: Stamp) -> None:
    s.update(Card, command.card.id, {"stamp": "by the action"})


@plugin.service
class Cards:
    def __init__(self, session: Session) -> None:
        self.session = session

    def stamp(self, card: Card) -> str | None:
        with self.session.elevated("stamp") as s:
            return s.update(Card, card.id, {"stamp": "by elevated code"}).stamp


@plugin.job(every="0 3 * * *")
def nightly(s: Session) -> None:
    for card in s.query(Card).all():
        s.update(Card, card.id, {"stamp": "by the job"})


CLERK = Actor("7", roles={"clerk"})


def test_who_sets_a_read_only_field(make_crm: Any) -> None:
    role = Role("clerk").allow(Card, "read", "create", "update").permit("club.stamp")
    crm = make_crm(plugins=[plugin], roles=[role])
    with crm.session(CLERK) as s:
        card = s.create(Card(name="A"))
        assert card.seen == "by the hook"
        with pytest.raises(Invalid) as made:
            s.create(Card(name="B", stamp="mine"))
        with pytest.raises(Invalid) as changed:
            s.update(Card, card.id, {"stamp": "mine"})
        for caught in (made, changed):
            assert [(d.field, d.code) for d in caught.value.details] == [("stamp", "read_only_field")]
        s.perform(Stamp(card.ref))
        assert s.get(Card, card.id).stamp == "by the action"
        assert s.use(Cards).stamp(card) == "by elevated code"
    assert crm.jobs.run("club.nightly").state == "done"
    with crm.session(Actor.system("setup", tenant="main")) as s:
        assert s.get(Card, card.id).stamp == "by the job"
        assert s.update(Card, card.id, {"stamp": "by the system"}).stamp == "by the system"
