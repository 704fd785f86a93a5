"""What a change of a promise is: compatible, breaking, or no promise at all."""

from __future__ import annotations

from typing import Any

import pytest

from crm_core.contracts.compare import allowed, differences
from crm_core.messages import Messages

EVENT = {"version": "1", "reads": ["1"], "record": "sales.deal", "fields": {"amount": "Money"}}
OLD: dict[str, Any] = {
    "format": 1,
    "plugin": "sales",
    "version": "1.2.0",
    "label": "Sales",
    "requires": {},
    "entities": {"sales.deal": {"table": "sales_deal", "fields": {"name": "str(255)", "stage": '"new" | "won" = "new"'}}},
    "events": {"sales.won": EVENT},
    "hooks": {
        "sales.price": {"is": "filter per batch", "version": "1", "type": "FilterHook[PriceCtx, list[Line]]", "context": {"on": "date"}}
    },
    "actions": {"sales.win": {"permission": "sales.win", "fields": {"deal": "Ref[Deal]"}, "result": "Deal"}},
    "data_migrations": {"sales.first_stage": "1.1.0, code 0a1b2c3d4e"},
    "permissions": {"sales.win": "sales.win"},
    "settings": {"currency": "str = 'EUR'"},
    "errors": {"sales.too_late": "days, deal"},
    "api": {
        "Sales": {"()": "(session: Session) -> None", "win": "(deal: Deal, *, reason: str = '') -> Deal", "guess": "(deal: Deal) -> int"},
        "Tier": {"GOLD": "'gold'"},
        "ratio": "(one: int, other: int = 1) -> int",
    },
    "roles": {"sales.rep": "sales.role.rep"},
    "uses": {"grants": ["account:read"]},
    "experimental": ["api Sales.guess"],
    "deprecated": {},
}


def changed(path: str, value: Any, old: dict[str, Any] = OLD) -> dict[str, Any]:
    """Return the document with another value at ``events/sales.won/version``; None takes it away."""
    head, _, rest = path.partition("/")
    if rest:
        return {**old, head: changed(rest, value, old.get(head, {}))}
    return {key: each for key, each in {**old, head: value}.items() if each is not None}


COMPATIBLE = [
    ("entities/sales.deal/fields/note", "str(255) | None = None"),
    ("entities/sales.deal/fields/stage", '"new" | "won" | "lost" = "new"'),
    ("entities/sales.quote", {"table": "sales_quote", "fields": {"number": "str(255)"}}),
    ("events/sales.won/fields/reason", "str = ''"),
    ("events/sales.lost", EVENT),
    ("hooks/sales.price/context/zone", "str"),
    ("actions/sales.win/fields/reason", "str = ''"),
    ("settings/currency", "str = 'USD'"),
    ("settings/zone", "str = 'UTC'"),
    ("data_migrations/sales.second_stage", "1.3.0, code 9a8b7c6d5e"),
    ("errors/sales.too_late", "days, deal, limit"),
    ("api/ratio", "(one: int, other: int = 1, third: int = 2) -> int"),
    ("api/ratio", "(one: int, other: int = 2) -> int"),
    ("api/Sales/win", "(deal: Deal, *, by: str = '', reason: str = '') -> Deal"),
    ("api/Sales/win", "(deal: Deal, reason: str = '', *, by: str = '') -> Deal"),
    ("api/Tier/SILVER", "'silver'"),
    ("label", "Selling"),
    ("version", "1.3.0"),
    ("uses/grants", []),
    ("roles/sales.rep", None),
]
BREAKING = [
    ("entities/sales.deal/fields/name", None),
    ("entities/sales.deal/fields/name", "str(100)"),
    ("entities/sales.deal/fields/number", "str(255)"),
    ("entities/sales.deal/fields/stage", '"new" = "new"'),
    ("entities/sales.deal/table", "sales_deals"),
    ("events/sales.won/fields/amount", None),
    ("events/sales.won/fields/amount", "Decimal"),
    ("events/sales.won/fields/reason", "str"),
    ("events/sales.won/version", "0"),
    ("events/sales.won", None),
    ("hooks/sales.price/context/on", None),
    ("hooks/sales.price/type", "FilterHook[PriceCtx, list[PriceLine]]"),
    ("hooks/sales.price/version", "2"),
    ("actions/sales.win/fields/reason", "str"),
    ("actions/sales.win/permission", "sales.close"),
    ("actions/sales.win/result", "None"),
    ("permissions/sales.win", None),
    ("settings/currency", None),
    ("settings/currency", "str"),
    ("settings/zone", "str"),
    ("data_migrations/sales.first_stage", None),
    ("data_migrations/sales.first_stage", "1.2.0, code 0a1b2c3d4e"),
    ("data_migrations/sales.first_stage", "1.1.0, code 9a8b7c6d5e"),
    ("errors/sales.too_late", "days"),
    ("errors/sales.too_late", None),
    ("api/ratio", "(one: int, third: int, other: int = 1) -> int"),
    ("api/ratio", "(one: int, other: int) -> int"),
    ("api/ratio", "(one: int, *, other: int = 1) -> int"),
    ("api/ratio", "(one: int, another: int = 1) -> int"),
    ("api/ratio", "(one: int, other: int = 1) -> float"),
    ("api/ratio", "(one: int, other: int = 1, *, third: int) -> int"),
    ("api/Sales/win", "(deal: Deal) -> Deal"),
    ("api/Sales/win", "(deal: Deal, *, reason: str) -> Deal"),
    ("api/Tier/GOLD", "'Gold'"),
    ("api/Sales", None),
]


