"""Pull: what the ERP puts out arrives once, in order, whatever happens on the way [C04, C63]."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest

from crm_core import Account, Conflict, CRMError, Invalid, Money, Ref, Refused
from crm_erp_bridge.api import (
    Binding,
    DiscardRecord,
    ErpBridge,
    FolderDrop,
    Order,
    Page,
    Parked,
    ParkedState,
    ReplayRecord,
    Run,
    RunKind,
    SeenFile,
    Sync,
    Unavailable,
)
from tests.erp_bridge.conftest import MAPPING, OPERATOR, SYSTEM, Desk, MakeDesk, customer, order


def test_c63_customers_and_orders_of_a_file_arrive_and_are_bound(desk: Desk) -> None:
    desk.drop("customer-1.json", customer("C1", email="Info@ACME.example"), customer("C2"))
    desk.drop("order-1.json", order("O1", "C1"), order("O2", "C1", total="19.99", base="18.01", currency="USD"))
    assert desk.sync.pull() == {"customer.create": 2, "order.create": 2}
    with desk.crm.session(SYSTEM) as s:
        orders = s.query(Order).order_by(Order.number).all()
        assert [(o.number, o.total, o.base_total) for o in orders] == [
            ("SO-O1", Money("100.00", "EUR"), Money("100.00", "EUR")),
            ("SO-O2", Money("19.99", "USD"), Money("18.01", "EUR")),
        ]
        assert s.query(Binding).count() == 4
        assert s.query(Parked).count() == 0
    first = desk.accounts()[0]
    assert (first.name, first.external_ref, first.emails[0].address) == ("Customer C1", "K-C1", "info@acme.example")
    assert desk.sync.pull() == {}


def test_c63_a_customer_that_is_here_already_is_recognised_and_not_made_twice(desk: Desk) -> None:
    with desk.crm.session(SYSTEM) as s:
        known = s.create(Account(name="Customer C1", external_ref="K-C1", industry="Steel"))
    desk.drop("customer-1.json", customer("C1", branch="Tools"))
    assert desk.sync.pull() == {"customer.update": 1}
    (account,) = desk.accounts()
    assert (account.id, account.industry) == (known.id, "Tools")


def test_c63_one_that_could_be_several_or_another_ones_waits_for_a_person_and_makes_nobody(make_desk: MakeDesk) -> None:
    desk = make_desk(mapping=MAPPING.replace('match = ["external_ref"]', 'match = ["website"]').replace('owner = "crm"', 'owner = "erp"'))
    with desk.crm.session(SYSTEM) as s:
        for name, web in (("North", "https://acme.example"), ("South", "https://acme.example"), ("Customer C2", "https://best.example")):
            s.create(Account(name=name, website=web))
    desk.drop("customer-1.json", customer("C1", web="https://acme.example"), customer("C2", web="https://best.example"))
    desk.drop("customer-2.json", customer("C3", web="https://best.example"))
    assert desk.sync.pull() == {"customer.conflict": 2, "customer.update": 1}
    assert [a.name for a in desk.accounts()] == ["Customer C2", "North", "South"]
    with desk.crm.session(SYSTEM) as s:
        parked = {p.remote["id"]: p for p in s.query(Parked).all()}
        assert {id: (p.state, p.error["code"]) for id, p in parked.items()} == dict.fromkeys(
            ("C1", "C3"), (ParkedState.CONFLICT, "erp_bridge.ambiguous")
        )
        assert len(parked["C1"].error["params"]["records"]) == 2
        assert [b.remote_id for b in s.query(Binding).all()] == ["C2"]


def test_c63_the_database_itself_refuses_a_second_binding_of_either_side(desk: Desk) -> None:
    desk.drop("customer-1.json", customer("C1"), customer("C2"))
    desk.sync.pull()
    with desk.crm.session(SYSTEM) as s:
        one, two = s.query(Binding).order_by(Binding.remote_id).all()
    for changes in ({"remote_key": one.remote_key}, {"local_key": one.local_key}):
        with pytest.raises(Conflict) as error, desk.crm.session(SYSTEM) as s:
            s.update(Binding, two.id, changes)
        assert error.value.code == "not_unique"


def test_c63_a_file_is_used_once_and_order_is_that_of_the_names(desk: Desk) -> None:
    desk.drop("customer-2.json", customer("C1", name="Newer"))
    desk.drop("customer-1.json", customer("C1", name="Older"))
    desk.sync.pull()
    assert [a.name for a in desk.accounts()] == ["Newer"]
    desk.drop("customer-1.json", customer("C1", name="Older"))
    assert desk.sync.pull() == {}, "the same file was used already"
    assert [a.name for a in desk.accounts()] == ["Newer"]
    with desk.crm.session(SYSTEM) as s:
        assert sorted(f.name for f in s.query(SeenFile).all()) == ["customer-1.json", "customer-2.json"]


def test_c63_one_bad_record_is_parked_and_holds_up_none_but_those_that_need_it(desk: Desk) -> None:
    desk.drop("customer-1.json", customer("C1", email="no address"), customer("C2"))
    desk.drop("order-1.json", order("O1", "C1"), order("O2", "C2"), order("O3", "C2", state="?"))
    assert desk.sync.pull() == {
        "customer.invalid": 1, "customer.create": 1, "order.waiting": 1, "order.create": 1, "order.invalid": 1,
    }  # fmt: skip
    with desk.crm.session(OPERATOR) as s:
        letters = s.use(ErpBridge).dead_letters()
        assert [(p.stream, p.error["code"]) for p in letters if isinstance(p, Parked)] == [
            ("customer", "bad_email"), ("order", "erp_bridge.parent_missing"), ("order", "erp_bridge.bad_value"),
        ]  # fmt: skip
    desk.drop("customer-2.json", customer("C1", email="a@example.com"))
    counts = desk.sync.pull()
    assert counts == {"customer.create": 1, "order.create": 1}, "the order that waited for its customer came with it"
    with desk.crm.session(OPERATOR) as s:
        assert [p.error["code"] for p in s.use(ErpBridge).dead_letters()] == ["erp_bridge.bad_value"]


ODD: list[dict[str, Any]] = [
    *({"name": name} for name in ("a\x00b", "\ud800", "x" * 300, {"a": 1}, ["a\x00"], True, None, "", 10**400)),
    *({"id": id} for id in ("C\x00", "C\ud800", "C" * 300)),
    {"name": "", "note": "a\x00b", "web": "\ud800"},
    {"name": "", "note": "x" * 1_100_000},
    {"version": "1\x00"},
]


def test_c63_whatever_a_record_holds_it_holds_up_no_other(desk: Desk) -> None:
    desk.drop("customer-1.json", *[{**customer(f"C{n}"), **odd} for n, odd in enumerate(ODD)], customer("Last"))
    assert desk.sync.plan().counts == desk.sync.pull() == {"customer.invalid": len(ODD), "customer.create": 1}
    totals = ("1e3000000", "1e-400", "NaN", "1" * 70, "5")
    desk.drop("order-1.json", *[order(str(n), "Last", total=total) for n, total in enumerate(totals)], order("x", "C\x00"))
    assert desk.sync.pull() == {"order.invalid": 5, "order.create": 1}
    assert [s.there - s.here for s in desk.sync.reconcile().streams[:2]] == [len(ODD), 5]
    with desk.crm.session(OPERATOR) as s:
        letters = s.use(ErpBridge).dead_letters("files")
        assert len(letters) == len(ODD) + 5
        for letter in letters:
            s.use(ErpBridge).replay(letter)
        again = s.use(ErpBridge).dead_letters("files")
        assert [(x.id, x.error["code"]) for x in again] == [(x.id, x.error["code"]) for x in letters], "nothing of them was lost or guessed"


def test_c63_a_tombstone_deletes_a_fact_and_marks_a_customer(desk: Desk) -> None:
    desk.drop("customer-1.json", customer("C1"))
    desk.drop("order-1.json", order("O1"), order("O2"))
    desk.sync.pull()
    desk.drop("customer-2.json", {"id": "C1", "deleted": True})
    desk.drop("order-2.json", {"id": "O1", "deleted": True})
    assert desk.sync.pull() == {"customer.delete": 1, "order.delete": 1}
    with desk.crm.session(SYSTEM) as s:
        assert [o.number for o in s.query(Order).all()] == ["SO-O2"]
        assert {b.remote_id for b in s.query(Binding).where(Binding.gone_at.is_not(None)).all()} == {"C1", "O1"}
    assert len(desk.accounts()) == 1


def test_c63_fields_go_by_their_owner_and_what_both_changed_waits_for_a_person(desk: Desk) -> None:
    desk.drop("customer-1.json", customer("C1", branch="Steel", web="https://a.example"))
    desk.sync.pull()
    (account,) = desk.accounts()
    with desk.crm.session(SYSTEM) as s:
        s.update(Account, account.id, {"name": "Ours", "industry": "Wood", "website": "https://b.example"})
    desk.drop("customer-2.json", customer("C1", name="Theirs", branch="Tools", web="https://c.example"))
    assert desk.sync.pull() == {"customer.conflict": 1}
    (account,) = desk.accounts()
    assert (account.name, account.industry, account.website) == ("Ours", "Tools", "https://b.example")
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters("files")
        assert isinstance(letter, Parked)
        assert letter.error["conflicts"] == {"name": ["Ours", "Theirs"]}
        decisions = [f"erp_bridge.{what}_record" for what in ("replay", "discard", "bind")]
        assert [a.name for a in s.actions(letter) if a.allowed] == decisions
        s.perform(ReplayRecord(letter.ref))
    assert desk.accounts()[0].name == "Theirs"
    assert desk.sync.pull() == {}


def test_c63_a_discarded_conflict_keeps_ours_and_writes_it_to_the_erp(desk: Desk) -> None:
    desk.drop("customer-1.json", customer("C1"))
    desk.sync.pull()
    with desk.crm.session(SYSTEM) as s:
        s.update(Account, desk.accounts()[0].id, {"name": "Ours"})
    desk.drop("customer-2.json", customer("C1", name="Theirs"))
    desk.sync.pull()
    with desk.crm.session(OPERATOR) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        with pytest.raises(Invalid):
            s.perform(DiscardRecord(Ref(Parked, letter.id), " "))
        s.perform(DiscardRecord(Ref(Parked, letter.id), "the customer told us"))
        assert s.use(ErpBridge).dead_letters() == []
    desk.deliver()
    assert [(b["op"], b["id"], b["data"]["name"]) for b in desk.outgoing()] == [("update", "C1", "Ours")]


def test_csv_with_a_byte_order_mark_decimal_commas_and_another_encoding(make_desk: MakeDesk) -> None:
    desk = make_desk(folder={"delimiter": ";", "decimal": ",", "numbers": {"order": ["total", "base"]}})
    desk.drop("customer-1.json", customer("C1"))
    header = "id;no;customer;date;kind;state;total;currency;base\n"
    path = desk.root / "incoming" / "order-1.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"{header}O1;Größe;C1;2026-01-10;S;C;1.234,56;EUR;1.234,56\n".encode())
    desk.sync.pull()
    with desk.crm.session(SYSTEM) as s:
        found = s.query(Order).one()
    assert (found.number, found.total, found.base_total) == ("Größe", Money("1234.56", "EUR"), Money("1234.56", "EUR"))


def test_csv_in_latin_1_is_read_as_the_settings_say(make_desk: MakeDesk) -> None:
    desk = make_desk(folder={"encoding": "latin-1"})
    (desk.root / "incoming" / "customer-1.csv").write_bytes("id,number,name\nC1,K1,Müller\n".encode("latin-1"))
    desk.sync.pull()
    assert [a.name for a in desk.accounts()] == ["Müller"]


@pytest.mark.parametrize("text", ["id,number\nC1,K1,too many\n", "number\nK1\n", 'id\n"C1'])
def test_a_file_that_cannot_be_read_is_named_and_nothing_of_it_is_kept(desk: Desk, text: str) -> None:
    (desk.root / "incoming" / "customer-1.csv").write_text(text)
    with pytest.raises(CRMError) as error:
        desk.sync.pull()
    assert (error.value.code, error.value.params["file"]) == ("erp_bridge.bad_file", "customer-1.csv")
    assert desk.accounts() == []
    with desk.crm.session(SYSTEM) as s:
        assert [(r.ok, r.error) for r in s.query(Run).all()] == [(False, "erp_bridge.bad_file")]


def test_one_bad_row_is_a_letter_that_says_where_and_holds_up_no_other(make_desk: MakeDesk) -> None:
    desk = make_desk(folder={"delimiter": ";", "decimal": ",", "numbers": {"order": ["total", "base"]}})
    desk.drop("customer-1.json", customer("C1"))
    rows = {
        "O1": "59.50",
        "O2": "1.234,50",
        "": "1,00",
        "O4": "10,00-",
        "O5": "1,234.56",
        "O6": "1\u00a0234,5",
        "O7": "12.34.5,6",
        "O8": "1'000",
        "O9": "-,50",
    }
    lines = [f"{id};N{n};C1;2026-01-10;S;C;{total};EUR;1,00\n" for n, (id, total) in enumerate(rows.items(), 1)]
    path = desk.root / "incoming" / "order-1.csv"
    path.write_text("id;no;customer;date;kind;state;total;currency;base\n" + "".join(lines), encoding="utf-8")
    assert desk.sync.pull() == {"customer.create": 1, "order.create": 5, "order.invalid": 4}
    with desk.crm.session(SYSTEM) as s:
        totals = {o.number: o.total.amount for o in s.query(Order).all() if o.total}
        letters = s.query(Parked).order_by(Parked.remote_key).all()
        told = [(p.error["code"], p.error["params"]) for p in letters]
    assert totals == {
        "N2": Decimal("1234.50"),
        "N4": Decimal("-10.00"),
        "N6": Decimal("1234.5"),
        "N8": Decimal(1000),
        "N9": Decimal("-0.50"),
    }
    number = {"column": "total", "expected": "a number like 1.234,50"}
    wrong = {"1": number, "3": {"column": "id", "expected": "an id"}, "5": number, "7": number}
    assert {code for code, _ in told} == {"erp_bridge.bad_row"}
    assert {p["row"]: p for _, p in told} == {row: {"file": "order-1.csv", "row": row, **rest} for row, rest in wrong.items()}
    with desk.crm.session(OPERATOR) as s:  # a replay reads what stood there, by the same settings
        s.use(ErpBridge).replay(letters[0])
        assert s.get(Parked, letters[0].id).state is ParkedState.DEAD
    assert not desk.sync.reconcile().clean
    desk.drop("order-2.csv", text="id;no;customer;date;kind;state;total;currency;base\n" + lines[0].replace("59.50", "59,50"))
    assert desk.sync.pull() == {"order.create": 1}
    with desk.crm.session(SYSTEM) as s:
        assert s.query(Parked).where(Parked.state == ParkedState.DEAD).count() == 3


def test_a_record_that_is_gone_is_gone_whatever_its_numbers_say(make_desk: MakeDesk) -> None:
    desk = make_desk(folder={"decimal": ",", "delimiter": ";", "numbers": {"order": ["total"]}})
    desk.drop("customer-1.json", customer("C1"))
    desk.drop("order-1.json", order("O1"))
    desk.sync.pull()
    desk.drop("order-2.csv", text="id;total;deleted\nO1;59.50;x\n")
    assert desk.sync.pull() == {"order.delete": 1}
    with desk.crm.session(SYSTEM) as s:
        assert (s.query(Order).count(), s.query(Parked).count()) == (0, 0)


def test_a_column_that_is_not_there_says_nothing_and_an_empty_cell_empties(make_desk: MakeDesk) -> None:
    desk = make_desk(mapping=MAPPING.replace('codec = "email", owner = "crm"', 'codec = "email"'))

    def pulled(name: str, text: str) -> tuple[str, list[str]]:
        desk.drop(name, text=text)
        desk.sync.pull()
        (account,) = desk.accounts()
        return account.name, [e.address for e in account.emails]

    assert pulled("customer-1.csv", "id,number,name,email\nC1,K1,Acme,a@acme.example\n") == ("Acme", ["a@acme.example"])
    assert pulled("customer-2.csv", "id,number,name\nC1,K1,Acme SE\n") == ("Acme SE", ["a@acme.example"])
    assert desk.sync.reconcile().clean
    assert pulled("customer-3.csv", "id,number,name,email\nC1,K1,Acme SE,\n") == ("Acme SE", [])


def test_a_file_that_says_again_what_one_before_said_is_read_again(desk: Desk) -> None:
    for n, name in enumerate(("Acme", "Acme SE", "Acme"), 1):
        desk.drop(f"customer-{n}.csv", text=f"id,number,name\nC1,K1,{name}\n")
        desk.sync.pull()
        assert [a.name for a in desk.accounts()] == [name]
    assert desk.sync.reconcile().clean
    assert desk.sync.pull() == {}


def test_an_erp_with_its_own_names_for_ids_and_its_own_way_of_dates(make_desk: MakeDesk) -> None:
    mapping = MAPPING.replace(
        'ordered_on = { erp = "date", codec = "date" }', 'ordered_on = { erp = "date", codec = "date", format = "%d.%m.%Y" }'
    )
    assert "%d" in mapping
    desk = make_desk(mapping=mapping, folder={"ids": {"order": "Belegnr", "customer": "Kundennr"}})
    desk.drop("customer-1.csv", text="Kundennr,number,name\nC1,K1,Acme\n")
    lines = "".join(f"{id},N{id},C1,{day},S,C,5.00,EUR,5.00\n" for id, day in (("O1", "07.10.2026"), ("O2", "2026-10-07")))
    desk.drop("order-1.csv", text="Belegnr,no,customer,date,kind,state,total,currency,base\n" + lines)
    assert desk.sync.pull() == {"customer.create": 1, "order.create": 1, "order.invalid": 1}
    with desk.crm.session(SYSTEM) as s:
        assert [str(o.ordered_on) for o in s.query(Order).all()] == ["2026-10-07"]
        assert [p.error["params"]["expected"] for p in s.query(Parked).all()] == ["a date like 02.03.2026"]


def test_half_a_file_under_its_temporary_name_is_left_alone(desk: Desk) -> None:
    for name in (".customer-1.json.part", "customer-1.json.part", "customer-1.tmp"):
        (desk.root / "incoming" / name).write_text('[{"id": "C1", "na')
    assert desk.sync.pull() == {}


def test_c63_a_plan_tells_what_a_pull_would_do_and_writes_nothing(desk: Desk) -> None:
    desk.drop("customer-1.json", customer("C1", branch="Steel"))
    desk.sync.pull()
    desk.drop("customer-2.json", customer("C1", branch="Tools"), customer("C2"), customer("C3", email="nonsense"))
    before = state(desk)
    plan = desk.sync.plan()
    assert plan.counts == {"customer.update": 1, "customer.create": 1, "customer.invalid": 1}
    shown = {d.remote_id: (d.kind, d.fields.get("industry")) for d in plan.differences}
    assert shown == {"C1": ("update", ("Steel", "Tools")), "C2": ("create", (None, None)), "C3": ("invalid", None)}
    assert state(desk) == before
    assert desk.sync.pull() == plan.counts, "the pull does what the plan said"


def state(desk: Desk) -> list[tuple[str, int]]:
    """Return the journal's rows: whatever is written leaves one."""
    with desk.crm.bound.begin(write=False) as connection:
        journal = desk.crm.tables.system.journal
        rows = connection.execute(journal.select().order_by(journal.c.id)).all()
    return [(r.kind, r.id) for r in rows]


