"""Who is overtaken each time by another transaction is told to try again, and leaves nothing."""

from __future__ import annotations

from typing import Any

import pytest

import crm_sales
from crm_core import CRM, Actor, Conflict, CRMError, Plugin, Refused, before_write
from crm_sales.api import Lead, LeadIntake, Pipeline, Sales

ADMIN = Actor.system("setup", tenant="main")
rival = Plugin("rival", version="1.0.0", requires={"sales": ">=1"})


@rival.hook(before_write, on=Lead)
def first_in(ctx: Any, changes: Any) -> Any:
    """Be quicker each time."""
    raise Conflict("not_unique")


@rival.hook(before_write, on=Pipeline)
def first_again(ctx: Any, changes: Any) -> Any:
    """Be quicker each time."""
    raise Conflict("not_unique")


def test_an_intake_that_is_overtaken_each_time_is_refused(make_crm: Any) -> None:
    crm: CRM = make_crm(plugins=[crm_sales.plugin, rival])
    with crm.session(ADMIN) as s:
        with pytest.raises(Refused) as refused:
            s.use(Sales).intake(LeadIntake(name="Ann", email="ann@example.com", source="web"))
        assert (refused.value.code, s.query(Lead).count()) == ("sales.intake_contended", 0)


def test_a_first_pipeline_that_others_make_each_time_is_refused(make_crm: Any) -> None:
    crm: CRM = make_crm(plugins=[crm_sales.plugin, rival])
    with crm.session(ADMIN) as s:
        with pytest.raises(CRMError) as refused:
            s.use(Sales).setup()
        assert (refused.value.code, s.query(Pipeline).count()) == ("sales.no_pipeline", 0)
