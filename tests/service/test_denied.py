"""Who lacks a permission of service is denied what asks for it, whatever else they may do."""

from __future__ import annotations

import crm_service
from tests.denied import clerks, denied


def test_nothing_is_done_without_its_permission() -> None:
    with clerks(crm_service.plugin) as crm:
        assert denied(crm, crm_service.plugin) == [
            "service.respond",
            "service.settings",
            "service.work",
        ]