def test_c63_a_reconciliation_finds_what_differs_and_ends_a_job_with_1(desk: Desk) -> None:
    desk.drop("customer-1.json", customer("C1"))
    desk.drop("order-1.json", order("O1"), order("O2", total="50.00", currency="USD", date="2026-02-01"))
    desk.sync.pull()
    clean = desk.sync.reconcile()
    assert (clean.exit_code, [(s.stream, s.there, s.here) for s in clean.streams][:2]) == (0, [("customer", 1, 1), ("order", 2, 2)])
    with desk.crm.session(SYSTEM) as s:
        first, second = s.query(Order).order_by(Order.number).all()
        s.update(Order, first.id, {"total": Money("99.99", "EUR")})
        s.delete(second)
    desk.drop("order-2.json", order("O3"))
    found = desk.sync.reconcile()
    orders = next(s for s in found.streams if s.stream == "order")
    assert (found.exit_code, orders.there, orders.here, orders.missing_here, orders.only_there) == (1, 3, 1, 1, ["O3"])
    assert orders.sums["total 2026-01 EUR"] == (Decimal("200.00"), Decimal("99.99"))
    assert orders.sample[0][1]["total"][0]["amount"] == "99.99"
    with desk.crm.session(SYSTEM) as s:
        assert [r.ok for r in s.query(Run).where(Run.kind == RunKind.RECONCILE).order_by(Run.id).all()] == [True, False]


