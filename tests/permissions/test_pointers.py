"""Links and tags are pointers by name and id: who sets one must see what it points at, and it tells its reader no more [A01, C03]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from sqlalchemy import event as sa_event

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_core import (
    CRM,
    Account,
    Actor,
    Contact,
    Entity,
    Field,
    Interaction,
    Invalid,
    Link,
    LoadError,
    Note,
    Plugin,
    Role,
    Session,
    Tag,
    Tagging,
    field,
    owner,
)
from crm_core.entities.activity import Link as LinkType
from tests.permissions.doors_world import NOW, SYSTEM

ME = Actor("1", roles={"clerk"})
GHOST = "00000000-0000-7000-8000-000000000000"
CLERK = (
    Role("clerk")
    .allow(Account, "read", where=owner)
    .allow(Note, "read", "create", "update")
    .allow(Interaction, "read", "create", "update")
    .allow(Tag, "read")
    .allow(Tagging, "read", "create", "update")
)


def accounts(s: Session, *owners: str) -> list[Account]:
    return s.create_many(Account(name=f"of {o}", owner=o) for o in owners).ok


WAYS: dict[str, Callable[[Session, Link], Any]] = {
    "a note": lambda s, link: s.create(Note(body="x", links=[link])),
    "a call": lambda s, link: s.create(Interaction(at=NOW, links=[link])),
    "a tag": lambda s, link: s.create(Tagging(tag=s.query(Tag).one().ref, entity=link.entity, record=link.record)),
    "one link more": lambda s, link: s.update(Note, (n := s.query(Note).one()).id, {"links": [*n.links, link]}),
    "a tag moved": lambda s, link: s.update(Tagging, s.query(Tagging).one().id, {"entity": link.entity, "record": link.record}),
    "a batch": lambda s, link: s.create_many([Note(body="x", links=[link])]),
    "a save": lambda s, link: s.save(_linked(s.query(Note).one(), link)),
}


def _linked(note: Note, link: Link) -> Note:
    note.links = [*note.links, link]
    return note


@pytest.mark.parametrize("way", WAYS)
def test_a01_who_points_at_a_hidden_record_hears_what_they_hear_of_one_that_is_not_there(make_crm: Any, way: str) -> None:
    crm: CRM = make_crm(roles=[CLERK])
    with crm.session(Actor.system("test", tenant="other")) as s:
        (abroad,) = accounts(s, "1")
    with crm.session(SYSTEM) as s:
        mine, hidden, gone = accounts(s, "1", "2", "1")
        s.delete(gone)
        person = s.create(Contact(name="Ann", owner="1"))
        tag = s.create(Tag(name="VIP", color="#0a7"))
        s.create(Note(body="n", links=[Link.to(mine)]))
        s.create(Tagging(tag=tag.ref, entity="account", record=mine.id))
    unseen = [Link("account", i) for i in (hidden.id, abroad.id, gone.id, GHOST, "nonsense", person.id)]
    heard = []
    for link in (*unseen, Link("contact", person.id), Link("no.such", mine.id)):
        with pytest.raises(Invalid) as raised, crm.session(ME) as s:
            WAYS[way](s, link)
        (detail,) = raised.value.details
        assert (detail.code, detail.params) == ("bad_ref", {"target": link.entity})
        heard.append((str(raised.value).replace(link.record, "ID"), len(link.record), link.entity))
    assert len({h for h in heard if h[1:] == (36, "account")}) == 1
    with crm.session(ME) as s:
        WAYS[way](s, Link.to(mine) if "more" not in way and "save" not in way else Link.to(mine.ref))


def test_links_of_a_batch_are_looked_for_by_one_statement_an_entity(make_crm: Any) -> None:
    crm: CRM = make_crm(roles=[CLERK.allow(Contact, "read")])
    with crm.session(SYSTEM) as s:
        made = accounts(s, *"11121")
        people = s.create_many(Contact(name=str(n)) for n in range(5)).ok
    notes = [Note(body="x", links=[Link.to(a), Link.to(p)]) for a, p in zip(made, people, strict=True) for _ in range(4)]
    counted: list[str] = []
    with crm.session(ME) as s:
        s.query(Note).all()
        sa_event.listen(crm.bound.engine, "before_cursor_execute", lambda *a: counted.append(a[2]))
        done = s.create_many(notes, on_error="collect")
    looked = [c for c in counted if "crm_account" in c or "crm_contact" in c]
    assert len(looked) == 2, looked
    assert ([row for row, _ in done.failed], len(done.ok)) == ([12, 13, 14, 15], 16)
    assert {d.code for _, e in done.failed for d in e.details} == {"bad_ref"}


def test_a_link_to_what_its_reader_does_not_see_is_an_id_like_a_reference_and_stays(make_crm: Any) -> None:
    """It opens nothing, and who saves the note takes nothing away by it."""
    crm: CRM = make_crm(roles=[CLERK])
    with crm.session(SYSTEM) as s:
        mine, hidden = accounts(s, "1", "2")
        note = s.create(Note(body="n", links=[Link.to(hidden)]))
        call = s.create(Interaction(at=NOW, links=[Link.to(hidden)]))
    with crm.session(ME) as s:
        seen = s.get(Note, note.id)
        assert s.find(Account, seen.links[0].record) is None
        seen.body = "changed"
        seen.links = [*seen.links, Link.to(mine)]
        s.save(seen)
        s.update(Interaction, call.id, {"links": [*call.links, Link.to(mine)]})
    with crm.session(SYSTEM) as s:
        assert s.get(Note, note.id).links == s.get(Interaction, call.id).links == [Link.to(hidden), Link.to(mine)]
        s.delete(hidden)
    with crm.session(ME) as s:
        assert [link.record for link in s.get(Note, note.id).links] == [hidden.id, mine.id]  # whether it is still there, nobody hears
        with pytest.raises(Invalid):
            s.create(Note(body="a copy", links=seen.links))


KEPT = {
    "erp_bridge.binding.local_id": "written by the bridge, with the grants of its service",
    "erp_bridge.outbound.local_id": "written by the bridge, with the grants of its service",
    "erp_bridge.lease.holder": "a token",
    "erp_bridge.outbound.key": "a key of idempotency",
    "marketing.campaign_member.lead": "looked for in check_people",
    "marketing.consent.lead": "looked for in check_people",
    "marketing.touch.lead": "looked for in check_people",
}


def test_every_field_that_holds_the_id_of_a_record_is_looked_after() -> None:
    modules = [crm_sales, crm_marketing, crm_service, crm_analytics, crm_erp_bridge]
    crm = CRM("sqlite://", plugins=[m.plugin for m in modules])
    loose = set()
    for codec in map(crm.codec, crm.registry.entities):
        for name, f in codec.fields.items():
            if f.kind == "str" and f.length == 36 and not f.system and not f.options.read_only and name not in codec.points:
                loose.add(f"{codec.facts.name}.{name}")
            if f.kind == "list" and f.type is LinkType:
                assert name in codec.links
    crm.close()
    assert loose == set(KEPT)


def test_points_that_name_no_text_fields_are_a_load_error() -> None:
    class Pin(Entity):
        __points__: ClassVar[dict[str, str]] = {"record": "kind"}

        record: Field[str] = field(length=36)

    plugin = Plugin("pins", version="1.0")
    plugin.entities(Pin)
    with pytest.raises(LoadError) as raised:
        CRM("sqlite://", plugins=[plugin])
    assert raised.value.code == "bad_points"
