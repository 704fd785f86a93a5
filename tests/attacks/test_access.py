"""Attacks on what is not theirs: other people's records and tenants, through every door [A01-A03, A17, A25, A26, A31]."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import attrs
from sqlalchemy import event as sa_event
from sqlalchemy import func, select

from crm_analytics.api import Analytics, Report
from crm_core import (
    Account,
    Actor,
    Contact,
    CRMError,
    Interaction,
    Invalid,
    Link,
    Money,
    Note,
    Plugin,
    Ref,
    Role,
    Session,
    Tag,
    Tagging,
)
from crm_core.io import Importer, export, mapping_of
from crm_sales.api import Opportunity, Sales
from tests.attacks.raid import ABROAD, CANARY, ME, NOBODY, SYSTEM, Attack, World, body, problem
from tests.laws.shop import Deal, DealClosed
from tests.laws.shop import plugin as shop
from tests.laws.tricks import Redeem, Sizes, bound, trick


def on_hidden(id_of: Callable[[World], str]) -> dict[str, Attack]:
    """Every verb that takes an id from outside."""
    return {
        "get": lambda w, s: s.get(Account, id_of(w)),
        "update": lambda w, s: s.update(Account, id_of(w), {"name": "x"}),
        "update to oneself": lambda w, s: s.update(Account, id_of(w), {"owner": "1"}),
        "update with a version": lambda w, s: s.update(Account, id_of(w), {"name": "x"}, version=1),
        "lock": lambda w, s: s.lock(Account, id_of(w)),
        "restore": lambda w, s: s.restore(Account, id_of(w)),
        "delete": lambda w, s: s.delete(ref(w, id_of(w))),
        "timeline": lambda w, s: s.timeline(ref(w, id_of(w))),
        "view360": lambda w, s: s.view360(ref(w, id_of(w))),
        "history": lambda w, s: s.history(ref(w, id_of(w))),
        "older history": lambda w, s: s.history(ref(w, id_of(w)), size=1, after="2"),
        "as the account of a deal": lambda w, s: s.create(Deal(name="x", account=ref(w, id_of(w)), amount=Money(1, "EUR"))),
        "as the account of a deal, by id": lambda w, s: s.update(Deal, w.deal.id, {"account": id_of(w)}),
        "as the account of a deal, in JSON": lambda w, s: s.create(body(w, {"account": id_of(w)})),
        "as the parent of an account": lambda w, s: s.update(Account, w.mine.id, {"parent": id_of(w)}),
        "as a link of a note": lambda w, s: s.create(Note(body="x", links=[Link("account", id_of(w))])),
        "as one more link of a note": lambda w, s: s.update(Note, w.note.id, {"links": [*w.note.links, Link("account", id_of(w))]}),
        "as a link of a note, in JSON": lambda w, s: s.update(Note, w.note.id, {"links": [{"entity": "account", "record": id_of(w)}]}),
        "as a link of a call": lambda w, s: s.create(Interaction(at=w.note.created_at, links=[Link("account", id_of(w))])),
        "as what a tag is on": lambda w, s: s.create(Tagging(tag=w.tagging.tag, entity="account", record=id_of(w))),
        "as what a tag is on now": lambda w, s: s.update(Tagging, w.tagging.id, {"record": id_of(w)}),
        "by an action": lambda w, s: s.perform(Redeem(ref(w, id_of(w)))),
        "by an import": lambda w, s: imported(w, id_of(w)),
    }


def ref(w: World, id: str) -> Any:
    return Ref(type(w.theirs), id)


def imported(w: World, id: str) -> None:
    path = w.folder / "deals.csv"
    path.write_text(f"name,account\nx,{id}\n")
    mapping = mapping_of({"entity": "shop.deal", "fields": {"name": "name", "account": "account", "amount": {"value": "EUR 1"}}})
    done = Importer(w.crm, ME, mapping).run(path)
    raise Invalid("invalid", details=[d for f in done.failures for d in f.error.details]) if done.failed else AssertionError("imported")


def test_a01_a_hidden_record_answers_as_one_that_is_not_there(world: World) -> None:
    hidden, nobody = on_hidden(lambda w: w.theirs.id), on_hidden(lambda w: NOBODY)
    world.assert_refused("A01", hidden)
    world.assert_refused("A01", on_hidden(lambda w: w.abroad.id))
    for name, attack in hidden.items():
        assert problem(world, attack) == problem(world, nobody[name]), name


def test_a01_lists_leave_out_what_is_hidden(world: World) -> None:
    world.assert_harmless(
        "A01",
        {
            "get_many": lambda w, s: [a.name for a in s.get_many(Account, [w.mine.id, w.theirs.id, w.abroad.id, NOBODY])],
            "find": lambda w, s: s.find(Account, w.theirs.id),
            "seen": lambda w, s: s.seen(w.theirs),
            "matching ids": lambda w, s: s.query(Account).matching({"id__in": f"{w.theirs.id},{w.mine.id}"}, allow=["id"]).all(),
            "the children of a hidden one": lambda w, s: s.query(Contact).where(Contact.account == w.theirs.ref).all(),
            "update_where": lambda w, s: s.update_where(s.query(Account).where(Account.name == CANARY), {"industry": "x"}),
        },
    )


def test_a02_what_may_only_be_looked_at_is_not_changed_in_any_way(world: World) -> None:
    attacks: dict[str, Attack] = {
        "update": lambda w, s: s.update(Account, w.look.id, {"name": "x"}),
        "update nothing much": lambda w, s: s.update(Account, w.look.id, {"industry": None, "website": "https://x.example"}),
        "take": lambda w, s: s.update(Account, w.look.id, {"owner": "1"}),
        "save": lambda w, s: s.save(renamed(s.get(Account, w.look.id))),
        "delete": lambda w, s: s.delete(s.get(Account, w.look.id)),
        "restore": lambda w, s: s.restore(Account, w.look.id),
        "share": lambda w, s: s.share(s.get(Account, w.look.id), "user:1", "update"),
        "unshare": lambda w, s: s.unshare(s.get(Account, w.look.id), "user:1"),
        "link": lambda w, s: s.link(bound, s.get(Account, w.look.id), s.get(Deal, w.deal.id)),
        "unlink": lambda w, s: s.unlink(bound, s.get(Account, w.look.id), s.get(Deal, w.deal.id)),
        "an action": lambda w, s: s.perform(Redeem(w.look.ref)),
        "a tag": lambda w, s: s.create(Tagging(tag=Ref(Tag, w.look.id), entity="account", record=w.look.id)),
        "upsert": lambda w, s: s.upsert(Account(name="x", external_ref=f"x:{CANARY}"), on="external_ref"),
        "a role for oneself": lambda w, s: s.define_role(Role("rep2").allow(Account, "read")),
        "a setting": lambda w, s: s.change_settings(Sizes, {"size": 9}),
        "a rollup": lambda w, s: s.rebuild(next(iter(w.crm.registry.rollups))),
        "an export": lambda w, s: export(s, s.query(Contact), w.folder / "never.csv"),
    }
    world.assert_refused("A02", attacks)
    assert not (world.folder / "never.csv").exists()


def renamed(record: Any) -> Any:
    record.name = "x"
    return record


def test_a03_nothing_hidden_comes_along_with_what_is_seen(world: World) -> None:
    with world.crm.session(SYSTEM) as s:
        deal = s.create(Deal(name="points at a hidden one", account=world.theirs.ref, amount=Money(1, "EUR"), owner="1"))
    try:
        world.assert_harmless(
            "A03",
            {
                "expand": lambda w, s: w.crm.to_json(s.query(Deal).preload(Deal.account).all(), expand=["account"]),
                "related": lambda w, s: [s.related(d, Deal.account) for d in s.query(Deal).preload(Deal.account).all()],
                "a join": lambda w, s: s.execute(select(Deal.name, Account.name).join(Account, Deal.account == Account.id)).all(),
                "an outer join": lambda w, s: s.execute(
                    select(Deal.name, Account.name).join(Account, Deal.account == Account.id, isouter=True)
                ).all(),
                "a subquery": lambda w, s: s.execute(
                    select(select(Account.name).where(Account.id == Deal.account).scalar_subquery())
                ).all(),
                "exists": lambda w, s: s.query(Deal).where(select(Account.id).where(Account.name == CANARY).exists()).all(),
                "an export of a path": lambda w, s: (
                    export(s, s.query(Deal), w.folder / "a03.csv", fields=["name", "account.name"]),
                    (w.folder / "a03.csv").read_text(),
                ),
            },
            journalled=True,
        )
        world.assert_refused(
            "A03",
            {
                "a nested write": lambda w, s: s.update(Deal, w.deal.id, {"account": {"id": w.theirs.id, "name": "x"}}),
                "a nested write by a path": lambda w, s: s.update(Deal, w.deal.id, {"account.name": "x"}),
                "a nested body": lambda w, s: s.create(body(w, {"account": {"id": w.mine.id, "owner": "1"}})),
                "an export through two references": lambda w, s: export(
                    s, s.query(Deal), w.folder / "x.csv", fields=["account.parent.x.y"]
                ),
            },
        )
    finally:
        with world.crm.session(SYSTEM) as s:
            s.delete(deal)


def test_a17_a_hidden_record_takes_the_same_statements_as_one_that_is_not_there(world: World) -> None:
    """No clock tells them apart, since the same is done: the statements are counted, which no noise disturbs."""
    engine = world.crm.bound.engine
    for name, attack in on_hidden(lambda w: w.theirs.id).items():
        other = on_hidden(lambda w: NOBODY)[name]
        counted = []
        for this in (attack, other, attack, other):
            statements: list[str] = []

            def note(conn: Any, cursor: Any, statement: str, *_: Any, into: list[str] = statements) -> None:
                # Both are looked at once a second, whoever asks for what.
                if "FROM crm_role" not in statement and "FROM crm_custom_field" not in statement:
                    into.append(statement)

            sa_event.listen(engine, "before_cursor_execute", note)
            problem(world, this)
            sa_event.remove(engine, "before_cursor_execute", note)
            counted.append(statements)
        world.tried["A17"] += 1
        assert counted[2] == counted[3], name
        world.handled["A17"] += 1


def test_a25_a_tenant_is_the_actors_and_no_body_changes_it(world: World) -> None:
    other = Actor.system("test", tenant="other")
    attacks: dict[str, Attack] = {
        "get": lambda w, s: s.get(Account, w.mine.id),
        "update": lambda w, s: s.update(Account, w.mine.id, {"name": "x"}),
        "delete": lambda w, s: s.delete(w.mine),
        "point at it": lambda w, s: s.create(Deal(name="x", account=w.mine.ref, amount=Money(1, "EUR"))),
        "share it": lambda w, s: s.share(w.mine, "user:1"),
        "link it": lambda w, s: s.link(bound, w.mine, w.deal),
        "its timeline": lambda w, s: s.timeline(w.mine.ref),
        "its history": lambda w, s: s.history(w.mine.ref),
        "save it": lambda w, s: s.save(renamed(copy.copy(w.mine))),
        "set the tenant": lambda w, s: s.update(Account, w.abroad.id, {"tenant": "main"}),
        "a tenant of NUL": lambda w, s: Actor("1", tenant="\x00"),
        "a tenant of spaces": lambda w, s: Actor("1", tenant=""),
        "a tenant of 5 MB": lambda w, s: Actor("1", tenant="x" * 5_000_000),
    }
    for by in (other, ABROAD):
        world.assert_refused("A25", attacks, by=by)
    world.assert_harmless(
        "A25",
        {
            "count": lambda w, s: s.query(Deal).count() and CANARY,
            "outcome": lambda w, s: w.crm.outcome("k", tenant="other"),
            "a cursor of another tenant": lambda w, s: s.query(Deal).order_by(Deal.name).page(1, after=cursor(w)).items,
            "people": lambda w, s: list(s.people),
            "settings": lambda w, s: s.settings(Sizes),
        },
        by=other,
    )


def cursor(w: World) -> Any:
    with w.crm.session(SYSTEM) as s:
        return s.query(Deal).order_by(Deal.name).page(1).next


@attrs.frozen
class Pry:
    """Pry."""


def test_a26_a_plugin_has_its_grants_and_no_more(make_crm: Any) -> None:
    spy = Plugin("spy", version="1", requires={"shop": ">=1"})
    tried: list[str] = []

    @spy.action(permission="spy.pry", label="Pry")
    def pry(s: Session, command: Pry) -> list[str]:
        with s.elevated("look") as e:
            attempts: dict[str, Callable[[], Any]] = {
                "an undeclared entity": lambda: e.get(Account, account),
                "an undeclared write": lambda: e.create(Account(name="x")),
                "an event of another": lambda: e.emit(DealClosed(record=deal, amount=Money(1, "EUR"))),
                "a role": lambda: e.define_role(Role("x").allow(Account, "read")),
                "a setting of another": lambda: e.change_settings(Sizes, {"size": 2}),
                "a second elevation of more": lambda: e.derive(plugin="shop").elevated("more").__enter__().get(Account, account),
            }
            for name, attempt in attempts.items():
                try:
                    attempt()
                except CRMError:
                    continue
                tried.append(name)
        return tried

    crm = make_crm(plugins=[shop, trick, spy], roles=[Role("spy").permit("spy.pry")])
    with crm.session(SYSTEM) as s:
        owner_ = s.create(Account(name=CANARY, owner="2"))
        account = owner_.id
        deal = s.create(Deal(name="d", account=owner_.ref, amount=Money(1, "EUR"))).ref
    with crm.session(Actor("1", roles={"spy"})) as s:
        assert s.perform(Pry()) == []


DOORS: dict[str, Attack] = {
    "a list": lambda w, s: s.query(Account).all(),
    "a page": lambda w, s: s.query(Account).page(50).items,
    "a stream": lambda w, s: list(s.query(Account).stream(10)),
    "a search by prefix": lambda w, s: s.query(Account).matching({"name__startswith": CANARY[:3]}, allow=["name"]).all(),
    "a select": lambda w, s: s.execute(select(Account.name)).all(),
    "a distinct select": lambda w, s: s.execute(select(Account.industry).distinct()).all(),
    "a union": lambda w, s: s.execute(select(Account.name).union_all(select(Deal.name))).all(),
    "an aggregate": lambda w, s: s.execute(select(func.max(Account.name))).all(),
    "a sum": lambda w, s: s.execute(select(Deal.amount.sum()).group_by(Deal.amount.currency)).all(),
    "persons": lambda w, s: s.query(Contact).all(),
    "the export": lambda w, s: (export(s, s.query(Account), w.folder / "doors.csv"), (w.folder / "doors.csv").read_text()),
    "the export as JSON": lambda w, s: (export(s, s.query(Account), w.folder / "d.jsonl"), (w.folder / "d.jsonl").read_text()),
    "a timeline": lambda w, s: s.timeline(w.mine.ref),
    "a view": lambda w, s: s.view360(w.mine.ref),
    "links": lambda w, s: s.linked(bound, w.mine),
    "a report": lambda w, s: s.use(Analytics).run(Report(metrics=["sales.won_deals"], grain="month")),
    "the figures of sales": lambda w, s: s.use(Sales).win_rate(),
    "opportunities": lambda w, s: s.query(Opportunity).all(),
    "interactions": lambda w, s: s.query(Interaction).all(),
    "people": lambda w, s: list(s.people),
    "the form": lambda w, s: s.describe(Account),
    "the schema": lambda w, s: w.crm.json_schema(Account),
    "actions": lambda w, s: s.actions(w.mine),
}


def test_a31_a_hidden_record_is_hidden_behind_every_door(world: World) -> None:
    for actor in (ME, Actor("9", roles={"rep"}), Actor("9")):
        world.assert_harmless("A31", DOORS, by=actor, journalled=True)
