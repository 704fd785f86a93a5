"""Attacks on custom fields, stored rules, the past and restored records, with all modules [A01, A02, A07, A20, A25, A31]."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from crm_analytics.api import Analytics, Report
from crm_core import (
    Account,
    Actor,
    AutomationRule,
    Contact,
    CRMError,
    CustomField,
    Entity,
    Invalid,
    Money,
    Ref,
    Session,
    Tagging,
    custom,
)
from crm_core.io import Importer, export, mapping_of
from crm_core.rules import F, from_json, related, to_json
from crm_marketing.api import Marketing, Segment, SegmentKind
from crm_sales.api import Lead, Opportunity, Sales
from crm_service.api import Service, Ticket
from tests.attacks.house import Card, House, rule, segment
from tests.attacks.raid import ABROAD, CANARY, ME, NOBODY, SALARY, SYSTEM, Attack, World, each, problem
from tests.laws.shop import Deal
from tests.laws.tricks import bound

WORLD = House
CHIEF = Actor("2", roles={"chief"})
Door = Callable[[str, World, Session], Any]


def refused() -> Any:
    raise Invalid("invalid")


def imported(w: World, field: str, *, match: bool) -> None:
    path = w.folder / "fields.csv"
    path.write_text("name,v\nx,1\n")
    mapping = {"entity": "account", "fields": {"name": "name", field: "v"}, **({"match": field} if match else {})}
    done = Importer(w.crm, ME, mapping_of(mapping)).run(path, dry_run=True)
    raise Invalid("invalid", details=[d for f in done.failures for d in f.error.details]) if done.failed else AssertionError("imported")


# Every door that takes a field's name; where it says the field's value, it is of a record of one's own.
DOORS: dict[str, Door] = {
    "where": lambda n, w, s: s.query(Account).where(F(n) == "1").all(),
    "related": lambda n, w, s: s.query(Deal).where(related("account", F(n) == "1")).all(),
    "sort": lambda n, w, s: s.query(Account).matching({"sort": n}, allow=[n]).all(),
    "filter": lambda n, w, s: s.query(Account).matching({f"{n}__startswith": "1"}, allow=[n]).all(),
    "update": lambda n, w, s: s.update(Account, w.mine.id, {n: "1"}),
    "update_where": lambda n, w, s: s.update_where(s.query(Account).where(F(n) == "1"), {"industry": "x"}),
    "upsert": lambda n, w, s: s.upsert(Account(name="x"), on=n),
    "import": lambda n, w, s: imported(w, n, match=False),
    "import match": lambda n, w, s: imported(w, n, match=True),
    "the past": lambda n, w, s: s.as_of(w.mine.created_at).query(Account).where(F(n) == "1").all(),
    "rule": lambda n, w, s: s.create(rule(condition=to_json(F(n) == "1"))),
    "rule old": lambda n, w, s: s.create(rule(condition=to_json(F(f"old.{n}") == "1"))),
    "rule changed": lambda n, w, s: s.create(rule(changed={n: {}})),
    "rule sets": lambda n, w, s: s.create(rule(actions=[{"set": {n: "1"}}])),
    "rule copies": lambda n, w, s: s.create(rule(actions=[{"set": {"industry": {"field": n}}}])),
    "rule copies old": lambda n, w, s: s.create(rule(actions=[{"set": {"industry": {"field": f"old.{n}"}}}])),
    "segment": lambda n, w, s: s.create(segment(rule=to_json(F(n) == "1"))),
    "preview": lambda n, w, s: s.use(Marketing).preview("account", to_json(F(n) == "1")),
    "report": lambda n, w, s: s.use(Analytics).run(Report(metrics=["sales.won_deals"], where=from_json(to_json(F(n) == "1")))),
    "report by": lambda n, w, s: s.use(Analytics).run(Report(metrics=["sales.won_deals"], by=[n])),
}
SHOWN: dict[str, Door] = {
    "get": lambda n, w, s: s.get(Account, w.mine.id).custom[n.removeprefix("custom.")],
    "column": lambda n, w, s: s.custom_fields.column(Account, n.removeprefix("custom.")),
    "order": lambda n, w, s: s.query(Account).order_by(custom(n.removeprefix("custom."))).all(),
    "export": lambda n, w, s: export(s, s.query(Account), w.folder / "q.csv", fields=["name", n]),
    "export through": lambda n, w, s: export(s, s.query(Deal), w.folder / "q.csv", fields=["name", f"account.{n}"]),
}


def test_a07_a_hidden_or_masked_field_opens_no_door(world: World) -> None:
    for name in ("custom.salary", "custom.vip", "website"):
        doors = DOORS | (SHOWN if name.startswith("custom.") else {})
        world.assert_refused("A07", {f"{name}: {door}": partial(attack, name) for door, attack in doors.items()})
    for name, attack in DOORS.items():
        hidden, unknown = (_problem(world, partial(attack, n)).replace(n, "FIELD") for n in ("custom.salary", "custom.salarx"))
        assert hidden == unknown, name


def _problem(w: World, attack: Attack) -> str:
    try:
        with w.crm.session(ME) as s:
            attack(w, s)
    except CRMError as e:
        return json.dumps([e.problem(), str(e)])
    raise AssertionError("it was done")


def test_a07_a_segment_asks_nothing_that_its_author_does_not_see(world: World) -> None:
    world.assert_refused(
        "A07",
        {
            "a related record": lambda w, s: s.create(segment(entity="contact", rule=to_json(related("account", F("name") == "x")))),
            "what people did": lambda w, s: s.create(segment(entity="contact", behaviour=[{"of": "touch", "days": 1}])),
            "what people did not": lambda w, s: s.create(
                segment(entity="contact", behaviour=[{"of": "campaign", "days": 1, "never": True}])
            ),
            "later": lambda w, s: s.update(Segment, s.create(segment()).id, {"rule": to_json(F("website").startswith("https"))}),
        },
    )
    with world.crm.session(ME) as s:
        found = s.create(segment(name="all", rule=to_json(F("name").startswith(CANARY[:3]))))
        moved = s.use(Marketing).refresh(found)
        world.tried["A07"] += 1
        assert (moved.entered, moved.left) == (0, 0), "the number of hidden ones was told"
        world.handled["A07"] += 1
        s.delete(found)


POINTED: dict[str, Callable[[str, World, Session], Any]] = {
    "custom": lambda i, w, s: s.update(Account, w.mine.id, {"custom.partner": i}),
    "custom of a new one": lambda i, w, s: s.create(Account(name="x", custom={"partner": i})),
    "custom by upsert": lambda i, w, s: s.upsert(Account(name="x", external_ref="m:1", custom={"partner": i}), on="external_ref"),
    "history": lambda i, w, s: s.history(_forged(Account, i)),
    "the past": lambda i, w, s: s.as_of(s.crm.runtime.clock.now()).get(Account, i),
    "the past of a view": lambda i, w, s: s.view360(Ref(Account, i), at=s.crm.runtime.clock.now()),
    "agent card": lambda i, w, s: s.use(Service).agent_card(Ref(Account, i)),
    "conversion": lambda i, w, s: s.use(Sales).convert(s.create(Lead(name="x", owner="1")), account=Ref(Account, i)),
    "ticket": lambda i, w, s: s.create(Ticket(subject="x", account=Ref(Account, i))),
    "opportunity": lambda i, w, s: s.create(Opportunity(name="x", account=Ref(Account, i), amount=Money(1, "EUR"))),
    "share": lambda i, w, s: s.share(_forged(Account, i), "user:9"),
    "unshare": lambda i, w, s: s.unshare(_forged(Account, i), "user:1"),
    "link": lambda i, w, s: s.link(bound, _forged(Account, i), w.deal),
    "unlink": lambda i, w, s: s.unlink(bound, _forged(Account, i), w.deal),
    "linked": lambda i, w, s: s.linked(bound, _forged(Account, i)) or refused(),
    "save": lambda i, w, s: s.save(_forged(Account, i)),
    "consent": lambda i, w, s: s.use(Marketing).give_consent(Ref(Contact, i), "news", text="t", evidence={"a": 1}, source="x"),
    "touch": lambda i, w, s: s.use(Marketing).touch(Ref(Contact, i), {}),
    "touches": lambda i, w, s: s.use(Marketing).touches(Ref(Contact, i)) or refused(),
    "static segment": lambda i, w, s: s.use(Marketing).add(s.create(segment(kind=SegmentKind.STATIC)), [Ref(Account, i)]) or refused(),
    "grade": lambda i, w, s: s.use(Analytics).grade(Ref(Account, i)) or refused(),
    "promises": lambda i, w, s: s.use(Service).open_promises(Ref(Account, i)) or refused(),
    "claim": lambda i, w, s: s.use(Sales).claim(Ref(Lead, i)),
    "release": lambda i, w, s: s.use(Sales).release(Ref(Lead, i), reason="x"),
    "win": lambda i, w, s: s.use(Sales).win(Ref(Opportunity, i), reason="x"),
    "quote": lambda i, w, s: s.use(Sales).quote(Ref(Opportunity, i), []),
    "actions": lambda i, w, s: refused() if not any(a.allowed for a in s.actions(_forged(Account, i))) else True,
    "may": lambda i, w, s: s.can("read", _forged(Account, i)) or refused(),
    "restore": lambda i, w, s: s.restore(Lead, i),
    "tag": lambda i, w, s: s.update(Tagging, w.tagging.id, {"record": i}),
}


def _forged(entity: type[Any], id: str) -> Any:
    record = entity(name="x")
    record.id, record.version, record.tenant = id, 1, "main"
    return record


def test_a01_what_is_hidden_is_not_there_for_any_module(world: World) -> None:
    assert isinstance(world, House)
    hidden = [world.theirs.id, world.abroad.id, world.person.id, world.lead.id, world.hidden.id, world.far.id]
    for name, attack in POINTED.items():
        nobody = problem(world, partial(attack, NOBODY))
        for id_ in hidden:
            world.tried["A01"] += 1
            assert problem(world, partial(attack, id_)).replace(id_, "ID") == nobody, name
            world.handled["A01"] += 1


def test_a02_who_has_no_right_writes_nothing_that_governs(world: World) -> None:
    world.assert_refused(
        "A02",
        {
            "a share of more than one may": lambda w, s: s.share(s.get(Account, w.mine.id), "user:1", "assign"),
            "a share of what one may only read": lambda w, s: s.share(s.get(Account, w.look.id), "user:1", "update"),
            "a share with a role": lambda w, s: s.share(s.get(Account, w.mine.id), "role:rep"),
            "a custom field": lambda w, s: s.custom_fields.add(Account, "mine"),
            "its readers": lambda w, s: s.custom_fields.change(Account, "vip", readers=[]),
            "its end": lambda w, s: s.custom_fields.delete(Account, "vip", with_data=True),
            "its definition": lambda w, s: s.create(CustomField(entity="account", name="z", kind="text")),  # type: ignore[arg-type]
            "whose rights a rule has": lambda w, s: s.create(rule(runs_as={"kind": "system", "id": "system:x"})),
            "a rule on rules": lambda w, s: s.create(rule(entity="automation_rule")),
            "a rule on fields": lambda w, s: s.create(rule(entity="custom_field")),
            "a rule on what one does not see": lambda w, s: s.create(rule(entity="marketing.touch")),
            "a pipeline": lambda w, s: s.use(Sales).make_pipeline("x", "X", []),
        },
    )


def test_a02_a_rule_that_somebody_wakes_has_that_persons_rights(world: World) -> None:
    world.tried["A02"] += 1
    with world.crm.session(CHIEF) as s:
        made = s.create(rule(owner="1"))
        s.delete(made)
    with world.crm.session(ME) as s:
        woken = s.restore(AutomationRule, made.id)
        assert woken.runs_as["id"] == "1"
        s.delete(woken)
    world.handled["A02"] += 1


def test_a07_a_restored_record_tells_no_hidden_fields_name(world: World) -> None:
    made: list[tuple[type[Entity], Callable[[str], Any], str]] = [
        (Deal, lambda o: Deal(name="r", account=world.mine.ref, amount=Money(1, "EUR"), owner=o, code="again"), "code"),
        (Account, lambda o: Account(name="r", owner=o, custom={"vip": "again"}), "vip"),
    ]
    for entity, make, name in made:
        world.tried["A07"] += 1
        with world.crm.session(SYSTEM) as s:
            mine = s.create(make("1"))
            s.delete(mine)
            taken = s.create(make("2"))
        with pytest.raises(CRMError) as e, world.crm.session(ME) as s:
            s.restore(entity, mine.id)
        assert e.value.code == "not_unique"
        assert name not in json.dumps([e.value.params, [d.field for d in e.value.details], str(e.value)])
        with world.crm.session(SYSTEM) as s:
            s.delete(taken)
        world.handled["A07"] += 1


def test_a31_history_shows_no_field_under_the_name_of_another(world: World) -> None:
    add: dict[str, dict[str, Any]] = {"open to all": {}, "of another kind": {"kind": "integer", "readers": ["chief"]}}
    with world.crm.session(SYSTEM) as s:
        s.custom_fields.add(Account, "again", readers=["chief"])
        s.update(Account, world.mine.id, {"custom.again": CANARY})
        s.custom_fields.delete(Account, "again", with_data=True)
    world.assert_refused("A31", {n: lambda w, s, o=o: s.custom_fields.add(Account, "again", **o) for n, o in add.items()}, by=SYSTEM)  # type: ignore[misc]
    with world.crm.session(SYSTEM) as s:
        s.custom_fields.add(Account, "again", readers=["chief"])
        assert s.custom_fields.delete(Account, "again") == 0


def test_a20_a_unique_custom_field_is_upserted_and_tells_no_more_than_it_must(world: World) -> None:
    world.assert_refused(
        "A20",
        {
            "taken by a hidden one": lambda w, s: s.create(Account(name="x", custom={"badge": CANARY})),
            "upserted, of a hidden one": lambda w, s: s.upsert(Account(name="x", custom={"badge": CANARY}), on="custom.badge"),
            "hidden": lambda w, s: s.upsert(Account(name="x", custom={"vip": "q"}), on="custom.vip"),
            "sealed and hidden": lambda w, s: s.upsert(Card(name="x", pin="1"), on="pin"),
            "the id": lambda w, s: s.upsert(Account(name="x"), on="id"),
            "a dunder": lambda w, s: s.upsert(Account(name="x"), on="__class__"),
        },
    )
    world.tried["A20"] += 1
    with pytest.raises(ZeroDivisionError), world.crm.session(ME) as s:
        assert s.upsert(Account(name="renamed", custom={"badge": "b"}), on="custom.badge").id == world.mine.id
        assert s.upsert(Account(name="new", custom={"badge": "far"}), on="custom.badge").custom["badge"] == "far"
        raise ZeroDivisionError
    world.handled["A20"] += 1


def test_a25_a_key_of_somebody_else_gives_nothing(world: World) -> None:
    with world.crm.session(CHIEF, idempotency_key="theirs") as s:
        doomed = s.create(Account(name=CANARY, owner="2"))
    with world.crm.session(SYSTEM) as s:
        s.delete(doomed)

    def again(w: World, s: Session, by: Actor) -> Any:
        with w.crm.session(by, idempotency_key="theirs") as own:
            return own.create(Account(name=CANARY, owner="2")).id

    world.assert_refused("A25", each("a session of", [ME, ABROAD, Actor("2 ", roles={"chief"})], again))


def test_a31_nothing_hidden_shows_on_the_newer_surfaces(world: World) -> None:
    now = world.crm.runtime.clock.now
    world.assert_harmless(
        "A31",
        {
            "history": lambda w, s: (s.history(w.mine.ref), s.history(w.deal.ref)),
            "the past": lambda w, s: (s.as_of(now()).query(Account).all(), s.as_of(now()).query(Deal).all()),
            "a view": lambda w, s: w.crm.to_json(s.view360(w.mine.ref)),
            "a view of the past": lambda w, s: w.crm.to_json(s.view360(w.mine.ref, at=now())),
            "a form": lambda w, s: s.describe(Account),
            "the fields": lambda w, s: s.custom_fields.list(),
            "a preview": lambda w, s: s.use(Marketing).preview("account", to_json(F("name") == CANARY)) and CANARY,
            "a card": lambda w, s: s.use(Service).agent_card(w.mine.ref),
            "figures": lambda w, s: (s.use(Sales).forecast(), s.use(Sales).performance_by_owner(), s.use(Sales).funnel()),
            "a dry run": lambda w, s: s.crm.automation.dry_run(s, rule(condition=None)),
            "leads": lambda w, s: s.query(Lead).all(),
            "JSON": lambda w, s: w.crm.to_json(s.query(Account).all()),
        },
        journalled=True,
    )
    assert str(SALARY) in repr(world.crm.transact(SYSTEM, lambda s: s.get(Account, world.mine.id).custom)), "there is something to hide"
