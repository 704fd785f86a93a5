"""Settings are read strictly from plain JSON, written back without loss, and every wrong key is named."""

from __future__ import annotations

import enum
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.entities.money import Money
from crm_core.errors import Invalid, LoadError
from crm_core.settings import dump, load, plain_converter


class Tier(enum.Enum):
    GOLD = "gold"
    SILVER = "silver"


@attrs.define
class Level:
    name: str
    points: Decimal = Decimal(1)


@attrs.define
class Settings:
    retries: int = attrs.field(default=3, validator=attrs.validators.ge(0))
    share: float = 0.5
    active: bool = True
    rate: Decimal = Decimal("0.01")
    fee: Money = attrs.field(factory=lambda: Money("5", "EUR"))
    blocked: list[str] = attrs.Factory(list)
    levels: list[Level] = attrs.Factory(list)
    by_region: dict[str, Level] = attrs.Factory(dict)
    tags: frozenset[str] = frozenset()
    steps: tuple[int, ...] = ()
    pair: tuple[int, str] | None = None
    tier: Tier = Tier.GOLD
    mode: Literal["fast", "safe"] = "safe"
    since: date = date(2026, 1, 1)
    opens: time | None = None
    at: datetime | None = None
    best: Level | None = None
    extra: Any = None


FULL: dict[str, Any] = {
    "retries": 5,
    "share": 0.25,
    "active": False,
    "rate": "0.0250",
    "fee": {"amount": "12.00", "currency": "EUR"},
    "blocked": ["a", "b"],
    "levels": [{"name": "x", "points": "2"}],
    "by_region": {"emea": {"name": "y", "points": "3.5"}},
    "tags": ["a", "b"],
    "steps": [1, 2],
    "pair": [1, "x"],
    "tier": "silver",
    "mode": "fast",
    "since": "2026-02-28",
    "opens": "09:00:00",
    "at": "2026-01-01T02:00:00+00:00",
    "best": {"name": "z", "points": "1"},
    "extra": {"any": [1, None]},
}


def problems(data: object) -> list[tuple[str, str, str]]:
    with pytest.raises(Invalid) as error:
        load(Settings, data)
    assert error.value.code == "settings_invalid"
    return [(d.field, d.code, d.value) for d in error.value.details]


def test_keys_that_are_not_given_take_their_defaults() -> None:
    assert load(Settings, {}) == Settings()


def test_every_supported_type_is_read() -> None:
    read = load(Settings, FULL)
    assert read == Settings(
        retries=5,
        share=0.25,
        active=False,
        rate=Decimal("0.025"),
        fee=Money("12", "EUR"),
        blocked=["a", "b"],
        levels=[Level("x", Decimal(2))],
        by_region={"emea": Level("y", Decimal("3.5"))},
        tags=frozenset({"a", "b"}),
        steps=(1, 2),
        pair=(1, "x"),
        tier=Tier.SILVER,
        mode="fast",
        since=date(2026, 2, 28),
        opens=time(9),
        at=datetime(2026, 1, 1, 2, tzinfo=UTC),
        best=Level("z"),
        extra={"any": [1, None]},
    )


def test_settings_go_to_json_and_back_without_loss() -> None:
    assert dump(load(Settings, FULL)) == FULL
    assert json.loads(json.dumps(dump(load(Settings, FULL)))) == FULL


def test_values_that_are_typed_already_are_taken_as_they_are() -> None:
    given = Settings(best=Level("z"), fee=Money("1", "JPY"), since=date(2026, 5, 5), tier=Tier.SILVER)
    assert load(Settings, {name: getattr(given, name) for name in ("best", "fee", "since", "tier", "rate")}) == given