def test_pages_smaller_than_a_file_and_a_restart_after_each_end_the_same(desk: Desk) -> None:
    desk.drop("customer-1.json", *[customer(f"C{n}") for n in range(10)])
    for done in (4, 8):
        with pytest.raises(Unavailable):
            one_page(desk, pages=1).pull()
        assert len(desk.accounts()) == done
    assert one_page(desk, pages=9).pull() == {"customer.create": 2}
    assert len(desk.accounts()) == 10


class Stopping(FolderDrop):
    """Reads four records a page, and loses the network after some pages of customers."""

    def __init__(self, desk: Desk, pages: int) -> None:
        super().__init__(desk.settings)
        self.entities = {n: attrs.evolve(c, bulk_read=4) for n, c in self.entities.items()}
        self.left = pages

    def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
        self.left -= entity == "customer"
        if self.left < 0:
            raise Unavailable(reason="the network is gone")
        return super().read(entity, cursor, until, limit, scope)


def one_page(desk: Desk, *, pages: int) -> Sync:
    """Return a new process's run."""
    sync = Sync(desk.crm, "files")
    sync._channel.connector = Stopping(desk, pages)
    return sync


def test_two_runs_of_one_bridge_do_not_overlap_and_a_dead_ones_lease_ends(desk: Desk) -> None:
    desk.drop("customer-1.json", customer("C1"))
    other = Sync(desk.crm, "files")
    with other._channel.leased(), pytest.raises(Refused) as error:
        desk.sync.pull()
    assert error.value.code == "erp_bridge.busy"
    with other._channel.session("a run that dies"):
        pass
    with pytest.raises(Refused):
        desk.sync.pull()
    desk.later(minutes=6)
    assert desk.sync.pull() == {"customer.create": 1}
