"""Attacks by every action, service and verb there is, as the registry lists them: hidden ids tell nothing [A01, A02, A20-A22, A25]."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import Enum
from functools import partial
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs
import pytest

from crm_core import Account, Actor, Contact, CRMError, Entity, Link, Query, Ref, Session
from crm_core.entities.meta import spec
from crm_core.errors import WrongArgument
from crm_core.hooks.commands import CommandField
from crm_core.testing import Factory, Maker, example
from crm_erp_bridge.api import ErpBridge
from crm_erp_bridge.ledger import OpState, Outbound, Parked, ParkedState
from crm_marketing.api import Consent
from crm_sales.api import Lead, Sales
from crm_service.api import BusinessCalendar, SlaPolicy
from tests.attacks.house import House
from tests.attacks.raid import ME, NOBODY, SYSTEM, World

WORLD = House
# Tags are everybody's, members and milestones are made by their modules; the others need more than a factory.
NOT_MADE = {"tag", "tagging", "automation_rule", "automation_run", "custom_field", "marketing.segment_member", "service.ticket_milestone"}
# A second factory in a tenant gives these the same unique values once more.
MADE_ONCE = {"sales.number_series", "sales.pipeline", "sales.rotation", "service.survey_invitation"}
Call = Callable[[Session], Any]


@attrs.define
class Undo(Exception):
    """Leaves a session, and nothing in it stays."""


@attrs.frozen
class Ids:
    """By entity, a record that is hidden from user 1, one of another tenant, and one of their own."""

    hidden: Mapping[Any, str]
    abroad: Mapping[Any, str]
    mine: Mapping[Any, str]


@pytest.fixture(scope="module")
def ids(world: World) -> Ids:
    with world.crm.session(Actor.system("test", tenant="other")) as s:
        s.use(Sales).setup()  # else the factory's pipeline is the only one, and no deal has a stage
    hidden, abroad = (dict(_made(world, tenant, owner)) for tenant, owner in (("main", "2"), ("other", "5")))
    return Ids(hidden, abroad, mine=dict(_made(world, "main", "1", NOT_MADE | MADE_ONCE)))


@example(BusinessCalendar)
def calendar(a: Maker) -> BusinessCalendar:
    return BusinessCalendar(name=a.session.crm.runtime.ids.new(), hours={"mon": [["09:00", "17:00"]]})


@example(SlaPolicy)
def policy(a: Maker) -> SlaPolicy:
    return SlaPolicy(name=a.session.crm.runtime.ids.new(), calendar=a.make(BusinessCalendar).ref, targets={"normal": {"resolution": 60}})


def _made(world: World, tenant: str, owner: str, without: Collection[str] = NOT_MADE) -> Iterator[tuple[Any, str]]:
    """Make a record of each entity."""
    factory = Factory(1, {BusinessCalendar: calendar, SlaPolicy: policy})
    for entity in world.crm.tables.entities:
        facts = spec(entity)
        if facts.name not in without:
            with world.crm.session(Actor.system("test", tenant=tenant)) as s:
                made = factory.make(s, entity, **({"owner": owner} if "owner" in facts.fields else {}))
            yield entity, made.id


def said(world: World, by: Actor, call: Call, ids: Iterable[str]) -> str:
    """Return all that a call tells, without ids, and undo it."""
    try:
        with world.crm.session(by) as s:
            told = repr(call(s))[:500]
            raise Undo
    except Undo:
        pass
    except CRMError as e:
        if not (400 <= e.status < 500 or isinstance(e, WrongArgument)):
            raise
        told = json.dumps(e.problem())
    for each in ids:
        told = told.replace(each, "ID")
    return told


def assert_alike(world: World, family: str, name: str, by: Actor, of: Any, call: Callable[[str, Session], Any], ids: Ids) -> None:
    """Try a call with ids of three kinds of records that are not there for its actor."""
    tried = [NOBODY, *(found[of] for found in (ids.hidden, ids.abroad) if of in found), ids.hidden[Contact if of is Account else Account]]
    first, *others = (said(world, by, partial(call, each), tried) for each in tried)
    world.tried[family] += len(others)
    assert all(other == first for other in others), (name, by, first, others)
    world.handled[family] += len(others)


def test_a01_no_action_tells_a_hidden_record_from_none(world: World, ids: Ids) -> None:
    def given(field: CommandField, of: Any, id_: str) -> Any:
        if field.spec is None:
            return {each.name: given(each, of, id_) for each in field.fields.values() if each.required}
        if field.spec.kind == "ref":
            return id_ if field.spec.target is of else ids.mine.get(field.spec.target, id_)
        if field.spec.kind == "enum":
            return next(iter(field.spec.type)).value
        plain = {"int": 1, "decimal": "1", "bool": True, "money": {"amount": "1", "currency": "EUR"}, "date": "2026-01-01", "json": {}}
        return plain.get(field.spec.kind, "x")

    def perform(action: Any, of: Any, id_: str, s: Session) -> Any:
        wanted = (f for f in action.fields.values() if f.required or (f.spec and f.spec.kind == "ref"))
        return s.perform(action.load({f.name: [value] if f.many else value for f in wanted for value in [given(f, of, id_)]}))

    for action in world.crm.registry.actions.values():
        for of in {f.spec.target for f in action.fields.values() if f.spec and f.spec.kind == "ref"}:
            for by in (ME, Actor("9")):
                assert_alike(world, "A01", action.name, by, of, partial(perform, action, of), ids)


def pointed(hint: Any) -> list[Any]:
    """Return what an annotation of a service's argument may point at."""
    if hint in (Link, Entity, Ref[Any]):
        return [Contact]
    if get_origin(hint) is Ref:
        return [get_args(hint)[0]]
    if isinstance(hint, type) and issubclass(hint, Entity):
        return [hint]
    return list(dict.fromkeys(each for part in get_args(hint) for each in pointed(part)))


