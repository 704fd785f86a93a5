"""Promises on a deal [C24]."""

from __future__ import annotations

from datetime import date

from crm_core import CRM
from crm_sales.api import Commitment, Sales
from tests.sales.desk import START, deal, rep


def test_promises_are_kept_with_their_deal_and_seen_by_whoever_sees_it(crm: CRM) -> None:
    """[C24] what, who, due, fulfilled."""
    with crm.session(rep("A")) as s:
        d = deal(s)
        s.create(Commitment(opportunity=d.ref, what="Train ten people", who="D", due=date(2026, 7, 1)))
        second = s.create(Commitment(opportunity=d.ref, what="A free month"))
        assert [c.what for c in s.use(Sales).promises(d.ref)] == ["Train ten people", "A free month"]
        kept = s.update(Commitment, second.id, {"fulfilled": True})
        assert kept.fulfilled_at is not None
        assert kept.fulfilled_at >= START
        assert s.update(Commitment, second.id, {"fulfilled": False}).fulfilled_at is None
    with crm.session(rep("D")) as s:
        assert s.use(Sales).promises(d.ref) == []
    with crm.session(rep("L")) as s:
        assert len(s.use(Sales).promises(d.ref)) == 2
