"""What counts as a value of a field."""

from __future__ import annotations

import pytest

from crm_core.entities.validate import is_id

ID = "018f0f7e-1111-7abc-8def-0123456789ab"


def test_an_id_is_a_lower_case_uuid() -> None:
    assert is_id(ID)


@pytest.mark.parametrize("given", ["-" * 36, ID.upper(), ID + "\n", ID[:-1], ID.replace("-", ""), "g" + ID[1:], ID.encode(), None])
def test_nothing_else_is_an_id(given: object) -> None:
    assert not is_id(given)
