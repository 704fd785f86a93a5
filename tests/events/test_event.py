"""Events: declared with types, written to plain JSON, read back whatever version wrote them."""

from __future__ import annotations

import enum
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.entities.customer import Account, Contact
from crm_core.entities.entity import Entity
from crm_core.entities.fields import Field, ListField, MoneyField, Ref, field
from crm_core.entities.meta import bind_entity
from crm_core.entities.money import Money
from crm_core.entities.values import Email
from crm_core.errors import Invalid, LoadError, NotReadable, SchemaBehind
from crm_core.events.event import Change, Created, Deleted, Event, EventCodec, Restored, Updated, event_kind, event_name, stamp
from crm_core.events.journal import Entry

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RECORD = "01890000-0000-7000-8000-000000000001"
OTHER = "01890000-0000-7000-8000-000000000002"


class Stage(enum.Enum):
    """A step."""

    NEW = "new"
    WON = "won"


class Deal(Entity):
    """Something sold."""

    name: Field[str]
    account: Field[Ref[Account] | None] = field(default=None)
    amount: MoneyField
    stage: Field[Stage] = field(default=Stage.NEW)
    close: Field[date | None] = field(default=None)
    seen: Field[datetime | None] = field(default=None)
    odds: Field[Decimal] = field(default=Decimal(0))
    emails: ListField[Email] = field(factory=list)
    extra: Field[dict[str, Any] | None] = field(default=None)


bind_entity(Deal, "shop")


class DealWon(Event[Deal], name="shop.deal_won", version=3):
    """A deal was won."""

    amount: Money
    reason: str
    account: Ref[Account] | None = None
    stages: tuple[Stage, ...] = ()
    at_noon: datetime | None = None
    odds: Decimal = Decimal(1)


@DealWon.upcast(1)
def _one(old: dict[str, Any]) -> dict[str, Any]:
    return {"amount": {"amount": old["value"], "currency": "EUR"}, "why": old["why"]}


@DealWon.upcast(2)
def _two(old: dict[str, Any]) -> dict[str, Any]:
    return {"amount": old["amount"], "reason": old["why"]}


def entry(kind: str, **payload: Any) -> Entry:
    return Entry(1, 1, "main", NOW, "7", None, "", None, None, "shop.deal", RECORD, 1, kind, 1, {"id": OTHER, **payload})


CODEC = EventCodec([Account, Contact, Deal], [DealWon])


def test_an_event_is_read_back_as_it_was_written() -> None:
    event = DealWon(
        record=Ref(Deal, RECORD),
        amount=Money("12.50", "EUR"),
        reason="price",
        account=Ref(Account, OTHER),
        stages=(Stage.WON,),
        at_noon=NOW,
    )
    data = CODEC.encode(event)
    assert json.loads(json.dumps(data)) == data
    back = CODEC.decode(entry("shop.deal_won.v3", data=data))
    assert back == event
    assert (back.id, back.at, back.actor, back.record) == (OTHER, NOW, "7", Ref(Deal, RECORD))


@given(
    st.decimals(min_value=-(10**12), max_value=10**12, places=4), st.text(max_size=50), st.lists(st.sampled_from(Stage)),
    st.none() | st.datetimes(timezones=st.just(UTC)),
)  # fmt: skip
def test_any_event_survives_plain_json(amount: Decimal, reason: str, stages: list[Stage], at: datetime | None) -> None:
    event = DealWon(record=Ref(Deal, RECORD), amount=Money(amount, "USD"), reason=reason, stages=tuple(stages), at_noon=at, odds=amount)
    assert CODEC.decode(entry("shop.deal_won.v3", data=json.loads(json.dumps(CODEC.encode(event))))) == event


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("shop.deal_won.v1", {"value": "9.00", "why": "old"}),
        ("shop.deal_won.v2", {"amount": {"amount": "9.00", "currency": "EUR"}, "why": "old"}),
        ("shop.deal_won.v3", {"amount": {"amount": "9.00", "currency": "EUR"}, "reason": "old"}),
        ("shop.deal_won.v3", {"amount": {"amount": "9.00", "currency": "EUR"}, "reason": "old", "unknown": 1}),
    ],
)
def test_payloads_of_all_older_versions_are_read(kind: str, data: dict[str, Any]) -> None:
    event = CODEC.decode(entry(kind, data=data))
    assert isinstance(event, DealWon)
    assert (event.amount, event.reason, event.odds) == (Money("9", "EUR"), "old", Decimal(1))


def test_an_event_of_a_newer_version_is_an_error_that_says_so() -> None:
    with pytest.raises(SchemaBehind, match="newer version") as caught:
        CODEC.decode(entry("shop.deal_won.v4", data={}))
    assert caught.value.params["known"] == 3
    with pytest.raises(SchemaBehind):
        CODEC.decode(entry("shop.deal.created.v2", new={}))


def test_a_version_without_an_upcast_is_named() -> None:
    class Gone(Event[Deal], name="shop.gone", version=2):
        pass

    with pytest.raises(LoadError) as caught:
        EventCodec([Deal], [Gone]).decode(entry("shop.gone.v1", data={}))
    assert caught.value.code == "event_upcast_missing"


