"""Who lacks a permission of sales is denied what asks for it, whatever else they may do."""

from __future__ import annotations

import crm_sales
from tests.denied import clerks, denied


def test_nothing_is_done_without_its_permission() -> None:
    with clerks(crm_sales.plugin) as crm:
        assert denied(crm, crm_sales.plugin) == [
            "sales.claim",
            "sales.convert",
            "sales.lose",
            "sales.move",
            "sales.order",
            "sales.quote",
            "sales.release",
            "sales.reopen",
            "sales.settings",
            "sales.take_in",
            "sales.win",
        ]
