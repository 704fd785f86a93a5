"""The customer records that every module shares, through the public API: who they are [C01] and what happened with them [C03]."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from crm_core import (
    Account,
    AccountKind,
    Actor,
    Address,
    Affiliation,
    Channel,
    Conflict,
    Contact,
    Denied,
    Direction,
    Email,
    ExchangeRate,
    Interaction,
    Invalid,
    Link,
    Participant,
    Phone,
    Refused,
    Role,
    Session,
    owner,
)

SYSTEM = Actor.system("test", tenant="main")
CLERK = Role("clerk").allow(Interaction, "read", "create", "update", "delete").allow(Account, "read").allow(Contact, "read")
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)

LISTS: dict[str, tuple[Any, Any]] = {
    "emails": (Email("a@acme.example", primary=True), Email("b@acme.example", primary=True)),
    "phones": (Phone("+4930901820", primary=True), Phone("+4930901821", primary=True)),
    "addresses": (Address(street="1 Main St", primary=True), Address(street="2 Main St", primary=True)),
}


@pytest.mark.parametrize("entity", [Account, Contact])
@pytest.mark.parametrize("name", LISTS)
def test_c01_a_customer_has_many_addresses_of_each_kind_and_one_of_them_first(make_crm: Any, entity: type[Any], name: str) -> None:
    first, second = LISTS[name]
    crm = make_crm()
    with crm.session(SYSTEM) as s:
        made = s.create(entity(name="Acme", **{name: [first]}))
        with pytest.raises(Invalid) as raised:
            s.update(entity, made.id, {name: [first, second]})
        assert [(d.field, d.code) for d in raised.value.details] == [(name, "two_primaries")]
        other = type(second)(**{f: getattr(second, f) for f in ("address", "number", "street") if hasattr(second, f)})
        s.update(entity, made.id, {name: [first, other]})
    with crm.session(SYSTEM) as s:
        assert [item.primary for item in getattr(s.get(entity, made.id), name)] == [True, False]


def test_c01_addresses_are_found_however_they_were_typed(make_crm: Any) -> None:
    crm = make_crm()
    with crm.session(SYSTEM) as s:
        s.create(Contact(name="1", emails=[Email(" Ann.Lee@BÜCHER.Example")], phones=[Phone("+49 (30) 901820")]))
        s.create(Contact(name="2", emails=[Email("ann.lee@xn--bcher-kva.example")], phones=[Phone("+49-30-901820")]))
        for ann in s.query(Contact).all():
            assert (ann.emails[0].address, ann.phones[0].number) == ("ann.lee@bücher.example", "+4930901820")
        with pytest.raises(Invalid):
            s.create(Contact(name="Ann", emails=[Email("no address")]))


def test_c01_a_company_and_a_person_who_buys_are_one_kind_of_record(make_crm: Any) -> None:
    crm = make_crm()
    with crm.session(SYSTEM) as s:
        s.create_many([Account(name="Acme GmbH"), Account(name="Li Na", kind=AccountKind.PERSON, emails=[Email("li@example.com")])])
        assert [(a.name, a.kind) for a in s.query(Account).order_by(Account.name).all()] == [
            ("Acme GmbH", AccountKind.COMPANY),
            ("Li Na", AccountKind.PERSON),
        ]
        assert s.query(Account).where(Account.kind == AccountKind.PERSON).count() == 1


def test_c01_a_person_belongs_to_companies_in_a_role_and_for_a_time(make_crm: Any) -> None:
    crm = make_crm()
    with crm.session(SYSTEM) as s:
        old, new = s.create(Account(name="Old Ltd")), s.create(Account(name="New Ltd"))
        ann = s.create(Contact(name="Ann"))
        until, since = date(2025, 12, 31), date(2026, 1, 1)
        s.create(Affiliation(contact=ann.ref, account=old.ref, role="buyer", valid_to=until))
        s.create(Affiliation(contact=ann.ref, account=new.ref, role="head of purchasing", valid_from=since))
        with pytest.raises(Refused) as raised:
            s.create(Affiliation(contact=ann.ref, account=new.ref, role="never", valid_from=since, valid_to=until))
        assert [(d.field, d.code) for d in raised.value.details] == [("valid_to", "ends_before_it_begins")]
        today = date(2026, 3, 2)
        begun = Affiliation.valid_from.is_(None) | (Affiliation.valid_from <= today)
        lasts = Affiliation.valid_to.is_(None) | (Affiliation.valid_to >= today)
        assert [(a.account.id, a.role) for a in s.query(Affiliation).where(begun, lasts).all()] == [(new.id, "head of purchasing")]
        s.delete(ann)
        assert s.query(Affiliation).count() == 0


@pytest.mark.parametrize("entity", [Account, Contact])
def test_c01_a_source_knows_a_customer_by_one_reference(make_crm: Any, entity: type[Any]) -> None:
    crm = make_crm()
    with crm.session(SYSTEM) as s:
        made = s.create(entity(name="Acme", external_ref="erp:K-9"))
        with pytest.raises(Conflict) as raised:
            s.create(entity(name="Other", external_ref="erp:K-9"))
        assert raised.value.code == "not_unique"
        s.create(entity(name="Other", external_ref="shop:K-9"))
        assert s.upsert(entity(name="Acme Ltd", external_ref="erp:K-9"), on="external_ref").id == made.id
    with crm.session(Actor.system("test", tenant="other")) as s:
        s.create(entity(name="Acme", external_ref="erp:K-9"))


def test_a_rate_is_between_currencies_that_exist(make_crm: Any) -> None:
    crm = make_crm()
    with crm.session(SYSTEM) as s:
        for base, quote, field in [("ZZZ", "EUR", "base"), ("EUR", "usd", "quote"), ("EUR", "QQQ", "quote")]:
            with pytest.raises(Invalid) as raised:
                s.create(ExchangeRate(base=base, quote=quote, valid_from=date(2026, 1, 1), rate=Decimal(1)))
            assert [(d.field, d.code) for d in raised.value.details] == [(field, "bad_currency")]
        assert s.query(ExchangeRate).count() == 0


def said(s: Session, **given: Any) -> Interaction:
    basis: dict[str, Any] = {"at": AT, "channel": Channel.CALL, "direction": Direction.INBOUND, "subject": "Order", "body": "It is late."}
    return s.create(Interaction(**{**basis, "participants": [Participant("+4930901820", role="from")], **given}))


def changed(record: Interaction, **values: Any) -> Interaction:
    for name, value in values.items():
        setattr(record, name, value)
    return record


REWRITES: dict[str, Callable[[Session, Interaction], object]] = {
    "subject": lambda s, i: s.update(Interaction, i.id, {"subject": "x"}),
    "body": lambda s, i: s.update(Interaction, i.id, {"body": "x"}),
    "at": lambda s, i: s.update(Interaction, i.id, {"at": datetime(2020, 1, 1, tzinfo=UTC)}),
    "channel": lambda s, i: s.update(Interaction, i.id, {"channel": Channel.VISIT}),
    "direction": lambda s, i: s.update(Interaction, i.id, {"direction": Direction.OUTBOUND}),
    "participants": lambda s, i: s.update(Interaction, i.id, {"participants": []}),
    "links taken away": lambda s, i: s.update(Interaction, i.id, {"links": []}),
    "where": lambda s, i: s.update_where(s.query(Interaction), {"subject": "x"}),
    "save": lambda s, i: s.save(changed(i, subject="x")),
    "upsert": lambda s, i: s.upsert(Interaction(at=AT, subject="x", external_ref="mail:1"), on="external_ref"),
    "delete": lambda s, i: s.delete(i),
}


@pytest.mark.parametrize("rewrite", REWRITES)
def test_c03_what_happened_stays_as_it_was_written(make_crm: Any, rewrite: str) -> None:
    crm = make_crm(roles=[CLERK])
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme"))
    with crm.session(Actor("1", roles={"clerk"})) as s:
        written = said(s, external_ref="mail:1", links=[Link.to(account)])
    with crm.session(Actor("1", roles={"clerk"})) as s:
        with pytest.raises(Denied) as raised:
            REWRITES[rewrite](s, s.get(Interaction, written.id))
        assert raised.value.code == "append_only"
    with crm.session(SYSTEM) as s:
        assert s.get(Interaction, written.id) == written


def test_c03_links_are_added_and_an_owner_may_change(make_crm: Any) -> None:
    crm = make_crm(roles=[CLERK])
    with crm.session(SYSTEM) as s:
        acme, ann = s.create(Account(name="Acme")), s.create(Contact(name="Ann"))
    with crm.session(Actor("1", roles={"clerk"})) as s:
        written = said(s, links=[Link.to(acme)])
        amended = s.update(Interaction, written.id, {"links": [Link.to(ann), Link.to(acme)], "owner": "2"})
        assert (amended.links, amended.owner, amended.subject) == ([Link.to(ann), Link.to(acme)], "2", "Order")


@pytest.mark.parametrize("channel", Channel)
def test_c03_every_channel_keeps_direction_and_participants(make_crm: Any, channel: Channel) -> None:
    crm = make_crm()
    people = [Participant("ann@acme.example", "Ann", "from"), Participant("7", "Bo", "host")]
    with crm.session(SYSTEM) as s:
        said(s, channel=channel, direction=Direction.OUTBOUND, participants=people)
    with crm.session(SYSTEM, write=False) as s:
        (found,) = s.query(Interaction).all()
        assert (found.channel, found.direction, found.participants, found.at) == (channel, Direction.OUTBOUND, people, AT)


def test_c03_who_may_see_their_own_sees_no_others(make_crm: Any) -> None:
    crm = make_crm(roles=[Role("own").allow(Interaction, "read", "create", where=owner)])
    with crm.session(SYSTEM) as s:
        said(s, owner="1", subject="mine")
        said(s, owner="2", subject="theirs")
    with crm.session(Actor("1", roles={"own"}), write=False) as s:
        assert [i.subject for i in s.query(Interaction).all()] == ["mine"]