def plain(hint: Any, ids: Ids) -> Any:
    """Return a value of an annotation."""
    origin, parts = get_origin(hint), get_args(hint)
    if type(None) in parts:
        return None
    if origin in (Union, UnionType):
        return plain(parts[0], ids)
    if origin is Literal:
        return parts[0]
    if hint in (Link, Entity) or origin is Ref or (isinstance(hint, type) and issubclass(hint, Entity)):
        (of,) = pointed(hint)
        return Ref(of, ids.mine.get(of, NOBODY))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return next(iter(hint))
    if isinstance(origin, type):
        return {"a": 1} if issubclass(origin, Mapping) else []
    if attrs.has(hint):
        hints = get_type_hints(hint)
        return hint(**{a.name: plain(hints[a.name], ids) for a in attrs.fields(hint) if a.default is attrs.NOTHING})
    return {str: "x", int: 1, bool: True, date: date(2026, 1, 1), datetime: datetime(2026, 1, 1, tzinfo=UTC)}.get(hint)


@attrs.frozen
class Method:
    """A method of a service, with what its arguments are."""

    service: type[Any]
    name: str
    hints: Mapping[str, Any]
    required: Sequence[str]

    def call(self, s: Session, ids: Ids, **given: Any) -> Any:
        others = {name: plain(self.hints[name], ids) for name in self.required if name not in given}
        found = getattr(s.use(self.service), self.name)(**others, **given)
        return found.all() if isinstance(found, Query) else found


def methods(world: World) -> Iterator[Method]:
    for service in world.crm.registry.services:
        for name, function in inspect.getmembers(service, inspect.isfunction):
            if not name.startswith("_"):
                taken = {n: p for n, p in inspect.signature(function).parameters.items() if n != "self"}
                hints = {n: h for n, h in get_type_hints(function).items() if n in taken}
                yield Method(service, name, hints, [n for n, p in taken.items() if p.default is inspect.Parameter.empty])


def test_a01_no_service_tells_a_hidden_record_from_none(world: World, ids: Ids) -> None:
    found = [(method, name, of) for method in methods(world) for name, hint in method.hints.items() for of in pointed(hint)]
    assert len(found) > 50
    for method, name, of in found:
        many = get_origin(method.hints[name]) in (list, Iterable, Sequence)

        def call(id_: str, s: Session, method: Method = method, name: str = name, of: Any = of, many: bool = many) -> Any:
            return method.call(s, ids, **{name: [Ref(of, id_)] if many else Ref(of, id_)})

        for by in (ME, Actor("9")):
            assert_alike(world, "A01", f"{method.service.__name__}.{method.name}", by, of, call, ids)


VERBS: dict[str, Callable[[Any, str, Session], Any]] = {
    "get": lambda e, i, s: s.get(e, i),
    "update": lambda e, i, s: s.update(e, i, {"owner": "1"}, version=7),
    "delete": lambda e, i, s: s.delete(Ref(e, i)),
    "restore": lambda e, i, s: s.restore(e, i),
    "lock": lambda e, i, s: s.lock(e, i),
    "history": lambda e, i, s: s.history(Ref(e, i)),
    "the past": lambda e, i, s: s.as_of(s.crm.runtime.clock.now()).get(e, i),
    "matching": lambda e, i, s: s.query(e).matching({"id": i}, allow=["id"]).all(),
}


def test_a01_no_verb_tells_a_hidden_record_from_none_of_any_entity(world: World, ids: Ids) -> None:
    for entity in ids.hidden:
        for name, verb in VERBS.items():
            assert_alike(world, "A01", f"{name} {spec(entity).name}", ME, entity, partial(verb, entity), ids)
        for name, field in spec(entity).fields.items():
            if field.kind == "ref" and field.target in ids.hidden:
                point = partial(lambda e, n, i, s: s.create(s.crm.from_json(e, {n: i})), entity, name)
                assert_alike(world, "A01", f"{spec(entity).name}.{name}", ME, field.target, point, ids)


