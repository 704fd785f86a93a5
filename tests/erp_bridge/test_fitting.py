"""A mapping that does not fit is told before the first record is read, and a plan says what a pull would do [C63]."""

from __future__ import annotations

import pytest

from crm_core import LoadError
from tests.erp_bridge.conftest import MAPPING, MakeDesk, customer


@pytest.mark.parametrize(
    ("right", "wrong", "section", "suggestion"),
    [
        ('record = "account"', 'record = "acount"', "customer", "account"),
        ("industry =", "industri =", "customer.fields", "industry"),
        ('match = ["external_ref"]', 'match = ["external_rf"]', "customer.match", "external_ref"),
        ("[line]\n", '[line]\nentity = "lines"\n', "line", "line"),
        ('ordered_on = { erp = "date", codec = "date" }', "", "order.fields", None),
        ('ordered_on = { erp = "date", codec = "date" }', 'ordered_on = "date"', "order.ordered_on", "date"),
        ('draft = "Z", open', 'darft = "Z", open', "order.status", "draft"),
        ('industry = "branch"', 'industry = { erp = "branch", codec = "int" }', "customer.industry", "text"),
        ('emails = { erp = "email", codec = "email", owner', 'emails = { erp = "email", owner', "customer.emails", "email"),
        (
            'emails = { erp = "email", codec = "email", owner',
            'phones = { erp = "email", codec = "email", owner',
            "customer.phones",
            "phone",
        ),
        ('codec = "money", currency = "currency" }\nbase', 'codec = "decimal" }\nbase', "order.total", "money"),
        ('position = { erp = "pos", codec = "int" }', 'position = { erp = "pos", codec = "decimal" }', "line.position", "int"),
        ('quantity = { erp = "qty", codec = "decimal" }', 'quantity = "qty"', "line.quantity", "decimal"),
        ('order = { erp = "order", codec = "ref", stream = "order" }', 'order = "order"', "line.order", "ref"),
        ('erp = "order", codec = "ref", stream = "order"', 'erp = "order", codec = "ref", stream = "customer"', "line.order", "order"),
    ],
)
def test_c63_a_mapping_that_does_not_fit_is_told_with_its_section_and_what_was_meant(
    make_desk: MakeDesk, right: str, wrong: str, section: str, suggestion: str | None
) -> None:
    with pytest.raises(LoadError) as error:
        make_desk(mapping=MAPPING.replace(right, wrong, 1))
    params = error.value.params
    assert (error.value.code, params["section"], params.get("suggestion")) == ("erp_bridge.bad_mapping", section, suggestion)


def test_c63_a_plan_counts_as_invalid_what_a_pull_finds_invalid(make_desk: MakeDesk) -> None:
    desk = make_desk(mapping=MAPPING.replace('erp = "name"', 'erp = "nmae"', 1))
    desk.drop("customer-1.json", customer("C1"))
    plan = desk.sync.plan()
    assert plan.counts == {"customer.invalid": 1}
    assert plan.differences[0].error["fields"] == [{"field": "name", "code": "required", "params": {}}]
    assert desk.sync.pull() == {"customer.invalid": 1}
