"""Signatures, defaults and fields as one line of text each."""

from __future__ import annotations

import enum
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from crm_core import Account, Contact, Entity, Field, ListField, Money, MoneyField, Ref, field
from crm_core.contracts.texts import call_text, field_text, value_text
from crm_core.entities.customer import ExchangeRate
from crm_core.entities.meta import spec
from crm_core.entities.values import Email


class Tier(enum.Enum):
    GOLD = "gold"
    BASIC = "basic"


class Everything(Entity):
    name: Field[str]
    body: Field[str | None] = field(default=None, text=True)
    amount: MoneyField = field(factory=lambda: Money(0, "EUR"))
    rate: Field[Decimal] = field(scale=9, min=Decimal(0), max=Decimal(1))
    tier: Field[Tier] = field(default=Tier.BASIC)
    account: Field[Ref[Account] | None] = field(default=None)
    emails: ListField[Email] = field(factory=list, pii=True)
    facts: Field[dict[str, Any]] = field(factory=dict)
    code: Field[str] = field(length=20, unique=True, read_only=True)
    currency: Field[str] = field(length=3, format="currency", default="EUR")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("name", "str(255)"),
        ("body", "text(1000000) | None = None"),
        ("amount", "money = ..."),
        ("rate", "decimal(9), min 0, max 1"),
        ("tier", '"gold" | "basic" = "basic"'),
        ("account", "Ref[account] | None = None"),
        ("emails", "list[Email], personal = ..."),
        ("facts", "json = ..."),
        ("code", "str(20), unique, read only"),
        ("currency", "str(3), currency = 'EUR'"),
    ],
)
def test_a_field_says_what_it_takes_and_whether_it_is_needed(name: str, said: str) -> None:
    assert field_text(spec(Everything).fields[name]) == said


def test_the_same_for_what_the_core_has() -> None:
    assert field_text(spec(Contact).fields["name"]) == "str(255), personal"
    assert field_text(spec(ExchangeRate).fields["rate"]) == "decimal(9), min 1E-9"


class Shop:
    def sell(self, what: str, *more: int, tier: Tier = Tier.GOLD, **rest: Any) -> list[str]: ...  # type: ignore[empty-body]
    def hidden(self, one: int, /, two: int = 2) -> None: ...
    def named(self, *, only: dict[str, int] = {}) -> None: ...  # noqa: B006  # how a default is written
    def last(self, one: int, /) -> None: ...
    def untyped(self, one, two=None): ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (Shop.sell, "(what: str, *more: int, tier: Tier = Tier.GOLD, **rest: Any) -> list[str]"),
        (Shop.hidden, "(one: int, /, two: int = 2) -> None"),
        (Shop.named, "(*, only: dict[str, int] = {}) -> None"),
        (Shop.last, "(one: int, /) -> None"),
        (Shop.untyped, "(one, two = None)"),
    ],
)
def test_a_call_is_written_as_its_author_wrote_it(call: Callable[..., Any], said: str) -> None:
    assert call_text(call) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(Decimal("0.01"), "Decimal('0.01')"), ([], "[]"), ([1], "..."), (object(), "..."), (len, "..."), (Tier, "Tier"), (None, "None")],
)
def test_a_default_that_no_text_says_is_three_dots(value: object, said: str) -> None:
    assert value_text(value) == said
