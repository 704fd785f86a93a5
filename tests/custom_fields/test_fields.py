"""[C76] Custom fields: added while the application runs, and then fields like all others."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, Conflict, CRMError, Invalid, Money, custom

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


def test_amounts_of_a_field_are_exact_in_its_currency_and_compare_sort_and_page(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "budget", kind="money", currency="EUR", scale=2, unique=True)
        large = s.create(Account(name="Large", custom={"budget": Money("12345678901234.56", "EUR")}))
        s.create(Account(name="Small", custom={"budget": {"amount": "7", "currency": "EUR"}}))
        s.create(Account(name="None"))
        wrong = {
            "custom_currency": Money(1, "USD"),
            "too_precise": Money("1.234", "EUR"),
            "wrong_type": "12",
            "not_unique": Money(7, "EUR"),
        }
        for code, value in wrong.items():
            with pytest.raises(CRMError) as refused:
                s.create(Account(name="Wrong", custom={"budget": value}))
            assert codes(refused.value) == [("custom.budget", code)]
    with crm.session(ADMIN) as s:
        assert s.get(Account, large.id).custom["budget"] == Money("12345678901234.56", "EUR")
        assert crm.to_json(large)["custom"]["budget"] == {"amount": "12345678901234.56", "currency": "EUR"}
        assert [a.name for a in s.query(Account).where(custom("budget") > Money("7.00", "EUR")).all()] == ["Large"]
        assert [a.name for a in s.query(Account).matching({"custom.budget__lte": "EUR:7"}, allow=["custom.budget"]).all()] == ["Small"]
        first = s.query(Account).matching({"sort": "-custom.budget"}, allow=["custom.budget"]).page(1)
        after = s.query(Account).matching({"sort": "-custom.budget"}, allow=["custom.budget"]).page(2, after=first.next)
        assert [a.name for a in (*first, *after)] == ["Large", "Small", "None"]
        budget = s.custom_fields.column(Account, "budget")
        for asked in (lambda: custom("budget") > Money(1, "USD"), lambda: budget == Money(1, "USD")):
            with pytest.raises(Invalid):
                s.query(Account).where(asked()).all()


def test_a_field_for_amounts_names_its_currency_and_no_other_does(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        for options, code in (
            ({"kind": "money"}, "custom_money"),
            ({"kind": "decimal", "currency": "EUR"}, "custom_money"),
            ({"kind": "money", "currency": "EURO"}, "bad_currency"),
        ):
            with pytest.raises(Invalid) as refused:
                s.custom_fields.add(Account, "budget", **options)  # type: ignore[arg-type]  # of several types
            assert codes(refused.value) == [("currency", code)]
