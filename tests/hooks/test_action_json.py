"""Commands in plain JSON: read, refused with the place of what is wrong, and described for forms."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest

from crm_core.entities.customer import Account, Contact
from crm_core.entities.fields import Ref
from crm_core.entities.meta import spec
from crm_core.entities.money import Money
from crm_core.errors import Invalid
from crm_core.hooks.schema import field_schema
from tests.hooks.commands import ID, OTHER, PLAIN, Everything, Level, Part, action, everything


def test_what_may_be_none_is_read_from_plain_json() -> None:
    command = action(everything).load({**PLAIN, "best": None, "tip": None, "note": None, "rest": None, "tags": []})
    assert (command.best, command.tip, command.note, command.rest, command.tags) == (None, None, None, None, [])


def test_a_command_is_read_from_plain_json() -> None:
    assert action(everything).load(PLAIN) == Everything(
        name="x",
        when=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        day=date(2026, 1, 2),
        price=Money("12.00", "EUR"),
        ratio=Decimal("0.25"),
        sure=True,
        level=Level.GOLD,
        account=Ref(Account, ID),
        others=[Ref(Contact, ID), Ref(Contact, OTHER)],
        parts=[Part("a", Money("1", "EUR"))],
    )


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"nam": "x"}, {("nam", "unknown_field", None)}),
        ({"day": "2026-13-01"}, {("day", "wrong_type", None)}),
        ({"when": "2026-01-02T03:04:05"}, {("when", "naive_datetime", None)}),
        ({"ratio": "NaN"}, {("ratio", "not_finite", None)}),
        ({"ratio": 0.25}, {("ratio", "wrong_type", None)}),
        ({"price": {"amount": "1", "currency": "XXZ"}}, {("price", "bad_currency", None)}),
        ({"sure": 1}, {("sure", "wrong_type", None)}),
        ({"level": "silver"}, {("level", "bad_enum", None)}),
        ({"others": ID}, {("others", "wrong_type", None)}),
        ({"others": [ID, "x"]}, {("others", "bad_ref", 1)}),
        ({"others": [ID] * 1001}, {("others", "too_long", None)}),
        ({"parts": [PLAIN["parts"][0], {"sku": "b"}]}, {("parts.price", "required", 1)}),
        ({"parts": [{**PLAIN["parts"][0], "count": "1", "skew": 1}]}, {("parts.skew", "unknown_field", 0)}),
        ({"parts": [{**PLAIN["parts"][0], "count": "1"}]}, {("parts.count", "wrong_type", 0)}),
        ({"parts": [5]}, {("parts.", "wrong_type", 0)}),
        ({"best": {"sku": 5}}, {("best.price", "required", None)}),
        ({"name": None, "rest": {1, 2}}, {("name", "required", None), ("rest", "bad_json", None)}),
    ],
)
def test_what_is_wrong_in_plain_json_is_reported_with_its_place(change: dict[str, Any], wrong: set[tuple[str, str, int | None]]) -> None:
    with pytest.raises(Invalid) as caught:
        action(everything).load({**PLAIN, **change})
    assert {(d.field, d.code, d.row) for d in caught.value.details} == wrong


def test_what_is_missing_or_misspelt_is_reported_at_once_with_a_suggestion() -> None:
    with pytest.raises(Invalid) as caught:
        action(everything).load({"nmae": "x", **{k: v for k, v in PLAIN.items() if k not in ("name", "day")}})
    details = {d.field: d for d in caught.value.details}
    assert {f: d.code for f, d in details.items()} == {"nmae": "unknown_field", "name": "required", "day": "required"}
    assert details["nmae"].params == {"suggestion": "name"}


@pytest.mark.parametrize("data", [None, [], "x", 5])
def test_a_command_that_is_no_object_is_refused(data: Any) -> None:
    with pytest.raises(Invalid):
        action(everything).load(data)


def test_a_validator_of_the_command_class_speaks_in_typed_errors() -> None:
    @attrs.define
    class Positive:
        points: int = attrs.field()

        @points.validator
        def _positive(self, attribute: Any, value: int) -> None:
            if value < 1:
                raise Invalid("too_small", given=value, limit=1)

    def fn(s: Any, cmd: Positive) -> None: ...

    fn.__annotations__["cmd"] = Positive
    with pytest.raises(Invalid) as caught:
        action(fn).load({"points": 0})
    assert [d.code for d in caught.value.details] == ["too_small"]


def test_the_json_schema_says_all_that_a_form_must_know() -> None:
    schema = action(everything).input_schema
    properties = schema["properties"]
    assert schema["title"] == "a.everything"
    assert schema["additionalProperties"] is False
    assert schema["required"] == list(PLAIN)
    assert properties["account"] == {"type": "string", "format": "uuid", "x-entity": "account"}
    assert properties["others"]["items"]["x-entity"] == "contact"
    assert properties["level"] == {"enum": ["gold", "basic"]}
    assert properties["price"]["required"] == ["amount", "currency"]
    assert properties["tip"]["anyOf"][1] == {"type": "null"}
    assert properties["parts"]["items"]["required"] == ["sku", "price"]
    assert properties["best"]["anyOf"][0]["properties"]["count"] == {"type": "integer"}
    assert properties["tags"] == {"type": "array", "items": {"type": "string", "maxLength": 1_000_000}, "maxItems": 1000}
    assert properties["rest"] == {"anyOf": [{"type": ["object", "array", "string", "number", "boolean"]}, {"type": "null"}]}


def test_an_entity_s_embedded_list_is_described_like_a_list_of_a_command() -> None:
    schema = field_schema(spec(Account).fields["emails"])
    assert schema["type"] == "array"
    assert schema["items"]["required"] == ["address"]
    assert schema["items"]["properties"]["primary"] == {"type": "boolean"}
