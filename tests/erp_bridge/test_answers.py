"""What the ERP may answer to a write besides yes: approval, an id that is taken, nonsense [C63]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

import attrs
import pytest

from crm_core import Account
from crm_erp_bridge.api import Binding, EntityCaps, ErpBridge, Ok, Op, OpResult, Page, Pending, Remote, Run, RunKind, Unavailable
from crm_erp_bridge.conformance import TcpProxy
from crm_erp_bridge.conformance.proxy import cut_reply
from tests.erp_bridge.conftest import OPERATOR, SYSTEM, MakeHttpDesk
from tests.erp_bridge.http_erp import HttpConnector


class Approving(HttpConnector):
    """An ERP in which a person approves what comes in."""

    approved: ClassVar[list[bool]] = []
    entities: Mapping[str, EntityCaps] = {n: attrs.evolve(c, states={"in_approval": "B"}) for n, c in HttpConnector.entities.items()}

    def apply(self, ops: Sequence[Op]) -> list[OpResult]:
        found = super().apply(ops)
        if self.approved:
            return found
        wait = timedelta(minutes=10)
        return [Pending(r.id, waits_for="审核", poll_after=wait) if isinstance(r, Ok) else r for r in found]

    def find(self, entity: str, key: str) -> list[Remote]:
        return [attrs.evolve(r, state="C" if self.approved else "B") for r in super().find(entity, key)]


@pytest.mark.parametrize("cut", [False, True], ids=["answered", "the answer was lost"])
def test_c63_what_waits_for_approval_is_bound_at_once_and_done_when_approved(
    make_http_desk: MakeHttpDesk, proxy: TcpProxy, cut: bool
) -> None:
    Approving.approved.clear()
    desk = make_http_desk(connector=Approving)
    desk.make("Acme")
    if cut:
        proxy.faults.append(cut_reply)
        with pytest.raises(Unavailable):
            desk.sync.push()
    assert desk.sync.push() == {"customer.pending": 1}
    desk.later(minutes=1)
    desk.sync.pull()
    assert desk.names() == ["Acme"], "the draft in the ERP is known as ours"
    assert desk.sync.push() == {}, "nobody is asked before it is time"
    Approving.approved.append(True)
    desk.later(minutes=10)
    assert desk.sync.push() == {"customer.done": 1}
    assert desk.there() == ["Acme"]


class Changing(HttpConnector):
    """An ERP in which we may change customers, and make none."""

    entities: Mapping[str, EntityCaps] = {n: attrs.evolve(c, create=False) for n, c in HttpConnector.entities.items()}
    tried: ClassVar[list[str]] = []

    def apply(self, ops: Sequence[Op]) -> list[OpResult]:
        self.tried.extend(op.kind for op in ops)
        return super().apply(ops)


class Making(Changing):
    """The other way round."""

    entities: Mapping[str, EntityCaps] = {n: attrs.evolve(c, update=False) for n, c in HttpConnector.entities.items()}


@pytest.mark.parametrize(("connector", "tried", "refused"), [(Changing, ["update"], "create"), (Making, ["create"], "update")])
def test_what_the_erp_cannot_write_is_not_tried_and_is_a_dead_letter(
    make_http_desk: MakeHttpDesk, connector: type[Changing], tried: list[str], refused: str
) -> None:
    connector.tried.clear()
    desk = make_http_desk(connector=connector)
    desk.erp.write("customer", [{"name": "Beta"}])
    desk.later(minutes=1)
    desk.sync.pull()
    with desk.crm.session(SYSTEM) as s:
        s.update(Account, s.query(Account).one().id, {"website": "https://beta.example"})
    desk.make("Acme")
    plan = desk.sync.plan()
    assert (plan.counts["customer.queued"], plan.counts["customer.not_offered"]) == (1, 1)
    desk.sync.push()
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters("http")
        assert letter.error["code"] == "erp_bridge.not_offered"
        assert letter.error["params"] == {"what": f"{refused} customer"}
    assert connector.tried == tried


class Merging(HttpConnector):
    """Answers every create with the same record."""

    def apply(self, ops: Sequence[Op]) -> list[OpResult]:
        return [Ok("1", "1") for _ in ops]


def test_c63_an_id_that_is_bound_already_is_a_dead_letter_and_spoils_no_other(make_http_desk: MakeHttpDesk) -> None:
    desk = make_http_desk(connector=Merging)
    desk.make("Acme", "Beta")
    assert desk.sync.push() == {"customer.done": 1, "customer.dead": 1}
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        assert letter.error["code"] == "not_unique"
    with desk.crm.session(SYSTEM) as s:
        assert s.query(Binding).count() == 1


class Short(HttpConnector):
    """Forgets a result."""

    def apply(self, ops: Sequence[Op]) -> list[OpResult]:
        return super().apply(ops)[1:]


class Broken(HttpConnector):
    """Has a defect."""

    def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
        raise KeyError("FModifyDate")

    def apply(self, ops: Sequence[Op]) -> list[OpResult]:
        raise KeyError("FNumber")


def test_c63_a_connector_that_forgets_a_result_is_asked_what_became_of_it(make_http_desk: MakeHttpDesk) -> None:
    desk = make_http_desk(connector=Short)
    desk.make("Acme", "Beta")
    with pytest.raises(Unavailable):
        desk.sync.push()
    desk.sync.push()
    assert desk.there() == ["Acme", "Beta"]


def test_c63_a_defect_of_a_connector_is_a_dead_letter_without_its_values(make_http_desk: MakeHttpDesk) -> None:
    desk = make_http_desk(connector=Broken)
    desk.make("Acme")
    assert desk.sync.push() == {"customer.dead": 1}
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        assert letter.error == {"code": "erp_bridge.fatal", "params": {"reason": "KeyError in the connector"}}
    with pytest.raises(KeyError):
        desk.sync.pull()
    with desk.crm.session(OPERATOR) as s:
        assert [(r.kind, r.ok, r.error) for r in s.query(Run).order_by(Run.id).all()] == [
            (RunKind.PUSH, True, ""),
            (RunKind.PULL, False, "KeyError"),
        ]
    desk.later(minutes=1)
    assert desk.sync.push() == {}, "the lease was given back"
