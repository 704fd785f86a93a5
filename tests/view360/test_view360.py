"""[C02] The customer 360 view: everything around a customer in one call, in the sight of whoever asks."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
from sqlalchemy import text

import crm_sales
import crm_service
from crm_core import (
    CRM,
    Account,
    Actor,
    Contact,
    Denied,
    Entity,
    Field,
    FixedClock,
    Interaction,
    Invalid,
    Link,
    Money,
    Note,
    NotFound,
    Plugin,
    Ref,
    Refused,
    Role,
    Runtime,
    Session,
    Tag,
    Tagging,
    owner,
)
from crm_sales.api import Opportunity
from crm_service.api import Ticket

MakeCRM = Callable[..., CRM]
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
ALL = Actor("1", roles={"sales.manager", "service.manager"})
ALL_ZH = Actor("1", roles={"sales.manager", "service.manager"}, locale="zh_CN")
OWN = Actor("7", roles={"sales.rep"})
NOBODY = Actor("8")
MINE = Role("mine").allow(Account, "read", where=owner).allow(Contact, "read").allow(Opportunity, "read", where=owner)
DISCREET = (
    Role("discreet")
    .allow(Account, "read", fields={"industry": "none", "website": "masked"})
    .allow(Opportunity, "read", fields={"amount": "none"})
    .allow(Interaction, "read", fields={"body": "none"})
    .allow(Note, "read", fields={"links": "none"})
)


def world(make_crm: MakeCRM, plugins: Sequence[Plugin] = (crm_sales.plugin, crm_service.plugin), **options: Any) -> CRM:
    return make_crm(plugins=plugins, runtime=Runtime.seeded(1, clock=FixedClock(START)), **options)


def customer(crm: CRM) -> tuple[Ref[Account], Ref[Contact]]:
    """Make one customer with a little of everything, and another whose things must not show."""
    with crm.session(Actor.system("setup", tenant="main")) as s:
        made = []
        for name in ("Acme", "Other"):
            account = s.create(Account(name=name, owner="7", industry="Steel", website="acme.example"))
            contact = s.create(Contact(name=f"Carol of {name}", account=account.ref, owner="7"))
            links = [Link.to(account)]
            s.create(Interaction(at=START - timedelta(days=2), subject=f"Call {name}", body="secret", links=links, owner="7"))
            s.create(Interaction(at=START - timedelta(days=1), subject=f"Visit {name}", links=links, owner="9"))
            s.create(Note(body=f"Note {name}", links=links, owner="7"))
            s.create(Tagging(tag=s.upsert(Tag(name="VIP"), on="name").ref, entity="account", record=account.id, owner="1"))
            if "sales" in {p.name for p in crm.registry.plugins}:
                for seats, whose in ((100, "7"), (20, "9")):
                    deal = Opportunity(name=f"{seats} seats of {name}", account=account.ref, amount=Money(seats, "EUR"), owner=whose)
                    deal.contact = contact.ref
                    s.create(deal)
            if "service" in {p.name for p in crm.registry.plugins}:
                s.create(Ticket(subject=f"Fire at {name}", account=account.ref, contact=contact.ref))
            made.append((account.ref, contact.ref))
    return made[0]


def shown(view: Any, panel: str, part: str, field: str) -> list[Any] | None:
    found = view.panel(panel)
    return None if found is None else [getattr(r, field) for r in found.data[part]]


def test_c02_one_call_gives_identity_timeline_and_panels(make_crm: MakeCRM) -> None:
    crm = world(make_crm)
    acme, _ = customer(crm)
    with crm.session(ALL, write=False) as s:
        view = s.view360(acme)
        assert (view.record.id, view.at, view.account) == (acme.id, None, None)
        assert [(e.entity, e.at) for e in view.timeline] == [
            ("note", START),
            ("interaction", START - timedelta(days=1)),
            ("interaction", START - timedelta(days=2)),
        ]
        assert shown(view, "core.contacts", "contacts", "name") == ["Carol of Acme"]
        assert shown(view, "core.tags", "tags", "name") == ["VIP"]
        assert shown(view, "sales.deals_of_account", "deals", "name") == ["20 seats of Acme", "100 seats of Acme"]
        assert shown(view, "sales.orders_of_account", "orders", "number") == []
        assert shown(view, "service.tickets_of_account", "tickets", "subject") == ["Fire at Acme"]
        promises = view.panel("service.promises_of_account")
        assert promises is not None
        assert promises.data == {"promises": []}


def test_c02_a_contacts_view_brings_the_accounts_along_where_it_may_be_seen(make_crm: MakeCRM) -> None:
    crm = world(make_crm, roles=[Role("people").allow(Contact, "read")])
    acme, carol = customer(crm)
    with crm.session(ALL, write=False) as s:
        view = s.view360(carol)
        assert shown(view, "sales.deals_of_contact", "deals", "name") == ["20 seats of Acme", "100 seats of Acme"]
        assert shown(view, "service.tickets_of_contact", "tickets", "subject") == ["Fire at Acme"]
        assert view.account is not None
        assert view.account.record.id == acme.id
        assert len(view.account.timeline) == 3
    with crm.session(Actor("5", roles={"people"}), write=False) as s:
        assert s.view360(carol).account is None


def test_c02_a_deal_and_a_ticket_bring_their_customer_along(make_crm: MakeCRM) -> None:
    crm = world(make_crm)
    acme, _ = customer(crm)
    with crm.session(ALL, write=False) as s:
        for record in (s.query(Opportunity).first(), s.query(Ticket).first()):
            assert record is not None
            view = s.view360(record)
            assert (view.record.id, view.account.record.id if view.account else "") == (record.id, acme.id)
            assert [p.error for p in view.panels] == [None] * len(view.panels)
        with pytest.raises(NotFound):
            s.view360(Ref(Ticket, acme.id))


def test_c02_each_user_sees_their_part_and_no_trace_of_the_rest(make_crm: MakeCRM) -> None:
    crm = world(make_crm, roles=[MINE])
    acme, _ = customer(crm)
    with crm.session(OWN, write=False) as s:
        view = s.view360(acme)
        assert shown(view, "sales.deals_of_account", "deals", "name") == ["100 seats of Acme"]
        assert [getattr(e.record, "subject", "note") for e in view.timeline] == ["note", "Call Acme"]
        assert view.panel("service.tickets_of_account") is None
        assert view.panel("service.promises_of_account") is None
        assert "9" not in {getattr(e.record, "owner", None) for e in view.timeline}
    with crm.session(Actor("7", roles={"mine"}), write=False) as s:
        view = s.view360(acme)
        assert [p.name for p in view.panels] == ["core.contacts", "sales.deals_of_account"]
        assert (len(view.timeline), view.timeline.next) == (0, None)
    for actor in (NOBODY, Actor("9", roles={"mine"}), Actor("1", tenant="else", roles=ALL.roles)):
        with crm.session(actor, write=False) as s:
            with pytest.raises(NotFound):
                s.view360(acme)
            with pytest.raises(NotFound):
                s.timeline(acme)


def test_c02_a_hidden_field_is_absent_from_every_part(make_crm: MakeCRM) -> None:
    crm = world(make_crm, roles=[DISCREET])
    acme, _ = customer(crm)
    with crm.session(Actor("5", roles={"discreet"}), write=False) as s:
        view = crm.to_json(s.view360(acme))
        assert "industry" not in view["record"]
        assert view["record"]["website"] == "***"
        (deals,) = [p["data"]["deals"] for p in view["panels"] if p["name"] == "sales.deals_of_account"]
        assert all("amount" not in deal and "name" in deal for deal in deals)
        assert [(e["entity"], "body" in e["record"]) for e in view["timeline"]["items"]] == [("interaction", False)] * 2
        assert "Steel" not in json.dumps(view)
        assert "secret" not in json.dumps(view)


def test_c02_labels_and_failures_speak_the_users_language(make_crm: MakeCRM) -> None:
    crm = world(make_crm)
    acme, _ = customer(crm)
    with crm.session(ALL_ZH, write=False) as s:
        labels = [p.label for p in s.view360(acme).panels]
        assert labels == ["联系人", "标签", "进行中的商机", "订单", "未解决的工单", "未兑现的承诺", "最近的回答"]
    with crm.session(ALL, write=False) as s:
        labels = [p.label for p in s.view360(acme).panels]
        assert labels == ["Contacts", "Tags", "Open deals", "Orders", "Open tickets", "Open promises", "Last answers"]


class Grade(Entity):
    """What a customer is worth; few may see it."""

    account: Field[Ref[Account]]
    letter: Field[str]


def failing(*panels: Callable[[Session, Account], Any]) -> Plugin:
    plugin = Plugin("acme", version="1.0")
    plugin.entities(Grade)
    for fn in panels:
        plugin.panel(Account, label=fn.__name__)(fn)
    return plugin


def raises(s: Session, account: Account) -> dict[str, Any]:
    raise ConnectionError("personal words")


def breaks_the_database(s: Session, account: Account) -> dict[str, Any]:
    s._unit.connection.execute(text("SELECT nothing FROM nowhere"))
    return {}


def refuses(s: Session, account: Account) -> dict[str, Any]:
    raise Refused("several_found", entity="grade")


def returns_a_list(s: Session, account: Account) -> Any:
    return [1]


def returns_an_object(s: Session, account: Account) -> dict[str, Any]:
    return {"session": s}


def has_no_end(s: Session, account: Account) -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["again"] = circle
    return circle


def says_nothing(s: Session, account: Account) -> None:
    return None


def is_forbidden(s: Session, account: Account) -> dict[str, Any]:
    return {"n": s.query(Grade).where(Grade.letter == "A").count()}


def is_denied(s: Session, account: Account) -> dict[str, Any]:
    raise Denied(action="office.look")


def elevates(s: Session, account: Account) -> dict[str, Any]:
    with s.elevated("to show too much") as wide:
        return {"grades": wide.query(Grade).all(), "best": wide.query(Grade).first()}


def is_well(s: Session, account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "worth": Money("1", "EUR"),
        "since": START.date(),
        "half": 0.5,
        "who": account.ref,
        "nested": [{"a": None}],
    }


def test_c02_a_failing_panel_is_named_and_the_view_comes_all_the_same(make_crm: MakeCRM, caplog: pytest.LogCaptureFixture) -> None:
    broken = (raises, breaks_the_database, refuses, returns_a_list, returns_an_object, has_no_end)
    plugin = failing(*broken, says_nothing, is_well)
    crm = world(make_crm, [plugin], roles=[Role("reader").allow(Account, "read")])
    acme, _ = customer(crm)
    for locale, words in (("en", "acme cannot show this part now"), ("zh", "acme 现在无法显示这一部分")):
        with caplog.at_level(logging.WARNING), crm.session(Actor("5", roles={"reader"}, locale=locale), write=False) as s:
            view = s.view360(acme)
        found = {p.name: p for p in view.panels}
        assert list(found) == [f"acme.{fn.__name__}" for fn in (*broken, is_well)]
        for fn in broken:
            panel = found[f"acme.{fn.__name__}"]
            assert panel.data is None
            assert (panel.error or "").startswith(words)
            assert f"acme.{fn.__name__}" in (panel.error or "")
            assert "personal words" not in (panel.error or "")
        assert "the panel acme.raises failed" in caplog.text
        assert crm.to_json(view)["panels"][-1]["data"] == {
            "name": "Acme",
            "worth": {"amount": "1.00", "currency": "EUR"},
            "since": "2026-03-02",
            "half": 0.5,
            "who": acme.id,
            "nested": [{"a": None}],
        }


def test_c02_what_a_panel_read_beyond_the_users_rights_does_not_show(make_crm: MakeCRM) -> None:
    plugin = failing(elevates, is_forbidden, is_denied)
    crm = world(
        make_crm,
        [plugin],
        roles=[Role("reader").allow(Account, "read"), Role("half").allow(Account, "read").allow(Grade, "read", fields={"letter": "none"})],
    )
    acme, _ = customer(crm)
    with crm.session(Actor.system("setup", tenant="main")) as s:
        s.create(Grade(account=acme, letter="A"))
    with crm.session(Actor("5", roles={"reader"})) as s:
        view = s.view360(acme)
        assert crm.to_json(view)["panels"][0]["data"] == {"grades": [], "best": None}
    with crm.session(Actor("6", roles={"half"})) as s:
        view = s.view360(acme)
        assert [p.name for p in view.panels] == ["acme.elevates"]  # of the others one asks for a hidden field and one was denied
        grades = crm.to_json(view)["panels"][0]["data"]["grades"]
        assert len(grades) == 1
        assert "letter" not in grades[0]


@pytest.mark.parametrize(
    "picked", [c for n in range(3) for c in combinations(("sales", "service"), n)], ids=lambda c: "+".join(c) or "none"
)
def test_c02_any_subset_of_plugins_leaves_only_its_own_panels(make_crm: MakeCRM, picked: tuple[str, ...]) -> None:
    plugins = {"sales": crm_sales.plugin, "service": crm_service.plugin}
    crm = world(make_crm, [plugins[name] for name in picked])
    acme, carol = customer(crm)
    with crm.session(Actor.system("look", tenant="main"), write=False) as s:
        for ref in (acme, carol):
            view = s.view360(ref)
            assert {p.plugin for p in view.panels} == {"core", *picked}
            assert [p.error for p in view.panels if p.error] == []


def test_c02_a_timeline_is_read_page_by_page_without_gap_or_repetition(make_crm: MakeCRM) -> None:
    crm = world(make_crm, ())
    acme, _ = customer(crm)
    with crm.session(Actor.system("setup", tenant="main")) as s:
        account = s.get(Account, acme)
        calls = [Interaction(at=START - timedelta(hours=n // 3), subject=str(n), links=[Link.to(account)]) for n in range(20)]
        s.create_many(calls)
        s.create_many([Note(body=str(n), links=[Link.to(account)]) for n in range(7)])
        whole = [e.record.id for e in s.timeline(acme, size=100)]
        assert len(whole) == 30
        for size in (1, 3, 7, 29, 30):
            found, page = [], s.timeline(acme, size=size)
            while True:
                assert len(page) <= size
                found += [e.record.id for e in page]
                if page.next is None:
                    break
                page = s.timeline(acme, size=size, after=page.next)
            assert found == whole
        assert [e.at for e in s.timeline(acme, size=100)] == sorted((e.at for e in s.timeline(acme, size=100)), reverse=True)


@pytest.mark.parametrize(
    "cursor", ["", "x", "€", "W10", "WyJ4IiwgIngiXQ", "bnVsbA", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwIiwgIngiXQ", "A" * 10_000]
)
def test_a_timelines_cursor_is_not_believed(make_crm: MakeCRM, cursor: str) -> None:
    crm = world(make_crm, ())
    acme, _ = customer(crm)
    with crm.session(Actor.system("look", tenant="main"), write=False) as s:
        with pytest.raises(Invalid) as error:
            s.timeline(acme, after=cursor)
        assert error.value.code == "bad_cursor"
        for size in (0, -1, 1001, "5"):
            with pytest.raises(Invalid):
                s.timeline(acme, size=size)  # type: ignore[arg-type]  # the mistake under test


def test_c02_a_view_of_the_past_shows_who_the_customer_was(make_crm: MakeCRM) -> None:
    crm = world(make_crm, roles=[DISCREET])
    acme, carol = customer(crm)
    clock = crm.runtime.clock
    assert isinstance(clock, FixedClock)
    clock.advance(timedelta(days=1))
    with crm.session(ALL) as s:
        s.update(Account, acme, {"name": "Acme SE", "industry": None, "owner": "9"})
        s.create(Note(body="later", links=[Link.to(acme)]))
        assert len(s.view360(acme).timeline) == 4
        then = s.view360(acme, at=START)
        record = then.record
        assert isinstance(record, Account)
        assert (record.name, record.industry, record.owner, record.version) == ("Acme", "Steel", "7", 1)
        assert (record.created_at, record.updated_at) == (START, START)
        assert (then.at, len(then.timeline), then.panels) == (START, 3, ())
        past = s.view360(carol, at=START).account
        assert past is not None
        assert getattr(past.record, "name", "") == "Acme"
        with pytest.raises(NotFound):
            s.view360(acme, at=START - timedelta(seconds=1))
        with pytest.raises(Invalid):
            s.view360(acme, at=datetime(2026, 3, 2))  # noqa: DTZ001  # the mistake under test
    with crm.session(Actor("5", roles={"discreet"}), write=False) as s:
        seen = crm.to_json(s.view360(acme, at=START))
        assert "industry" not in seen["record"]
        assert seen["record"]["website"] == "***"


def test_looking_at_a_customer_under_a_key_keeps_nothing_that_a_second_run_could_miss(make_crm: MakeCRM) -> None:
    crm = world(make_crm)
    acme, carol = customer(crm)

    def run() -> str:
        with crm.session(ALL, idempotency_key="looked") as s:
            s.view360(carol)
            return s.create(Account(name="Beta")).id

    first = run()
    with crm.session(ALL) as s:
        s.update(Contact, carol.id, {"title": "CEO"})
        s.update(Account, acme.id, {"industry": "glass"})
    assert run() == first
