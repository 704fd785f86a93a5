"""Who is overtaken again and again is told so, and leaves nothing."""

from __future__ import annotations

from typing import Any

import pytest

import crm_marketing
import crm_sales
from crm_core import CRM, Account, Actor, Conflict, Refused, Session
from crm_marketing.contention import retried

ADMIN = Actor.system("setup", tenant="main")


def test_after_three_conflicts_the_work_is_refused_and_undone(make_crm: Any) -> None:
    crm: CRM = make_crm(plugins=[crm_sales.plugin, crm_marketing.plugin])
    tries: list[int] = []

    def overtaken(session: Session) -> None:
        tries.append(session.query(Account).count())
        session.create(Account(name="Acme"))
        raise Conflict("not_unique")

    with crm.session(ADMIN) as s:
        with pytest.raises(Refused) as refused:
            retried(s, lambda: overtaken(s))
        assert (refused.value.code, tries, s.query(Account).count()) == ("marketing.contended", [0, 0, 0], 0)