@pytest.mark.parametrize(("path", "value"), COMPATIBLE)
def test_what_others_can_live_with_is_called_so(path: str, value: Any) -> None:
    found = differences(OLD, changed(path, value))
    assert found
    assert [d for d in found if d.breaking] == []


@pytest.mark.parametrize(("path", "value"), BREAKING)
def test_what_breaks_others_is_called_so_with_what_to_do(path: str, value: Any) -> None:
    found = [d for d in differences(OLD, changed(path, value)) if d.breaking]
    assert found
    for locale in ("en", "zh"):
        said = found[0].words(Messages(), locale)
        assert path.split("/")[1] in said
        assert said.count("。" if locale == "zh" else ".") > 1


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("entities/sales.deal/fields/number", "str(255)", "Calls that create such a record without it fail"),
        ("entities/sales.deal/fields/stage", '"new" | "won"', "Calls that create such a record without it fail"),
        ("settings/zone", "str", "A host that does not set it cannot start"),
        ("data_migrations/sales.first_stage", None, "Databases that have not run it yet come out with other rows"),
    ],
)
def test_a_break_of_what_others_send_or_have_not_run_says_whom_it_breaks(path: str, value: Any, said: str) -> None:
    (found,) = (d for d in differences(OLD, changed(path, value)) if d.breaking)
    words = found.words(Messages())
    assert words.startswith("Breaking: ")
    assert said in words


def test_equal_documents_differ_in_nothing() -> None:
    assert differences(OLD, changed("label", "Sales")) == []


def test_a_new_field_of_an_event_needs_no_default_where_its_version_is_raised() -> None:
    new = changed("events/sales.won/version", "2", changed("events/sales.won/fields/reason", "str"))
    assert [d.breaking for d in differences(OLD, new)] == [False, False]


def test_an_event_whose_old_payloads_nobody_reads_any_more_is_broken() -> None:
    raised = changed("events/sales.won/version", "2")
    kept = changed("events/sales.won/reads", ["1", "2"], raised)
    assert [d.path[-2:] for d in differences(OLD, changed("events/sales.won/reads", ["2"], raised)) if d.breaking] == [("reads", "1")]
    assert not any(d.breaking for d in differences(OLD, kept))


def test_a_whole_api_may_be_experimental() -> None:
    old = changed("experimental", ["api"])
    assert not any(d.breaking for d in differences(old, changed("api/Sales", None, old)))
    assert any(d.breaking for d in differences(old, changed("events/sales.won", None, old)))


def test_a_field_that_an_event_loses_breaks_who_hears_it_whatever_its_version() -> None:
    new = changed("events/sales.won/version", "2", changed("events/sales.won/fields/amount", None))
    assert [d.path[-1] for d in differences(OLD, new) if d.breaking] == ["amount"]


def test_what_is_experimental_may_change_and_what_was_promised_is_not_made_experimental_by_the_change() -> None:
    assert not any(d.breaking for d in differences(OLD, changed("api/Sales/guess", None)))
    quietly = changed("experimental", ["api Sales.guess", "api ratio"], changed("api/ratio", None))
    assert [d.path for d in differences(OLD, quietly) if d.breaking] == [("api", "ratio")]


@pytest.mark.parametrize(
    ("old", "new", "announced"),
    [("1.2.0", "2.0.0", True), ("1.2.0", "1.3.0", False), ("0.1.0", "0.2.0", True), ("0.1.0", "0.1.1", False), ("0.9", "1", True)],
)
def test_a_breaking_change_is_announced_by_the_first_number_or_the_second_below_one(old: str, new: str, announced: bool) -> None:
    assert allowed(changed("version", old), changed("version", new)) is announced


def test_what_is_new_is_named_once_without_its_parts() -> None:
    new = {**OLD, "actions": {**OLD["actions"], "sales.lose": OLD["actions"]["sales.win"]}}
    assert [d.words(Messages()) for d in differences(OLD, new)] == ["New: actions sales.lose. Others can live with it."]
    gone = differences(new, OLD)
    assert len(gone) > 1  # whoever relied on a part of it is told of the part
    assert any(d.breaking for d in gone)
