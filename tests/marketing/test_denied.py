"""Who lacks a permission of marketing is denied what asks for it, whatever else they may do."""

from __future__ import annotations

import crm_marketing
from tests.denied import clerks, denied


def test_nothing_is_done_without_its_permission() -> None:
    with clerks(crm_marketing.plugin) as crm:
        assert denied(crm, crm_marketing.plugin) == [
            "marketing.run",
            "marketing.settings",
            "marketing.work",
        ]
