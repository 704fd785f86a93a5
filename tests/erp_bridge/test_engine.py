"""The engine against a real ERP on a real socket, with real faults on the way: nothing lost, nothing doubled [C63]."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crm_core import Account, Refused
from crm_erp_bridge.api import Binding, Cursor, OpState, Order, Outbound, Parked, Run, SchemaChanged, Sync, Throttled, Unavailable
from crm_erp_bridge.conformance import TcpProxy
from crm_erp_bridge.conformance.proxy import answer, cut_reply, cut_request, silent
from tests.erp_bridge.conftest import MakeHttpDesk
from tests.erp_bridge.http_desk import POINTS, SYSTEM, HttpDesk
from tests.threads import at_once

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def desk(make_http_desk: MakeHttpDesk) -> HttpDesk:
    return make_http_desk()


def open_writes(desk: HttpDesk) -> int:
    with desk.crm.session(SYSTEM, write=False) as s:
        return s.query(Outbound).where(Outbound.state != OpState.DONE).count()


@pytest.mark.parametrize("fault", [cut_reply, cut_request, silent(20), answer("503 Service Unavailable")], ids=lambda f: f.__name__)
def test_c63_a_write_whose_reply_is_lost_is_asked_for_and_not_repeated_blindly(desk: HttpDesk, proxy: TcpProxy, fault: object) -> None:
    """Rules 13 and 16: the connection is cut after the send, before it, or the ERP says nothing."""
    desk.make("Acme", "Beta")
    proxy.faults.append(fault)  # type: ignore[arg-type]  # of several kinds
    with pytest.raises(Unavailable):
        desk.sync.push()
    assert open_writes(desk) == 2
    desk.sync.push()
    assert (desk.there(), open_writes(desk)) == (["Acme", "Beta"], 0)
    desk.sync.pull()
    assert desk.names() == ["Acme", "Beta"]


@pytest.mark.parametrize("point", POINTS[:2])
def test_c63_a_process_that_dies_between_the_write_and_its_note_loses_and_doubles_nothing(
    desk: HttpDesk, tmp_path: Path, point: str
) -> None:
    desk.make("Acme", "Beta", "Gamma")
    assert dies(desk, tmp_path, point) == 9
    assert desk.there() == ([] if point == "before apply" else ["Acme", "Beta", "Gamma"])
    with pytest.raises(Refused):
        desk.sync.push()
    desk.later(minutes=6)
    desk.sync.pull()
    assert desk.names() == ["Acme", "Beta", "Gamma"], "what the dead process made is not taken for the ERP's own"
    desk.sync.push()
    assert (desk.there(), desk.names(), open_writes(desk)) == (["Acme", "Beta", "Gamma"], ["Acme", "Beta", "Gamma"], 0)
    with desk.crm.session(SYSTEM) as s:
        assert s.query(Binding).count() == 3


def test_c63_a_process_that_dies_in_a_pull_goes_on_from_the_last_page_kept(desk: HttpDesk, tmp_path: Path) -> None:
    desk.erp.write("customer", [{"name": f"Customer {n}"} for n in range(7)])
    desk.later(minutes=1)
    assert dies(desk, tmp_path, "after page") == 9
    assert len(desk.names()) == 3
    desk.later(minutes=6)
    assert desk.sync.pull()["customer.create"] == 4
    assert desk.names() == [f"Customer {n}" for n in range(7)]


def dies(desk: HttpDesk, folder: Path, point: str) -> int:
    """Run a process that dies there, and return how it ended."""
    command = [sys.executable, "-m", "tests.erp_bridge.http_desk", desk.crm.url, str(desk.erp.address[1]), point, str(folder)]
    return subprocess.run(command, cwd=ROOT, env={**os.environ}, check=False).returncode


def test_c63_rule_06_what_is_committed_late_is_read_by_the_overlap(desk: HttpDesk) -> None:
    """Instants are those of a transaction's start, so a slow writer's rows appear behind the cursor (erp.md 1.4)."""
    began = desk.erp.tick()
    desk.later(minutes=2)
    desk.erp.write("customer", [{"name": "Quick"}])
    desk.later(minutes=1)
    desk.sync.pull()
    desk.erp.write("customer", [{"name": "Slow"}], at=began)
    desk.sync.pull()
    assert desk.names() == ["Quick", "Slow"]


def test_c63_a_breaker_leaves_an_erp_alone_that_keeps_failing_and_probes_once(desk: HttpDesk, proxy: TcpProxy) -> None:
    desk.make("Acme")
    proxy.faults.extend([answer("503 Service Unavailable")] * 6)
    for _ in range(5):
        with pytest.raises(Unavailable):
            desk.sync.push()
    before = proxy.connections
    with pytest.raises(Unavailable) as error:
        desk.sync.push()
    assert (error.value.code, proxy.connections) == ("erp_bridge.breaker_open", before), "nobody was bothered"
    desk.later(seconds=61)
    with pytest.raises(Unavailable):
        desk.sync.push()
    assert proxy.connections == before + 1, "one probe"
    desk.later(seconds=61)
    desk.sync.push()
    assert (desk.there(), open_writes(desk)) == (["Acme"], 0)


def test_c63_a_throttled_write_waits_as_long_as_the_erp_asks(desk: HttpDesk, proxy: TcpProxy) -> None:
    desk.make("Acme")
    proxy.faults.append(answer("429 Too Many Requests", "Retry-After: 90"))
    with pytest.raises(Throttled):
        desk.sync.push()
    desk.later(seconds=60)
    assert (desk.sync.push(), desk.there()) == ({}, [])
    desk.later(seconds=31)
    assert (desk.sync.push(), desk.there()) == ({"customer.done": 1}, ["Acme"])


def test_c63_what_is_missing_in_two_scans_is_deleted_and_a_mass_of_it_is_not(desk: HttpDesk) -> None:
    (customer,) = desk.erp.write("customer", [{"name": "Acme"}])
    orders = [{"no": str(n), "customer": customer, "date": "2026-01-10", "total": "10.00"} for n in range(10)]
    made = desk.erp.write("order", orders)
    desk.later(minutes=1)
    desk.sync.pull()
    desk.erp.delete(made[0])
    for expected in (10, 9, 9):
        counts = desk.sync.pull()
        with desk.crm.session(SYSTEM) as s:
            assert s.query(Order).count() == expected, counts
    for id in made[1:4]:
        desk.erp.delete(id)
    for _ in range(3):
        assert desk.sync.pull()["order.missing_too_many"] == 3
    with desk.crm.session(SYSTEM) as s:
        assert s.query(Order).count() == 9


def test_c63_a_change_on_top_of_an_old_version_is_merged_and_written_again(desk: HttpDesk) -> None:
    desk.make("Acme")
    desk.sync.push()
    (id,) = desk.erp.rows("customer")
    desk.erp.change(id, {"name": "Acme", "web": None, "branch": "Steel"})
    with desk.crm.session(SYSTEM) as s:
        account = s.query(Account).one()
        s.update(Account, account.id, {"name": "Acme AG"})
    desk.crm.run_pending()
    assert desk.sync.push() == {"customer.queued": 1}
    desk.later(minutes=5)
    assert desk.sync.push() == {"customer.done": 1}
    assert desk.erp.rows("customer")[id]["name"] == "Acme AG"
    with desk.crm.session(SYSTEM) as s:
        account = s.query(Account).one()
        assert (account.name, account.industry) == ("Acme AG", "Steel"), "the ERP's own field came with the conflict"


def test_c63_what_both_changed_is_not_overwritten_there(desk: HttpDesk) -> None:
    desk.make("Acme")
    desk.sync.push()
    (id,) = desk.erp.rows("customer")
    desk.erp.change(id, {"name": "Acme Ltd", "web": None})
    with desk.crm.session(SYSTEM) as s:
        s.update(Account, s.query(Account).one().id, {"name": "Acme AG"})
    desk.crm.run_pending()
    assert desk.sync.push() == {"customer.dead": 1}
    assert desk.erp.rows("customer")[id]["name"] == "Acme Ltd"
    with desk.crm.session(SYSTEM) as s:
        assert s.query(Parked).one().error["conflicts"] == {"name": ["Acme AG", "Acme Ltd"]}


def test_c63_an_expired_cursor_begins_anew_and_doubles_nothing(desk: HttpDesk) -> None:
    desk.erp.write("customer", [{"name": "Acme"}])
    desk.later(minutes=1)
    desk.sync.pull()
    with desk.crm.session(SYSTEM) as s:
        for row in s.query(Cursor).all():
            s.update(Cursor, row.id, {"cursor": "of an older ERP"})
    desk.erp.write("customer", [{"name": "Beta"}])
    desk.later(minutes=1)
    desk.sync.pull()
    assert desk.names() == ["Acme", "Beta"]


def test_c63_rule_17_three_cycles_of_pull_and_push_write_nothing(desk: HttpDesk) -> None:
    desk.make("Acme")
    desk.erp.write("customer", [{"name": "Beta"}])
    desk.later(minutes=1)
    desk.sync.push()
    desk.sync.pull()
    before = desk.erp.rows("customer")
    for _ in range(3):
        desk.later(minutes=1)
        desk.crm.run_pending()
        assert desk.sync.push() == {}
        assert set(desk.sync.pull()) <= {"customer.same", "customer.echo"}
    assert desk.erp.rows("customer") == before


def test_c63_four_runs_at_once_write_each_op_once(desk: HttpDesk) -> None:
    desk.make(*[f"Customer {n:02}" for n in range(20)])
    syncs = [desk.sync, *(Sync(desk.crm, "http") for _ in range(3))]
    codes = []

    def run(sync: Sync) -> None:
        try:
            sync.push()
        except Refused as e:
            codes.append(e.code)

    at_once(run, syncs)
    assert (len(desk.erp.rows("customer")), len(desk.there()), open_writes(desk)) == (20, 20, 0)
    assert set(codes) <= {"erp_bridge.busy"}


def test_c63_a_mapped_field_that_the_erp_has_no_more_stops_its_stream_alone(make_http_desk: MakeHttpDesk) -> None:
    desk = make_http_desk()
    desk.erp.write("customer", [{"name": "Acme"}])
    del desk.erp.fields["order"]["total"]
    desk.later(minutes=1)
    with pytest.raises(SchemaChanged) as error:
        desk.sync.pull()
    assert (error.value.code, error.value.params) == ("erp_bridge.schema_changed", {"fields": "order.total"})
    assert desk.names() == ["Acme"], "what is not touched by it was taken in"
    with desk.crm.session(SYSTEM) as s:
        assert [(r.ok, r.error) for r in s.query(Run).all()] == [(False, "erp_bridge.schema_changed")]
    desk.erp.fields["order"]["total"] = {"type": "text"}
    desk.sync.pull()
