"""Conflicts: nothing of them is sent, kept or forgotten before somebody decides, and a decision is about how things are now [C63]."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest

from crm_core import Account, Invalid, NotFound, Ref, Refused
from crm_erp_bridge.api import Binding, BindRecord, ErpBridge, Order, Outbound, Parked, Remote
from tests.erp_bridge.conftest import MAPPING, OPERATOR, SYSTEM, Desk, MakeDesk, MakeHttpDesk, customer, order
from tests.erp_bridge.http_desk import HttpDesk
from tests.erp_bridge.http_erp import HttpConnector


class Reading(HttpConnector):
    """Reads single records too."""

    def get(self, entity: str, ids: Sequence[str], scope: str) -> list[Remote]:
        page = self.read(entity, None, datetime.fromisoformat("2030-01-01T00:00+00:00"), 1000, scope)
        return [r for r in page.records if r.id in ids]


def rename(desk: HttpDesk, name: str) -> None:
    with desk.crm.session(SYSTEM) as s:
        s.update(Account, s.query(Account).one().id, {"name": name})
    desk.crm.run_pending()


def there(desk: HttpDesk, id: str, name: str) -> None:
    """Have the ERP rename its customer."""
    desk.erp.change(id, {"name": name, "web": None})
    desk.later(minutes=1)


@pytest.fixture
def torn(make_http_desk: MakeHttpDesk) -> tuple[HttpDesk, str]:
    """Both sides renamed the customer, and the pull has seen it; the CRM's write is still queued."""
    desk = make_http_desk(connector=Reading)
    (id,) = desk.erp.write("customer", [{"name": "Old"}])
    desk.later(minutes=1)
    desk.sync.pull()
    rename(desk, "Ours")
    there(desk, id, "Theirs")
    assert desk.sync.pull() == {"customer.conflict": 1}
    return desk, id


def settled(desk: HttpDesk) -> set[str]:
    """Let three hours pass, and return the names on both sides."""
    for _ in range(3):
        desk.crm.run_pending()
        desk.sync.push()
        desk.later(hours=1)
        desk.sync.pull()
    assert desk.sync.reconcile().clean
    return {*desk.names(), *desk.there()}


def letters(desk: HttpDesk) -> list[Outbound | Parked]:
    with desk.crm.session(OPERATOR, write=False) as s:
        return s.use(ErpBridge).dead_letters()


def test_c63_what_is_in_conflict_is_not_sent_before_somebody_decides(torn: tuple[HttpDesk, str]) -> None:
    desk, _ = torn
    for _ in range(3):
        assert desk.sync.push() == {}
        desk.later(minutes=2)
        desk.sync.pull()
    rename(desk, "Ours, corrected")
    assert desk.sync.push() == {}
    assert (desk.there(), desk.names()) == (["Theirs"], ["Ours, corrected"])
    assert len(letters(desk)) == 1, "neither side's silence closed it"


@pytest.mark.parametrize(("theirs", "name"), [(True, "Theirs"), (False, "Ours")])
def test_c63_a_decision_brings_both_sides_to_it_and_nothing_older_goes_before_it(
    torn: tuple[HttpDesk, str], theirs: bool, name: str
) -> None:
    desk, _ = torn
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        if theirs:
            s.use(ErpBridge).replay(letter)
        else:
            s.use(ErpBridge).discard(letter, reason="the customer told us")
    counts = desk.sync.push()
    assert counts == ({} if theirs else {"customer.done": 1})
    assert (desk.there(), settled(desk)) == ([name], {name})


def test_c63_a_later_version_replaces_the_conflict_and_a_replay_takes_that_one(torn: tuple[HttpDesk, str]) -> None:
    desk, id = torn
    there(desk, id, "Theirs, 2")
    there(desk, id, "Theirs, 3")
    assert desk.sync.pull() == {"customer.conflict": 1}
    with desk.crm.session(OPERATOR) as s:
        s.use(ErpBridge).replay(s.use(ErpBridge).dead_letters()[0])
    assert (desk.names(), settled(desk)) == (["Theirs, 3"], {"Theirs, 3"})


def test_c63_a_replay_by_the_run_reads_the_record_once_more(torn: tuple[HttpDesk, str]) -> None:
    desk, id = torn
    there(desk, id, "Theirs, unseen")
    desk.sync.replay(letters(desk)[0].id)
    assert (desk.names(), letters(desk)) == (["Theirs, unseen"], [])
    assert settled(desk) == {"Theirs, unseen"}


@pytest.mark.parametrize("side", ["ERP", "CRM"])
def test_c63_a_conflict_whose_cause_is_gone_is_closed_and_what_was_held_back_goes_on(torn: tuple[HttpDesk, str], side: str) -> None:
    desk, id = torn
    if side == "ERP":
        there(desk, id, "Old")
    else:
        rename(desk, "Theirs")
        there(desk, id, "Theirs")
    desk.sync.pull()
    assert letters(desk) == []
    name = "Ours" if side == "ERP" else "Theirs"
    assert (settled(desk), desk.there()) == ({name}, [name])


def test_c63_a_customer_in_conflict_that_the_erp_deleted_is_replayed_as_gone(torn: tuple[HttpDesk, str]) -> None:
    desk, id = torn
    desk.erp.delete(id)
    desk.sync.replay(letters(desk)[0].id)
    assert (letters(desk), desk.names()) == ([], ["Ours"])
    with desk.crm.session(SYSTEM) as s:
        assert s.query(Binding).one().gone_at is not None