@pytest.mark.parametrize("data", [{}, {"amount": "12", "reason": "x"}, {"amount": {"amount": "1", "currency": "XXQ"}, "reason": "x"}])
def test_a_payload_that_does_not_fit_is_an_error_with_the_events_id(data: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        CODEC.decode(entry("shop.deal_won.v3", data=data))
    assert caught.value.params == {"event": "shop.deal_won.v3", "id": OTHER}


def test_an_event_or_entity_that_no_plugin_declares_is_named() -> None:
    with pytest.raises(LoadError, match=r"shop\.lost\.v1"):
        CODEC.decode(entry("shop.lost.v1", data={}))
    with pytest.raises(LoadError) as caught:
        EventCodec([], [DealWon]).decode(entry("shop.deal_won.v3", data={"amount": {"amount": "1", "currency": "EUR"}, "reason": "x"}))
    assert caught.value.code == "entity_missing"


def test_upcasts_are_declared_once_and_below_the_current_version() -> None:
    with pytest.raises(LoadError, match="makes no sense"):
        DealWon.upcast(3)(lambda old: old)
    with pytest.raises(LoadError):
        DealWon.upcast(1)(lambda old: old)


def test_two_events_of_one_name_do_not_load() -> None:
    class Other(Event[Deal], name="shop.deal_won"):
        pass

    with pytest.raises(LoadError, match=r"shop\.deal_won"):
        EventCodec([Deal], [DealWon, Other])


def test_names_and_kinds_are_stable() -> None:
    assert event_kind(DealWon) == "shop.deal_won.v3"
    automatic: dict[Any, str] = {Created[Deal]: "created", Updated[Deal]: "updated", Deleted[Deal]: "deleted", Restored[Deal]: "restored"}
    for event, verb in automatic.items():
        assert event_kind(event) == f"shop.deal.{verb}.v1"
    assert event_name(Created[Account]) == "account.created"


@pytest.mark.parametrize("given", [int, Event, Created, Deal, "x"])
def test_what_is_no_event_has_no_name(given: Any) -> None:
    with pytest.raises(LoadError):
        event_name(given)


def test_created_events_carry_typed_values() -> None:
    new = {
        "name": "Seats", "account": OTHER, "amount": {"amount": "5.00", "currency": "EUR"}, "stage": "won", "close": "2026-03-31",
        "odds": "0.25", "seen": "2026-03-01T12:00:00.000000+00:00", "emails": [{"address": "a@b.example", "label": "", "primary": True}],
        "extra": {"a": [1]}, "gone_plugin_field": "kept as it is",
    }  # fmt: skip
    event: Any = CODEC.decode(entry("shop.deal.created.v1", new=new))
    assert isinstance(event, Created)
    assert dict(event.new) == {
        "name": "Seats", "account": Ref(Account, OTHER), "amount": Money("5.00", "EUR"), "stage": Stage.WON, "close": date(2026, 3, 31),
        "odds": Decimal("0.25"), "seen": NOW, "emails": [Email("a@b.example", primary=True)], "extra": {"a": [1]},
        "gone_plugin_field": "kept as it is",
    }  # fmt: skip
    values: Any = event.new
    with pytest.raises(TypeError):
        values["name"] = "changed for everybody"


def test_updated_deleted_and_restored_events_carry_old_and_new() -> None:
    event: Any = CODEC.decode(entry("shop.deal.updated.v1", changes={"stage": ["new", "won"], "close": [None, "2026-03-31"]}))
    assert dict(event.changes) == {"stage": Change(Stage.NEW, Stage.WON), "close": Change(None, date(2026, 3, 31))}
    event = CODEC.decode(entry("shop.deal.deleted.v1", old={"stage": "won"}))
    assert dict(event.old) == {"stage": Stage.WON}
    event = CODEC.decode(entry("shop.deal.restored.v1", changes={"deleted_at": ["2026-03-01T12:00:00+00:00", None]}))
    assert dict(event.changes) == {"deleted_at": Change(NOW, None)}


def test_a_field_taken_away_cannot_be_read_and_nobody_else_loses_it() -> None:
    event = DealWon(record=Ref(Deal, RECORD), amount=Money("1", "EUR"), reason="price")
    stamp(event, id=OTHER, at=NOW, actor="7")
    seen = event.without(["amount", "id", "nothing"])
    with pytest.raises(NotReadable, match=r'plugin\.grants\("') as caught:
        _ = seen.amount
    assert caught.value.params == {"entity": "DealWon", "field": "amount", "grant": '"shop.deal:read"'}
    assert (seen.reason, seen.id, event.amount) == ("price", OTHER, Money("1", "EUR"))
    created: Any = CODEC.decode(entry("shop.deal.created.v1", new={"name": "Seats", "odds": "0.5"}))
    assert dict(created.without(["odds"]).new) == {"name": "Seats"}
    assert "odds" in created.new


def test_events_do_not_change() -> None:
    event = DealWon(record=Ref(Deal, RECORD), amount=Money("1", "EUR"), reason="price")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.reason = "other"  # type: ignore[misc]  # the point of the test
    with pytest.raises(AttributeError):
        _ = event.nonsense  # type: ignore[attr-defined]  # the point of the test


def test_a_class_inside_a_function_finds_its_names() -> None:
    class Colour(enum.Enum):
        RED = "red"

    class Painted(Event[Deal], name="shop.painted"):
        colour: Colour

    codec = EventCodec([Deal], [Painted])
    assert codec.encode(Painted(record=Ref(Deal, RECORD), colour=Colour.RED)) == {"colour": "red"}


class Broken(Event[Deal], name="shop.broken"):
    """Names something unknown."""

    what: Nothing  # type: ignore[name-defined]  # noqa: F821  # the point of the test


def test_an_annotation_that_names_nothing_is_named() -> None:
    with pytest.raises(LoadError, match="Nothing"):
        EventCodec([Deal], [Broken]).encode(Broken(record=Ref(Deal, RECORD), what=1))
