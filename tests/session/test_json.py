"""Records as plain JSON, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crm_core import CRM, Account, AccountKind, Actor, Address, Email, Entity, Extension, Field, Invalid, LoadError, Plugin, field

SYSTEM = Actor.system("test", tenant="main")
SYSTEM_FIELDS = {"id", "version", "created_at", "created_by", "updated_at", "updated_by", "deleted_at"}
plugin = Plugin("acme", version="1")


@plugin.extend(Account)
class Loyalty(Extension):
    tier: Field[str] = field(default="basic")


@pytest.fixture
def crm(make_crm: Any) -> CRM:
    found: CRM = make_crm(plugins=[plugin])
    return found


def test_a_record_goes_to_json_and_back_without_loss(crm: CRM) -> None:
    account = Account(name="Acme", kind=AccountKind.PERSON, emails=[Email("a@x.de")], addresses=[Address(street="Am Weg 1", city="Ulm")])
    account[Loyalty].tier = "gold"
    with crm.session(SYSTEM) as s:
        stored = s.create(account)
        body = json.loads(json.dumps(crm.to_json(stored)))
        again = s.create(crm.from_json(Account, {n: v for n, v in body.items() if n not in SYSTEM_FIELDS}))
        assert {n: v for n, v in crm.to_json(again).items() if n not in SYSTEM_FIELDS} == {
            n: v for n, v in body.items() if n not in SYSTEM_FIELDS
        }
        assert again[Loyalty].tier == "gold"


def test_all_that_is_wrong_with_a_body_is_said_at_once(crm: CRM) -> None:
    with pytest.raises(Invalid) as raised:
        crm.from_json(Account, {"kind": "robot", "id": "x", "nonsense": 1})
    assert {(d.field, d.code) for d in raised.value.details} == {
        ("kind", "bad_enum"),
        ("id", "read_only_field"),
        ("nonsense", "unknown_field"),
        ("name", "required"),
    }


@pytest.mark.parametrize("body", [[], "x", None, 5])
def test_a_body_that_is_no_object_is_refused(crm: CRM, body: Any) -> None:
    with pytest.raises(Invalid) as raised:
        crm.from_json(Account, body)
    assert [d.code for d in raised.value.details] == ["wrong_type"]


def test_an_entity_of_no_plugin_is_named(crm: CRM) -> None:
    class Stray(Entity):
        name: Field[str]

    with pytest.raises(LoadError, match="Stray") as raised:
        crm.from_json(Stray, {"name": "x"})
    assert raised.value.code == "entity_not_loaded"
