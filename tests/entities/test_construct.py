"""A constructor's unknown names are typed errors, all at once, that suggest the right ones."""

from __future__ import annotations

from typing import Any

import pytest

from crm_core import Account, Address, Entity, Extension, Field, Invalid, Money, field
from crm_sales.api import Opportunity


def details(entity: type[Any], **given: Any) -> dict[str, tuple[str, str]]:
    with pytest.raises(Invalid) as raised:
        entity(**given)
    return {d.field: (d.code, d.message()) for d in raised.value.details}


def test_unknown_arguments_are_all_named_with_the_right_ones() -> None:
    found = details(Opportunity, name="100 seats", amuont=Money(1, "EUR"), amount=Money(1, "EUR"), nonsense=5, id="x")
    assert {name: code for name, (code, _) in found.items()} == {
        "amuont": "unknown_field",
        "nonsense": "unknown_field",
        "id": "read_only_field",
    }
    assert "amount" in found["amuont"][1]
    assert "Did you mean" not in found["nonsense"][1]


def test_values_of_unknown_arguments_are_not_given_away() -> None:
    with pytest.raises(Invalid) as raised:
        Account(name="Acme", secret_name="Ann Example")  # type: ignore[call-arg]  # what is tested
    assert "Ann" not in str(raised.value.problem())
    assert raised.value.details[0].entity == "Account"


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(TypeError, match="'name'"):
        Account()  # type: ignore[call-arg]  # what is tested


def test_defaults_are_the_declared_ones_and_made_anew_for_each_record() -> None:
    class Boat(Entity):
        name: Field[str]
        masts: Field[int] = field(default=2)
        crew: Field[list[Any]] = field(factory=list)

    first, second = Boat(name="a"), Boat(name="b", crew=[1])
    first.crew.append(7)
    assert (first.masts, first.crew, second.crew, Boat(name="c").crew) == (2, [7], [1], [])
    assert Account(name="x", addresses=[Address(city="Ulm")]).addresses == [Address(city="Ulm")]


def test_an_extension_says_it_too() -> None:
    class Loyalty(Extension):
        tier: Field[str] = field(default="basic")

    assert Loyalty(tier="gold").tier == "gold"
    assert details(Loyalty, teir="gold")["teir"][0] == "unknown_field"
