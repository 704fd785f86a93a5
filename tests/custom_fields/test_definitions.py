"""[C76] What may be said of a custom field, how it changes, and how it goes and comes back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, Conflict, Contact, CRMError, CustomField, CustomKind, Denied, Invalid, NotFound, Role, custom
from crm_core.custom_fields.patterns import is_quick

ADMIN = Actor.system("setup", tenant="acme")


@pytest.fixture
def crm(make_crm: Any) -> CRM:
    manager = Role("manager").allow(CustomField, "read", "create", "update", "delete").allow(Account, "read", "create", "update")
    return make_crm(roles=[manager, Role("rep").allow(Account, "read", "create", "update")])  # type: ignore[no-any-return]  # a factory


def codes(error: CRMError) -> list[tuple[str, str]]:
    return [(d.field.removeprefix("custom."), d.code) for d in error.details]


WRONG: Mapping[str, tuple[Mapping[str, Any], list[tuple[str, str]]]] = {
    "a capital letter": ({"name": "Region"}, [("name", "custom_name")]),
    "a name that is too long": ({"name": "x" * 41}, [("name", "too_long")]),
    "a kind that is none": ({"kind": "blob"}, []),
    "a choice without options": ({"kind": "choice"}, [("options", "custom_options")]),
    "an option twice": ({"kind": "choice", "options": ["a", "b", "a"]}, [("options", "custom_options")]),
    "options of a text": ({"options": ["a"]}, [("options", "custom_options")]),
    "a reference to nothing": ({"kind": "reference"}, [("target", "custom_target")]),
    "a target of a text": ({"target": Contact}, [("target", "custom_target")]),
    "a bound of a text": ({"min": 3}, [("least", "custom_bound")]),
    "a bound that is no number": ({"kind": "integer", "min": "x"}, [("least", "custom_bound")]),
    "bounds in the wrong order": ({"kind": "integer", "min": 3, "max": 2}, [("most", "custom_bound")]),
    "a pattern that is none": ({"pattern": "("}, [("pattern", "custom_pattern")]),
    "a pattern that takes for ever": ({"pattern": "(a+)+$"}, [("pattern", "custom_pattern")]),
    "a pattern of numbers": ({"kind": "integer", "pattern": "[0-9]"}, [("pattern", "custom_pattern")]),
    "a label in two lines": ({"label": "a\nb"}, [("label", "custom_label")]),
    "a classification that is none": ({"classified": "sensitive"}, [("classified", "bad_enum")]),
    "roles that are no names": ({"readers": [3]}, [("readers", "custom_roles")]),
    "a role that nobody has heard of": ({"writers": ["nobody"]}, [("writers", "custom_role_unknown")]),
    "a length beyond the index": ({"length": 501}, [("length", "out_of_range")]),
}


def test_what_does_not_fit_is_refused_and_named_in_both_languages(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        for said, (given, expected) in WRONG.items():
            with pytest.raises(Invalid) as wrong:
                s.custom_fields.add(Account, **{"name": "region", **given})
            assert codes(wrong.value) == expected, said
            assert wrong.value.message("zh", crm.messages) != wrong.value.message("en", crm.messages)


VALUES: Mapping[str, tuple[Mapping[str, Any], Any, Any, list[Any]]] = {
    "text": ({"length": 5, "pattern": "[A-Z]+"}, "EU", "EU", ["eu", "TOOLONG", 3, "A\nB"]),
    "integer": ({"min": 1, "max": 9}, 3, 3, [0, 10, "3", True]),
    "decimal": ({"scale": 2, "max": 10}, "1.25", Decimal("1.25"), ["1.255", 11, "x", 1.5]),
    "boolean": ({}, True, True, [1, "true"]),
    "date": ({"min": date(2020, 1, 1)}, "2026-01-02", date(2026, 1, 2), ["2019-12-31", "tomorrow"]),
    "instant": ({}, "2026-01-02T03:04:05+00:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), ["2026-01-02T03:04:05", 5]),
    "choice": ({"options": {"gold": {"en": "Gold", "zh": "金"}, "tin": ""}}, "gold", "gold", ["silver", 3]),
    "url": ({}, "https://example.com/a?b=c", "https://example.com/a?b=c", ["example.com", "javascript:alert(1)"]),
    "email": ({}, "ann@example.com", "ann@example.com", ["ann", "a b@example.com"]),
}


def test_a_value_of_each_kind_is_kept_and_a_wrong_one_refused(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        for kind, (options, given, kept, wrong) in VALUES.items():
            name = f"a_{kind}"
            s.custom_fields.add(Account, name, kind=kind, **options)
            made = s.create(Account(name="A", custom={name: given}))
            assert made.custom[name] == kept
            assert s.get(Account, made.id).custom[name] == kept
            assert s.query(Account).where(custom(name) == kept).count() == 1
            assert s.update(Account, made.id, {f"custom.{name}": given}).version == 1
            for value in wrong:
                with pytest.raises(Invalid) as refused:
                    s.create(Account(name="B", custom={name: value}))
                assert [d.field for d in refused.value.details] == [f"custom.{name}"], value


def test_a_reference_points_at_what_is_there(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "partner", kind="reference", target=Account)
        partner = s.create(Account(name="P"))
        made = s.create(Account(name="A", custom={"partner": partner.ref}))
        assert s.get(Account, made.id).custom["partner"] == partner.ref
        assert s.query(Account).where(custom("partner") == partner.id).one() == made
        with pytest.raises(Invalid) as bad:
            s.create(Account(name="B", custom={"partner": "01890000-0000-7000-8000-000000000000"}))
        assert codes(bad.value) == [("partner", "bad_ref")]
        s.delete(partner)
        assert s.get(Account, made.id).custom["partner"] is None


def test_a_required_field_is_asked_of_new_records_alone(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        old = s.create(Account(name="Old"))
        s.custom_fields.add(Account, "region", required=True)
        with pytest.raises(Invalid) as missing:
            s.create(Account(name="New"))
        assert codes(missing.value) == [("region", "required")]
        assert s.update(Account, old.id, {"name": "Still"}).custom == {"region": None}
        s.create(Account(name="New", custom={"region": "EU"}))


def test_a_field_changes_what_it_demands_but_not_what_it_is(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "tier", kind="choice", options=["gold"])
        s.custom_fields.change(Account, "tier", label={"en": "Tier", "zh": "等级"}, options=["gold", "tin"])
        s.create(Account(name="A", custom={"tier": "tin"}))
        for name, value in {"kind": CustomKind.TEXT, "name": "grade", "entity": "contact"}.items():
            with pytest.raises(Invalid) as fixed:
                s.custom_fields.change(Account, "tier", **{name: value})
            assert (name, "custom_fixed") in codes(fixed.value)
        with pytest.raises(Conflict):
            s.custom_fields.add(Account, "tier")


def test_a_field_becomes_unique_only_while_no_two_records_share_a_value(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "code", kind="integer")
        one, two = (s.create(Account(name=n, custom={"code": 7})) for n in "ab")
        with pytest.raises(Invalid) as shared:
            s.custom_fields.change(Account, "code", unique=True)
        assert codes(shared.value) == [("unique", "custom_not_unique")]
        s.delete(two)
        s.custom_fields.change(Account, "code", unique=True)
        with pytest.raises(Conflict):
            s.create(Account(name="c", custom={"code": 7}))
        s.custom_fields.change(Account, "code", unique=False)
        s.restore(Account, two.id)
        assert s.query(Account).where(custom("code") == 7).count() == 2
        assert one.custom["code"] == 7


def test_a_retired_field_is_unknown_and_comes_back_with_its_values(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "region")
        made = s.create(Account(name="A", custom={"region": "EU"}))
        s.custom_fields.retire(Account, "region")
        assert s.get(Account, made.id).custom == {}
        with pytest.raises(Invalid):
            s.update(Account, made.id, {"custom.region": "US"})
        with pytest.raises(Invalid):
            s.query(Account).where(custom("region") == "EU")
        s.custom_fields.restore(Account, "region")
        assert s.get(Account, made.id).custom == {"region": "EU"}


def test_a_field_is_deleted_with_its_data_on_purpose_and_history_keeps_it(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        s.custom_fields.add(Account, "region")
        made = s.create(Account(name="A", custom={"region": "EU"}))
        with pytest.raises(Conflict, match="1 records"):
            s.custom_fields.delete(Account, "region")
        assert s.custom_fields.delete(Account, "region", with_data=True) == 1
        assert (s.get(Account, made.id).version, s.get(Account, made.id).custom) == (2, {})
        with pytest.raises(NotFound):
            s.custom_fields.get(Account, "region")
        s.custom_fields.add(Account, "region")
        assert s.get(Account, made.id).custom == {"region": None}


def test_an_entity_has_a_hundred_fields_at_most(crm: CRM) -> None:
    with crm.session(ADMIN) as s:
        many = [CustomField(entity="account", name=f"f{n}", kind=CustomKind.TEXT) for n in range(100)]
        s.create_many(many)
        with pytest.raises(Invalid, match="100 custom fields"):
            s.custom_fields.add(Account, "one_more")
        s.custom_fields.add(Contact, "one_more")


def test_who_has_no_right_to_definitions_adds_none(crm: CRM) -> None:
    with crm.session(Actor("7", tenant="acme", roles={"rep"})) as s, pytest.raises(Denied):
        s.custom_fields.add(Account, "region")
    with crm.session(Actor("8", tenant="acme", roles={"manager"})) as s:
        s.custom_fields.add(Account, "region")
        assert [f.name for f in s.custom_fields.list(Account)] == ["region"]


@pytest.mark.parametrize("pattern", ["[A-Z]{2}", r"\d+-\d+", "(EU|US)-[0-9]{3}", "a?b?c*"])
def test_a_pattern_that_no_text_keeps_busy_is_taken(pattern: str) -> None:
    assert is_quick(pattern)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*", r"(a)\1", "(?=a)b", ".*.*.*x", "a?" * 30 + "a" * 30, "(a{1,9}){1,9}", "["])
def test_a_pattern_that_could_is_not(pattern: str) -> None:
    assert not is_quick(pattern)