@given(
    st.builds(
        Settings,
        retries=st.integers(0, 10**6),
        rate=st.decimals(-1000, 1000, places=6),
        blocked=st.lists(st.text(max_size=10), max_size=3),
        tags=st.frozensets(st.text(max_size=5), max_size=3),
        levels=st.lists(st.builds(Level, name=st.text(max_size=5), points=st.decimals(0, 9, places=2)), max_size=3),
        at=st.none() | st.datetimes(timezones=st.just(UTC)),
        since=st.dates(),
    )
)
def test_any_settings_survive_a_round_trip(settings: Settings) -> None:
    assert load(Settings, json.loads(json.dumps(dump(settings)))) == settings


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"retries": "5"}, ("retries", "wrong_type", "str(1)")),
        ({"retries": 5.0}, ("retries", "wrong_type", "5.0")),
        ({"retries": True}, ("retries", "wrong_type", "True")),
        ({"retries": None}, ("retries", "wrong_type", "None")),
        ({"retries": -4}, ("retries", "bad_value", "-4")),
        ({"active": 1}, ("active", "wrong_type", "1")),
        ({"share": "0.5"}, ("share", "wrong_type", "str(3)")),
        ({"rate": 0.5}, ("rate", "wrong_type", "0.5")),
        ({"rate": "NaN"}, ("rate", "not_finite", "str(3)")),
        ({"rate": "1e1000000"}, ("rate", "too_big", "str(9)")),
        ({"rate": "x" * 50_000_000}, ("rate", "too_long", "str(50000000)")),
        ({"fee": "12 EUR"}, ("fee", "bad_money", "str(6)")),
        ({"fee": {"amount": "1", "currency": "EUT"}}, ("fee", "bad_currency", "dict(2)")),
        ({"fee": {"amount": 0.1, "currency": "EUR"}}, ("fee", "bad_money", "dict(2)")),
        ({"blocked": "abc"}, ("blocked", "wrong_type", "str(3)")),
        ({"blocked": ["a", 2]}, ("blocked[1]", "wrong_type", "2")),
        ({"tags": "abc"}, ("tags", "wrong_type", "str(3)")),
        ({"steps": {"a": 1}}, ("steps", "wrong_type", "dict(1)")),
        ({"tier": "gld"}, ("tier", "bad_enum", "str(3)")),
        ({"mode": "slow"}, ("mode", "bad_enum", "str(4)")),
        ({"since": "yesterday"}, ("since", "wrong_type", "str(9)")),
        ({"at": "2026-01-01T00:00:00"}, ("at", "naive_datetime", "str(19)")),
        ({"best": 5}, ("best", "wrong_type", "5")),
        ({"best": {}}, ("best.name", "required", "")),
        ({"levels": [{"name": "a"}, {"name": "b", "points": []}]}, ("levels[1].points", "wrong_type", "list(0)")),
        ({"levels": [3]}, ("levels[0]", "wrong_type", "3")),
        ({"by_region": {"emea": {"name": 1}}}, ("by_region[emea].name", "wrong_type", "1")),
        ({"by_region": []}, ("by_region", "wrong_type", "list(0)")),
        ({"retrys": 1}, ("retrys", "unknown_field", "1")),
        ({"best": {"name": "x", "point": "1"}}, ("best.point", "unknown_field", "str(1)")),
        ([], ("", "wrong_type", "list(0)")),
        ("text", ("", "wrong_type", "str(4)")),
        (None, ("", "wrong_type", "None")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_setting_is_named_by_its_path_with_its_value_redacted(data: object, problem: tuple[str, str, str]) -> None:
    assert problems(data) == [problem]


def test_all_wrong_settings_are_named_at_once() -> None:
    found = problems({"retries": "5", "blocked": [1, "a", 2], "nonsense": True})
    assert sorted(found) == [
        ("blocked[0]", "wrong_type", "1"),
        ("blocked[2]", "wrong_type", "2"),
        ("nonsense", "unknown_field", "True"),
        ("retries", "wrong_type", "str(1)"),
    ]


def test_an_unknown_key_comes_with_the_one_that_was_probably_meant() -> None:
    with pytest.raises(Invalid) as error:
        load(Settings, {"retrys": 1})
    assert "Did you mean retries?" in str(error.value)


def test_a_wrong_choice_comes_with_the_one_that_was_probably_meant() -> None:
    with pytest.raises(Invalid) as error:
        load(Settings, {"tier": "gld"})
    assert "not one of gold, silver. Did you mean gold?" in str(error.value)


def test_no_error_shows_what_was_given_as_text() -> None:
    for data in ({"retries": "hunter2"}, {"rate": "hunter2"}, {"mode": "hunter2"}, {"since": "hunter2"}, {"blocked": "hunter2"}):
        with pytest.raises(Invalid) as error:
            load(Settings, data)
        assert "hunter2" not in str(error.value)
        assert "hunter2" not in json.dumps(error.value.problem())


@attrs.define
class Guarded:
    secret: str = attrs.field(default="x" * 8, validator=attrs.validators.matches_re("x+"))


def test_a_validator_of_the_class_is_named_without_the_value_it_quotes() -> None:
    with pytest.raises(Invalid) as error:
        load(Guarded, {"secret": "hunter2"})
    assert [(d.field, d.code) for d in error.value.details] == [("secret", "bad_value")]
    assert "must match regex" in str(error.value)
    assert "hunter2" not in str(error.value)


@attrs.define
class Impossible:
    when: complex = 1j


def test_a_settings_class_that_json_cannot_fill_is_a_load_error() -> None:
    with pytest.raises(LoadError) as error:
        load(Impossible, {"when": 1})
    assert error.value.code == "settings_type"
    assert "complex" in str(error.value)


def test_the_plain_converter_lets_unknown_keys_pass_unless_told_otherwise() -> None:
    assert plain_converter().structure({"name": "x", "later": 1}, Level) == Level("x")


class Connection:
    """What only code can make."""

    __crm_object__ = True


@attrs.define
class WithObjects:
    connections: list[Connection] = attrs.Factory(list)
    patience: int = 5


def test_an_object_of_the_hosts_stands_for_itself_and_no_json_makes_one() -> None:
    given_one = Connection()
    kept = dump(WithObjects([given_one]))
    assert load(WithObjects, {**kept, "patience": 7}) == WithObjects([given_one], 7)
    with pytest.raises(Invalid) as error:
        load(WithObjects, {"connections": [{"url": "evil"}]})
    assert [(d.field, d.code) for d in error.value.details] == [("connections[0]", "wrong_type")]
