"""Matching: one record is recognised by its fields, the same on one page and over many, and a plan says what a pull does [C63]."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from crm_core import Account, Email, LoadError
from crm_erp_bridge.api import Bridge, ErpBridge, FolderDrop, FolderSettings, Sync
from crm_erp_bridge.fitting import check_fit
from tests.erp_bridge.conftest import MAPPING, OPERATOR, SYSTEM, Desk, MakeDesk, customer


def matching(*fields: str) -> str:
    return MAPPING.replace('match = ["external_ref"]', f"match = {list(fields)}")


def paged(desk: Desk, limit: int) -> Sync:
    """Return a run that reads so many records a page."""

    class Paged(FolderDrop):
        def __init__(self, settings: FolderSettings) -> None:
            super().__init__(settings)
            self.entities = {n: attrs.evolve(c, bulk_read=limit) for n, c in self.entities.items()}

    desk.sync._channel.connector = Paged(desk.settings)
    return desk.sync


SAME: list[dict[str, Any]] = [
    customer("C1", name="Same"), customer("C2", name="Same"), customer("C3", name="Here"), customer("C4", name="Here"), customer("C5"),
]  # fmt: skip


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_c63_what_matches_does_not_depend_on_pages_and_the_plan_says_what_the_pull_does(make_desk: MakeDesk, limit: int) -> None:
    desk = make_desk(mapping=matching("name"))
    with desk.crm.session(SYSTEM) as s:
        here = s.create(Account(name="Here"))
    desk.drop("customer-1.json", *SAME)
    sync = paged(desk, limit)
    planned = sync.plan().counts
    assert sync.pull() == planned == {"customer.create": 2, "customer.update": 1, "customer.conflict": 2}
    assert [a.name for a in desk.accounts()] == ["Customer C5", "Here", "Same"]
    assert {a.external_ref for a in desk.accounts() if a.id == here.id} == {"K-C3"}
    with desk.crm.session(OPERATOR) as s:
        assert {x.remote["id"] for x in s.use(ErpBridge).dead_letters()} == {"C2", "C4"}  # type: ignore[union-attr]  # all parked


def test_c63_two_that_share_the_erps_number_are_one_account_and_a_letter_in_plan_and_pull(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.drop("customer-1.json", customer("C1", number="K-1"), customer("C2", number="K-1"))
    assert desk.sync.plan().counts == desk.sync.pull() == {"customer.create": 1, "customer.conflict": 1}
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        assert letter.error == {"code": "erp_bridge.same_there", "params": {"field": "external_ref", "id": "C1"}}


def test_c63_a_customer_is_recognised_by_any_of_its_addresses(make_desk: MakeDesk) -> None:
    desk = make_desk(mapping=matching("emails"))
    with desk.crm.session(SYSTEM) as s:
        ours = s.create(Account(name="Ours", emails=[Email("first@acme.example", primary=True), Email("info@acme.example")]))
    desk.drop("customer-1.json", customer("C1", name="Ours", email="Info@Acme.example"), customer("C2", email="other@acme.example"))
    assert desk.sync.plan().counts == {"customer.update": 1, "customer.create": 1}
    assert desk.sync.pull() == {"customer.update": 1, "customer.create": 1}
    assert {a.external_ref for a in desk.accounts() if a.id == ours.id} == {"K-C1"}
    assert desk.sync.reconcile().streams[0].there == 2


def test_c63_a_field_by_which_nothing_can_be_recognised_is_refused_before_the_first_record(make_desk: MakeDesk) -> None:
    desk = make_desk()
    text = MAPPING.split("[deal]")[0].replace(
        '[order]\nrecord = "erp_bridge.order"', '[order]\nrecord = "erp_bridge.order"\nmatch = ["total"]'
    )
    (desk.root / "erp.toml").write_text(text, encoding="utf-8")
    bridge = Bridge("files", FolderDrop, mapping=desk.root / "erp.toml", settings=desk.settings)
    with pytest.raises(LoadError) as error:
        check_fit(desk.crm, bridge.mapping, bridge.connect())
    assert error.value.params["section"] == "order.match"
    assert error.value.params["expected"] == "a field whose codec is one of text, int, email, phone, not total"
