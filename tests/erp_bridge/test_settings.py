"""Each setting of the module does what its sentence says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from crm_core import Actor, Denied, Refused, Role
from crm_erp_bridge.api import ErpBridge, Op, OpResult, Order, Retry, Settings, Sync
from tests.erp_bridge.conftest import OPERATOR, MakeDesk, MakeHttpDesk
from tests.erp_bridge.http_desk import SYSTEM
from tests.erp_bridge.http_erp import HttpConnector


class Busy(HttpConnector):
    """Never has time."""

    def apply(self, ops: Sequence[Op]) -> list[OpResult]:
        return [Retry(timedelta(seconds=0)) for _ in ops]


def test_settle_seconds_keep_a_run_behind_the_erps_clock(make_http_desk: MakeHttpDesk) -> None:
    desk = make_http_desk(settle_seconds=30)
    desk.erp.write("customer", [{"name": "Acme"}])
    desk.later(seconds=20)
    assert (desk.sync.pull(), desk.names()) == ({}, [])
    desk.later(seconds=20)
    desk.sync.pull()
    assert desk.names() == ["Acme"]


def test_first_delay_seconds_bound_the_first_pause_and_most_tries_end_it(make_http_desk: MakeHttpDesk) -> None:
    desk = make_http_desk(connector=Busy, first_delay_seconds=10, most_tries=3)
    desk.make("Acme")
    assert desk.sync.push() == {"customer.queued": 1}
    for pause, expected in ((10, "queued"), (20, "dead")):
        desk.later(seconds=pause)
        assert desk.sync.push() == {f"customer.{expected}": 1}
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        assert letter.error["code"] == "erp_bridge.not_now"


def test_lease_minutes_are_how_long_a_dead_run_keeps_the_next_away(make_http_desk: MakeHttpDesk) -> None:
    desk = make_http_desk(lease_minutes=1)
    with Sync(desk.crm, "http")._channel.session("a run that dies"):
        pass
    desk.later(seconds=59)
    with pytest.raises(Refused):
        desk.sync.pull()
    desk.later(seconds=2)
    desk.sync.pull()


def test_most_missing_percent_says_how_many_deletions_are_believed(make_http_desk: MakeHttpDesk) -> None:
    desk = make_http_desk(most_missing_percent=100)
    (customer,) = desk.erp.write("customer", [{"name": "Acme"}])
    made = desk.erp.write("order", [{"no": str(n), "customer": customer, "date": "2026-01-10", "total": "10.00"} for n in range(4)])
    desk.later(minutes=1)
    desk.sync.pull()
    for id in made:
        desk.erp.delete(id)
    desk.sync.pull()
    desk.sync.pull()
    with desk.crm.session(SYSTEM) as s:
        assert s.query(Order).count() == 0


def test_a_tenants_settings_need_their_permission(make_desk: MakeDesk) -> None:
    desk = make_desk()
    with pytest.raises(Denied), desk.crm.session(OPERATOR) as s:
        s.change_settings(Settings, {"overlap_minutes": 15})
    with desk.crm.session(SYSTEM) as s:
        s.define_role(Role("admin").permit("erp_bridge.settings"))
    with desk.crm.session(Actor("1", roles={"admin"})) as s:
        assert s.change_settings(Settings, {"overlap_minutes": 15}).overlap_minutes == 15
