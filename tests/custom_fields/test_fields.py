"""[C76] Custom fields: added while the application runs, and then fields like all others."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, Conflict, CRMError, Invalid, custom

ADMIN = Actor.system("setup", tenant="acme")


@pytest.fixture
def crm(make_crm: Any) -> CRM:
    return make_crm()  # type: ignore[no-any-return]  # a factory


def codes(error: CRMError) -> list[tuple[str, str]]:
    return [(d.field, d.code) for d in error.details]


def test_a_field_that_was_just_added_is_written_read_found_and_sorted_by(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "region_code", kind="text", label="Region", unique=True)
        s.custom_fields.add(Account, "weight", kind="decimal", scale=2)
        acme = s.create(Account(name="Acme", custom={"region_code": "EU", "weight": "12.5"}))
        s.create(Account(name="Bolt", custom={"region_code": "AS"}))
        s.create(Account(name="Cord"))
        assert acme.custom == {"region_code": "EU", "weight": Decimal("12.5")}
    with crm.session(ADMIN) as s:
        assert s.get(Account, acme.id).custom["region_code"] == "EU"
        assert [a.name for a in s.query(Account).where(custom("region_code") == "EU").all()] == ["Acme"]
        assert [a.name for a in s.query(Account).order_by(custom("region_code")).all()] == ["Bolt", "Acme", "Cord"]
        assert [a.name for a in s.query(Account).order_by(custom("region_code").desc()).all()] == ["Acme", "Bolt", "Cord"]
        changed = s.update(Account, acme.id, {"custom.region_code": "US", "custom": {"weight": None}}, version=1)
        assert (changed.version, changed.custom) == (2, {"region_code": "US", "weight": None})
        changed.custom["region_code"] = "CA"
        assert s.save(changed).version == 3
        assert s.get(Account, acme.id).custom == {"region_code": "CA", "weight": None}


def test_a_unique_value_is_taken_once_and_free_again_behind_a_deleted_record(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "code", unique=True)
        first = s.create(Account(name="A", custom={"code": "1"}))
        with pytest.raises(Conflict) as taken:
            s.create(Account(name="B", custom={"code": "1"}))
        assert codes(taken.value) == [("custom.code", "not_unique")]
        s.delete(first)
        second = s.create(Account(name="B", custom={"code": "1"}))
        with pytest.raises(Conflict):
            s.restore(Account, first.id)
        s.update(Account, second.id, {"custom.code": "2"})
        assert s.restore(Account, first.id).custom["code"] == "1"


def test_another_tenant_does_not_see_that_a_field_exists(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "code")
    with crm.session(Actor.system("setup", tenant="other")) as s:
        for name in ("code", "nothing"):
            with pytest.raises(Invalid) as unknown:
                s.create(Account(name="A", custom={name: "1"}))
            assert codes(unknown.value) == [(f"custom.{name}", "unknown_field")]
            with pytest.raises(Invalid, match="does not exist"):
                s.query(Account).where(custom(name) == "1")
        assert s.create(Account(name="A")).custom == {}