def test_a_letter_that_is_not_there_is_named(torn: tuple[HttpDesk, str]) -> None:
    with pytest.raises(Invalid) as error:
        torn[0].sync.replay("nobody")
    assert (error.value.code, error.value.params) == ("erp_bridge.unknown_letter", {"given": "nobody"})


def test_c63_a_letter_older_than_the_last_write_is_not_taken_in(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.drop("customer-1.json", customer("C1", name="First"))
    desk.sync.pull()
    desk.drop("customer-2.json", customer("C1", name="First", email="no address"))
    assert desk.sync.pull() == {"customer.invalid": 1}
    with desk.crm.session(SYSTEM) as s:
        s.update(Account, s.query(Account).one().id, {"name": "Second"})
    desk.deliver()
    desk.acknowledge()
    desk.later(minutes=2)
    assert desk.sync.push() == {"customer.done": 1}
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        with pytest.raises(Refused) as error:
            s.use(ErpBridge).replay(letter)
    assert error.value.code == "erp_bridge.letter_outdated"
    assert [a.name for a in desk.accounts()] == ["Second"]


def ambiguous(desk: Desk) -> tuple[Parked, str, str]:
    """Have a customer of the ERP with an order, and two of ours that it could be; return its letter and our ids."""
    with desk.crm.session(SYSTEM) as s:
        north, south = (s.create(Account(name="Acme", industry=name)).id for name in ("North", "South"))
    desk.drop("customer-1.json", customer("C1", name="Acme", branch="Steel"))
    desk.drop("order-1.json", order("O1"))
    assert desk.sync.pull() == {"customer.conflict": 1, "order.waiting": 1}
    with desk.crm.session(OPERATOR) as s:
        letter = next(p for p in s.use(ErpBridge).dead_letters() if p.stream == "customer")
    assert isinstance(letter, Parked)
    return letter, north, south


BY_NAME = MAPPING.replace('match = ["external_ref"]', 'match = ["name"]')


def test_c63_a_person_says_which_one_it_is_and_its_orders_follow(make_desk: MakeDesk) -> None:
    desk = make_desk(mapping=BY_NAME)
    letter, _, south = ambiguous(desk)
    with desk.crm.session(OPERATOR) as s:
        assert "erp_bridge.bind_record" in [a.name for a in s.actions(letter) if a.allowed]
        s.perform(BindRecord(letter.ref, south))
    assert desk.sync.pull() == {"order.create": 1}
    assert sorted((a.industry, a.external_ref) for a in desk.accounts()) == [("North", None), ("Steel", "K-C1")]
    with desk.crm.session(OPERATOR) as s:
        assert s.query(Order).one().account.id == south
        assert s.use(ErpBridge).dead_letters() == []
    assert desk.sync.reconcile().clean


def test_c63_a_record_is_bound_once_and_only_to_what_there_is(make_desk: MakeDesk) -> None:
    desk = make_desk(mapping=BY_NAME)
    letter, north, south = ambiguous(desk)
    with desk.crm.session(OPERATOR) as s:
        with pytest.raises(NotFound):
            s.use(ErpBridge).bind(letter, record="nobody")
        s.use(ErpBridge).bind(letter, record=north)
        with pytest.raises(Refused) as error:
            s.use(ErpBridge).bind(letter, record=south)
        assert error.value.code == "erp_bridge.not_dead"
    desk.drop("customer-2.json", customer("C2", name="Acme"))
    desk.sync.pull()
    with desk.crm.session(OPERATOR) as s:
        second = next(p for p in s.use(ErpBridge).dead_letters() if p.stream == "customer")
        assert isinstance(second, Parked)
        with pytest.raises(Refused) as error:
            s.use(ErpBridge).bind(second, record=north)
        assert (error.value.code, error.value.params) == ("erp_bridge.bound_already", {"record": north, "id": "C1"})


def test_c63_a_corrected_ambiguity_closes_its_letter(make_desk: MakeDesk) -> None:
    desk = make_desk(mapping=BY_NAME)
    ambiguous(desk)
    desk.later(hours=1)
    desk.drop("customer-2.json", customer("C1", name="Acme Steel"))
    assert desk.sync.pull() == {"customer.create": 1, "order.create": 1}
    with desk.crm.session(OPERATOR) as s:
        assert s.use(ErpBridge).dead_letters() == []
        assert s.get(Account, Ref(Account, s.query(Order).one().account.id)).name == "Acme Steel"


def test_c63_a_file_that_does_not_speak_of_what_is_in_conflict_decides_nothing(make_desk: MakeDesk) -> None:
    desk = make_desk()
    incoming = desk.root / "incoming"
    (incoming / "customer-1.csv").write_text("id,number,name\nC1,K-1,First\n")
    desk.sync.pull()
    with desk.crm.session(SYSTEM) as s:
        s.update(Account, s.query(Account).one().id, {"name": "Ours"})
    (incoming / "customer-2.csv").write_text("id,number,name\nC1,K-1,Theirs\n")
    assert desk.sync.pull() == {"customer.conflict": 1}
    (incoming / "customer-3.csv").write_text("id,branch\nC1,Steel\n")
    assert desk.sync.pull() == {"customer.conflict": 1}
    desk.deliver()
    assert desk.outgoing() == []
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        assert letter.error == {
            "code": "erp_bridge.both_changed", "params": {"fields": ["name"]}, "conflicts": {"name": ["Ours", "Theirs"]},
        }  # fmt: skip
        s.use(ErpBridge).replay(letter)
    assert [(a.name, a.industry) for a in desk.accounts()] == [("Theirs", "Steel")]
