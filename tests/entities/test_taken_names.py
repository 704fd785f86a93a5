"""What every record has cannot be the name of a field."""

from __future__ import annotations

import types

import pytest

from crm_core import Entity, Field, MoneyField, Plugin
from crm_core.errors import LoadError


@pytest.mark.parametrize("name", ["id", "tenant", "version", "created_at", "created_by", "updated_at", "updated_by", "deleted_at", "ref"])
def test_a_field_called_like_what_every_record_has_is_refused_with_its_class(name: str) -> None:
    with pytest.raises(LoadError, match=f"Thing has {name} already") as error:
        types.new_class("Thing", (Entity,), exec_body=lambda body: body.update(__annotations__={name: "Field[str]"}, __module__=__name__))
    assert error.value.code == "field_taken"


def test_a_field_called_like_the_currency_of_an_amount_is_refused() -> None:
    class Bill(Entity):
        amount: MoneyField
        amount_currency: Field[str]

    with pytest.raises(LoadError, match="Bill has amount_currency already") as error:
        Plugin("acme.bills", version="1.0").entities(Bill)
    assert error.value.code == "field_taken"
