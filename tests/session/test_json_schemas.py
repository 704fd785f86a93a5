"""A JSON Schema per entity: one that is valid, that what ``to_json`` writes fits, and that what ``from_json`` refuses does not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from typing import Any, cast

import pytest

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_core import CRM, Account, Actor, Address, Contact, Email, Invalid, Money, Session, Tagging
from crm_core.entities.activity import Link, Participant
from crm_core.entities.fields import FieldSpec
from crm_core.entities.meta import spec
from crm_core.entities.values import Phone
from crm_marketing.api import Marketing, Segment, SegmentKind, SegmentMember
from tests.session.json_schemas import check_schema, wrong

MODULES = [crm_analytics.plugin, crm_erp_bridge.plugin, crm_marketing.plugin, crm_sales.plugin, crm_service.plugin]
SYSTEM = Actor.system("test", tenant="main")
DAY = date(2026, 1, 2)
_declared = CRM("sqlite://", plugins=MODULES)
ENTITIES = {spec(e).name: e for e in _declared.registry.entities}
# What a module's own rules ask of its records, beyond their types.
ASKED: Mapping[str, Mapping[str, Any]] = {
    "automation_rule": {"entity": "account", "actions": [{"set": {"industry": "steel"}}]},
    "custom_field": {"entity": "account"},
    "sales.quote_line": {"price": Money("2.50", "EUR")},
    "service.business_calendar": {"hours": {"mon": [["09:00", "17:00"]]}},
    "service.sla_policy": {"targets": {"normal": {"resolution": 60}}, "milestones": ["on_site"]},
    "service.ticket_milestone": {"name": "on_site"},
    "marketing.segment": {"kind": SegmentKind.STATIC},
    "marketing.consent": {"evidence": {"form": "https://example.com"}},
}
PERSONS = {"marketing.campaign_member", "marketing.consent", "marketing.touch"}
ITEMS = {
    "Email": Email("ann@example.com"),
    "Phone": Phone("+49 731 5022 0"),
    "Address": Address(street="Am Weg 1", city="Ulm", country="DE"),
    "Participant": Participant("ann@example.com", "Ann", "to"),
    "Link": Link("account", "01890000-0000-7000-8000-000000000000"),
}


class Maker:
    """Makes a sound record of any entity through a session, with all that it points at."""

    def __init__(self, session: Session, numbers: Iterator[int]) -> None:
        self._session = session
        self._numbers = numbers

    def make(self, entity: type[Any]) -> Any:
        name = spec(entity).name
        if entity is SegmentMember:
            return self._member()
        fields = self._session.crm.codec(entity).fields
        values = {n: self._value(f) for n, f in fields.items() if f.required and not f.system}
        if name in PERSONS:
            values["contact"] = self._value(fields["contact"])
        if entity is Tagging:
            values |= {"entity": "account", "record": self.make(Account).id}
        return self._session.create(entity(**{**values, **ASKED.get(name, {})}))

    def _member(self) -> SegmentMember:
        """The module alone writes who is in a segment."""
        self._session.use(Marketing).add(self.make(Segment), [self.make(Contact)])
        return self._session.query(SegmentMember).one()

    def _value(self, field: FieldSpec) -> Any:
        match field.kind:
            case "str" | "text":
                return "EUR" if field.options.format else f"x{next(self._numbers)}"
            case "int":
                return int(field.options.min or 1)
            case "ref":
                return self.make(cast("type[Any]", field.target)).ref
            case "enum":
                return next(iter(field.type))
            case "list":
                return [ITEMS[field.type.__name__]]
        return {
            "decimal": Decimal("1.25"),
            "money": Money("12.50", "EUR"),
            "bool": True,
            "date": DAY,
            "datetime": datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
            "json": {"a": [1, None, "x"]},
        }[field.kind]


@pytest.mark.parametrize("name", ENTITIES)
def test_a_json_schema_is_one_and_says_what_from_json_takes(name: str) -> None:
    entity = ENTITIES[name]
    schema = _declared.json_schema(entity)
    check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    fields = _declared.codec(entity).fields
    assert set(schema["properties"]) == {*fields} - {"tenant"}
    assert set(schema["required"]) == {n for n, f in fields.items() if f.required}
    assert {n for n, p in schema["properties"].items() if p.get("readOnly")} == {n for n, f in fields.items() if f.system} - {"tenant"}
    assert [n for n, f in fields.items() if f.target and _inner(schema, n).get("x-entity") != spec(f.target).name] == []


@pytest.mark.parametrize("name", ENTITIES)
def test_what_from_json_refuses_does_not_fit_the_schema(name: str) -> None:
    entity = ENTITIES[name]
    schema = _declared.json_schema(entity)
    assert list(wrong(schema, [])) != []
    assert list(wrong(schema, {"nonsense": 1})) != []
    tried = 0
    for field in (f for f in _declared.codec(entity).fields.values() if not f.system):
        for value in _wrong_values(field):
            with pytest.raises(Invalid) as raised:
                _declared.from_json(entity, {field.column: value})
            assert field.name in {d.field for d in raised.value.details}, (field.column, value)
            assert list(wrong(schema["properties"][field.column], value)) != [], (field.column, value)
            tried += 1
    assert tried > 0


def _inner(schema: Mapping[str, Any], name: str) -> Any:
    found = schema["properties"][name]
    return found["anyOf"][0] if "anyOf" in found else found


def _wrong_values(field: FieldSpec) -> Iterator[Any]:
    if not field.nullable:
        yield None
    if field.kind != "json":
        yield {"a": 1}
    match field.kind:
        case "str" | "text":
            yield from (5, "x" * ((field.length or 255) + 1))
        case "enum":
            yield from ("nonsense", 99)
        case "int":
            yield from ("5", 1.5, True)
            yield from (int(bound) + step for bound, step in ((field.options.min, -1), (field.options.max, 1)) if bound is not None)
        case "list":
            yield from ("x", [5], [{"nonsense": 1}])
        case "money":
            yield from ({"amount": "1"}, {"amount": "x", "currency": "EUR"}, {"amount": "1", "currency": "euro"})
        case "bool":
            yield from (1, "true")
        case "decimal" | "ref" | "date" | "datetime":
            yield from ("x", 5.5)


def test_what_to_json_writes_of_a_real_record_of_each_entity_fits_its_schema(make_crm: Any) -> None:
    crm = make_crm(plugins=MODULES)
    numbers = count(1)
    # A deal is made in the pipeline that is there by default, as long as there is no other.
    for name in sorted(ENTITIES, key=lambda name: name != "sales.opportunity"):
        with crm.session(SYSTEM) as s:
            record = Maker(s, numbers).make(ENTITIES[name])
        with crm.session(SYSTEM, write=False) as s:
            stored = s.get(ENTITIES[name], record.id)
        body = json.loads(json.dumps(crm.to_json(stored)))
        schema = crm.json_schema(ENTITIES[name])
        assert list(wrong(schema, body)) == [], name
        assert set(body) == set(schema["properties"]), name
        for field in schema["required"]:
            assert list(wrong(schema, {n: v for n, v in body.items() if n != field})) == [f"$.{field}: missing"]
