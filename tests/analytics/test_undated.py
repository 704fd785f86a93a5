"""A figure that has no date has no history: it is asked for as it is now."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

import crm_analytics
from crm_analytics.api import Analytics, Report
from crm_core import CRM, Account, Actor, Invalid, Plugin

ADMIN = Actor.system("setup", tenant="main")
plugin = Plugin("undated", version="1.0.0")
plugin.measure("accounts", Account, label="Accounts", unit="accounts", formula="number of accounts")


def test_c55_a_metric_without_a_date_is_neither_cut_by_months_nor_by_days(make_crm: Any) -> None:
    crm: CRM = make_crm(plugins=[crm_analytics.plugin, plugin])
    with crm.session(ADMIN) as s:
        s.create(Account(name="Acme"))
        assert s.use(Analytics).run(Report(metrics=["undated.accounts"])).total["undated.accounts"] == 1
        for cut in ({"grain": "month"}, {"since": date(2026, 1, 1)}):
            with pytest.raises(Invalid) as refused:
                s.use(Analytics).run(Report(metrics=["undated.accounts"], **cut))
            assert (refused.value.code, refused.value.params) == ("analytics.no_date", {"metric": "undated.accounts"})