def test_a02_a_letter_to_the_erp_is_moved_by_nobody_who_does_not_see_it(world: World) -> None:
    """The rights were asked for after the letter was moved; who caught the error kept the change."""
    with world.crm.session(SYSTEM) as s:
        out = s.create(Factory(3).build(s, Outbound, state=OpState.DEAD))
        parked = s.create(Factory(4).build(s, Parked, state=ParkedState.DEAD))
    tries: dict[str, Callable[[Session, Any], Any]] = {
        "replay": lambda s, letter: s.use(ErpBridge).replay(letter),
        "discard": lambda s, letter: s.use(ErpBridge).discard(letter, reason="x"),
    }
    for name, attempt in tries.items():
        for letter in (out, parked):
            world.tried["A02"] += 1
            with world.crm.session(ME) as s, pytest.raises(CRMError) as e:
                attempt(s, letter)  # the session goes on, and commits
            assert e.value.code == "not_found", name
            with world.crm.session(SYSTEM) as s:
                assert s.get(type(letter), letter.id).version == 1
            world.handled["A02"] += 1
    with world.crm.session(SYSTEM) as s:
        s.delete(out)
        s.delete(parked)


ODD = [
    "", " ", "x" * 20_000, "\x00", "a\nb", "\x1b[2J", "\ud800", "\N{RIGHT-TO-LEFT OVERRIDE}", "1e1000000", "NaN", "9" * 50,
    "' OR 1=1--", "{{7*7}}", "a" * 26 + "!", "-1" * 5_000, "\N{LATIN SMALL LIGATURE FI}", "0001-01-01T00:00:00+14:00",
]  # fmt: skip
DEEP = json.loads('{"a":' * 300 + "1" + "}" * 300)
ODDER: list[Any] = [
    *ODD, None, True, -1, 2**63, 10**30, 1.5, float("inf"), [], {}, [[]], {"a": 1}, {"a": {"b": 1}}, DEEP, [DEEP], ["x"] * 1_500,
    {str(n): n for n in range(1_500)}, {"amount": "1e400", "currency": "EUR"}, {"amount": "1", "currency": "\x00"},
]  # fmt: skip
ENDS = [datetime.min, datetime.max.replace(tzinfo=UTC)]  # noqa: DTZ901


def odd(world: World, family: str, name: str, call: Callable[[Any, Session], Any], values: Iterable[Any]) -> list[str]:
    """Try odd values, each in a session whose work is undone; return what went wrong."""

    def undone(value: Any, w: World, s: Session) -> Any:
        call(value, s)
        raise Enough

    tried = ((value, world.attempt(family, partial(undone, value), SYSTEM, True)) for value in values)
    return [f"{name} of {ascii(value)[:40]}: {problem}" for value, problem in tried if problem]


class Enough(CRMError):
    """Leaves a session without a commit."""

    status = 400


def test_a22_no_argument_of_an_action_is_more_than_refused(world: World, ids: Ids) -> None:
    wrong: list[str] = []
    for action in world.crm.registry.actions.values():
        known = {f.name: f.spec for f in action.fields.values() if f.spec and (f.required or f.spec.kind == "ref")}
        others: dict[str, Any] = {"json": {}, "bool": True, "int": 1}
        base = {n: ids.mine.get(f.target, NOBODY) if f.kind == "ref" else others.get(f.kind, "x") for n, f in known.items()}
        for name in action.fields:
            load = partial(lambda a, b, n, v, s: s.perform(a.load(b | {n: v})), action, base, name)
            wrong += odd(world, "A22", f"{action.name}.{name}", load, ODDER)
    assert wrong == []


def test_a21_no_argument_of_a_service_is_more_than_refused(world: World, ids: Ids) -> None:
    wrong: list[str] = []
    for method in methods(world):
        for name, hint in method.hints.items():
            parts = {hint, *(get_args(hint) if get_origin(hint) in (Union, UnionType) else ())}
            values = [*(ODD if str in parts else ()), *([-1, 2**63, 10**30] if int in parts else ())]
            values += ENDS if datetime in parts else [date.min, date.max] if date in parts else []
            call = partial(lambda m, n, v, s: m.call(s, ids, **{n: v}), method, name)
            wrong += odd(world, "A21", f"{method.service.__name__}.{method.name}({name})", call, values)
    assert wrong == []


def test_a20_json_of_a_field_has_the_shape_that_is_declared(world: World) -> None:
    attempts: list[tuple[Any, str, Any]] = [
        (Lead, "utm", " "), (Lead, "utm", []), (Lead, "utm", {"a": 1}), (Lead, "utm", {"a": {"b": "c"}}), (Consent, "evidence", [1]),
    ]  # fmt: skip
    for entity, name, value in attempts:
        world.tried["A20"] += 1
        with world.crm.session(SYSTEM) as s, pytest.raises(CRMError) as e:
            s.create(s.crm.from_json(entity, {name: value}))
        assert any(d.field == name and d.code == "wrong_type" for d in e.value.details), (entity, value)
        world.handled["A20"] += 1
