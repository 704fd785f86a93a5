"""What is generated for an entity does what a loop over its fields would do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from crm_core import Account, Email, Entity, Extension, Field, ListField, Money, MoneyField, NotReadable, Ref, field
from crm_core.entities.codec import Codec
from crm_core.entities.meta import bind_extension
from crm_core.entities.validate import plain, problems
from tests.figures import LONG


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Parcel(Entity):
    name: Field[str] = field(length=5)
    note: Field[str] = field(default="", text=True, pii=True)
    count: Field[int] = field(default=0, min=0, max=10)
    weight: Field[Decimal] = field(default=Decimal(0), scale=3)
    price: MoneyField = field(default=Money("0", "EUR"), min=Decimal(0))
    fragile: Field[bool] = field(default=False)
    day: Field[date | None] = field(default=None)
    due: Field[datetime | None] = field(default=None)
    size: Field[Size] = field(default=Size.SMALL)
    firm: Field[Ref[Account] | None] = field(default=None)
    facts: Field[dict[str, Any] | None] = field(default=None)
    emails: ListField[Email] = field(factory=list, pii=True)
    owner: Field[str | None] = field(default=None)


class Stamp(Extension):
    rank: Field[int] = field(default=1)
    colour: Field[str | None] = field(default=None)


bind_extension(Stamp, Parcel, "post")

ID = "01934b2e-7d3c-7a51-8f00-0123456789ab"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
# For every field what is right, what is wrong, and what is right but not what one writes.
VALUES: dict[str, list[Any]] = {
    "name": ["a", "ünal", "", "abcdef", None, 7, "a\x00", "\ud800"],
    "note": ["", "long " * 99, None, b"x", "\udfff"],
    "count": [0, 10, 11, -1, True, None, 1.0, 2**70],
    "weight": [Decimal(1), Decimal("0.001"), Decimal("0.0001"), Decimal("NaN"), Decimal("1e99"), 3, None, 0.5],
    "price": [Money("1", "EUR"), Money("-1", "EUR"), Money("0.0000001", "EUR"), None, 5],
    "fragile": [True, False, 0, None],
    "day": [date(2026, 1, 1), NOON, None, "2026-01-01"],
    "due": [NOON, NOON.astimezone(timezone(timedelta(hours=2))), NOON.replace(tzinfo=None), None, date(2026, 1, 1)],
    "size": [Size.LARGE, "large", None],
    "firm": [Ref(Account, ID), Ref(Account, ID.upper()), Ref(Parcel, ID), None, ID],
    "facts": [{"a": [1, None]}, [], {1: 2}, {"x": float("nan")}, {"t": (1,)}, None],
    "emails": [[], [Email("a@b.example")], (Email("a@b.example"),), [Email("a@b.example", primary=True)] * 2, ["x"], None],
    "owner": ["7", None, ""],
    "post_rank": [1, 2, None, "1"],
    "post_colour": ["red", None, ""],
}


@pytest.fixture(params=["sqlite", "postgresql"])
def codec(request: pytest.FixtureRequest) -> Codec:
    return Codec(Parcel, [Stamp], request.param)


def parcel(**values: Any) -> Parcel:
    own = {n: v for n, v in values.items() if not n.startswith("post_")}
    made = Parcel(**{"name": "a", **own})
    for name in ("rank", "colour"):
        if f"post_{name}" in values:
            setattr(made[Stamp], name, values[f"post_{name}"])
    made.id, made.tenant, made.version, made.deleted_at = ID, "main", 1, None
    made.created_at = made.updated_at = NOON
    made.created_by = made.updated_by = "7"
    return made


def looped(codec: Codec, record: Parcel) -> Iterator[Any]:
    for name, spec in codec.fields.items():
        if not spec.system:
            value = codec.get(record, name)
            yield from problems("parcel", spec, None if value == "" and spec.required else value)


records = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in VALUES.items()})
right = st.fixed_dictionaries({}, optional={name: st.just(values[0]) for name, values in VALUES.items()})


@given(values=st.one_of(right, records))
@settings(max_examples=2000 if LONG else 400)
def test_the_quick_check_finds_what_the_slow_one_finds(values: dict[str, Any]) -> None:
    codec = Codec(Parcel, [Stamp], "sqlite")
    record = parcel(**values)
    found = codec.check(record)
    event("wrong" if found else "right")
    assert found == list(looped(codec, record))


@given(name=st.sampled_from(sorted(VALUES)), data=st.data())
@settings(max_examples=500)
def test_one_wrong_value_is_found_alone_and_where_it_is_asked_for(name: str, data: st.DataObject) -> None:
    codec = Codec(Parcel, [Stamp], "postgresql")
    record = parcel(**{name: data.draw(st.sampled_from(VALUES[name]))})
    found = codec.check(record, row=3)
    assert [d.field for d in found] in ([], [codec.fields[name].name])
    assert all(d.row == 3 for d in found)
    assert codec.check(record, 3, {name}) == found
    assert codec.check(record, 3, {"fragile"} if name != "fragile" else {"name"}) == []


@given(values=right)
def test_a_row_read_back_is_the_record(values: dict[str, Any]) -> None:
    codec = Codec(Parcel, [Stamp], "sqlite")
    record = parcel(**values)
    columns, load = codec.loader(codec.every)
    assert columns == codec.columns
    again = load(codec.to_row(record))
    assert codec.values(again) == codec.values(record)
    assert again == record
    assert again[Stamp] == record[Stamp]


def test_whole_numbers_are_decimals_too() -> None:
    for dialect, kept in (("sqlite", 3000), ("postgresql", 3)):
        codec = Codec(Parcel, [Stamp], dialect)
        assert codec.check(parcel(weight=3)) == []
        assert codec.to_row(parcel(weight=3))[codec.columns.index("weight")] == kept


def test_fields_that_are_not_selected_stay_unset(codec: Codec) -> None:
    columns, load = codec.loader(frozenset({"name", "post_rank"}))
    assert columns == ("name", "post_rank")
    record = load(("a", 5))
    assert codec.values(record) == {"name": "a", "post_rank": 5}
    with pytest.raises(NotReadable):
        _ = record.count


@given(values=right)
def test_the_journal_gets_plain_values_the_personal_ones_apart(values: dict[str, Any]) -> None:
    codec = Codec(Parcel, [Stamp], "sqlite")
    record = parcel(**values)
    public, personal = codec.journalled(record)
    expected = {
        n: plain(codec.fields[n], v) for n, v in codec.values(record).items() if not codec.fields[n].system and v is not None and v != []
    }
    assert public | personal == expected
    assert personal.keys() <= {"note", "emails"}
    assert not public.keys() & {"note", "emails"}
    assert json.loads(json.dumps(public)) == public


def test_a_copy_shares_nothing_that_changes(codec: Codec) -> None:
    record = parcel(facts={"a": [1]}, emails=[Email("a@b.example")], post_rank=4)
    copy = codec.copy(record)
    assert copy == record
    assert copy[Stamp] == record[Stamp]
    copy.facts["a"].append(2)
    copy.emails.append(Email("c@d.example"))
    copy[Stamp].rank = 9
    assert (record.facts, len(record.emails), record[Stamp].rank) == ({"a": [1]}, 1, 4)


def test_given_are_the_fields_that_differ_from_their_defaults(codec: Codec) -> None:
    assert codec.given(parcel(), "7") == {"name"}
    assert codec.given(parcel(owner="7"), "7") == {"name"}
    assert codec.given(parcel(owner="8"), "7") == {"name", "owner"}
    everything = {name: values[1] for name, values in VALUES.items()} | {"fragile": True, "size": Size.LARGE, "owner": "8"}
    everything |= {"day": date(2026, 1, 1), "facts": {}, "post_colour": "red", "count": 3}
    assert codec.given(parcel(**everything), "7") == set(VALUES)


def test_lists_are_brought_to_their_normal_form(codec: Codec) -> None:
    record = parcel(emails=[Email(" A@B.example ")])
    assert codec.normalise(record, "") == []
    assert record.emails == [Email("a@b.example", primary=True)]
    record.emails = [Email("nonsense")]
    assert [(d.field, d.code, d.row) for d in codec.normalise(record, "", 2)] == [("emails[0].address", "bad_email", 2)]


@pytest.mark.parametrize(
    ("given", "weight", "amount"),
    [("1E-7", "0.0000001", "0.0000001"), ("1E+2", "100", "100.00"), ("0E-7", "0.0000000", "0.00"), ("-12.50", "-12.50", "-12.50")],
)
def test_plain_decimals_and_amounts_have_no_exponent(codec: Codec, given: str, weight: str, amount: str) -> None:
    record = parcel(weight=Decimal(given), price=Money(Decimal(given), "EUR"))
    for name, expected in (("weight", weight), ("price", {"amount": amount, "currency": "EUR"})):
        assert plain(codec.fields[name], codec.get(record, name)) == expected
        assert codec.plain({name: codec.get(record, name)}) == {name: expected}
        assert codec.journalled(record)[0][name] == expected
