"""Rules that are data, checked and asked about a record at hand by a plugin; and references that plugins set."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crm_core import CRM, Account, Actor, Change, Contact, Entity, Field, Invalid, Plugin, Ref, Role, WriteCtx, before_write, field
from crm_core.rules import F, Rule, actor, check, criterion, everything, from_json, matches, nothing, owner, related, team, to_json

ANN = Actor("ann", roles={"clerk"})
SYSTEM = Actor.system("test", tenant="main")

plugin = Plugin("desk", version="1.0.0")
plugin.grants("account:read")


class Parcel(Entity):
    """Something that the plugin addresses, and its sender returns."""

    owner: Field[str | None] = field(default=None)
    to: Field[Ref[Account] | None] = field(default=None, read_only=True)
    back: Field[Ref[Account] | None] = field(default=None)


plugin.entities(Parcel)
CLERK = Role("clerk").allow(Parcel, "read", "create", "update", where=owner).allow(Contact, "read", "create")


@plugin.hook(before_write, on=Parcel)
def address(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    with ctx.elevated("addresses") as session:
        known = session.query(Account).first()
    for change in changes:
        assert isinstance(change.record, Parcel)
        change.record.to = known.ref if known else None
    return changes


@pytest.fixture
def crm(make_crm: Callable[..., CRM]) -> CRM:
    return make_crm(plugins=[plugin], roles=[CLERK])


def test_a_checked_rule_is_asked_about_the_values_of_a_record_at_hand(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme", industry="tech"))
        contact = s.create(Contact(name="Jo", account=account.ref))
        tech = check(from_json(to_json(related("account", F("industry") == "tech"))), Contact, s)
        assert matches(tech, contact, s)
        contact.account = None
        assert not matches(tech, contact, s), "the record at hand counts, not what is stored"


def test_the_owner_in_a_rule_is_who_asks(crm: CRM) -> None:
    with crm.session(ANN) as s:
        parcel = s.create(Parcel())
        assert matches(check(owner, Parcel, s), parcel, s)
    with crm.session(Actor("bob", roles={"clerk"})) as s:
        assert not matches(check(owner, Parcel, s), parcel, s)


def test_a_rule_that_does_not_fit_its_entity_is_invalid_input(crm: CRM) -> None:
    with crm.session(SYSTEM) as s, pytest.raises(Invalid) as e:
        check(F("colour") == "red", Account, s)
    assert e.value.code == "rule_unknown_field"


def test_a_plugin_may_set_a_read_only_reference_to_what_its_actor_does_not_see(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        account = s.create(Account(name="Acme"))
    with crm.session(ANN) as s:
        parcel = s.create(Parcel())
        assert parcel.to == account.ref
        assert s.find(Account, account.id) is None
        assert parcel._related is None, "the hidden record itself is not handed out"
        with pytest.raises(Invalid), s.savepoint():
            s.update(Parcel, parcel.id, {"to": account.id})
        with pytest.raises(Invalid, match="no such account"), s.savepoint():
            s.update(Parcel, parcel.id, {"back": account.id})


TECH = F("industry") == "tech"
STORED: list[Rule] = [
    everything, nothing, F("customer") == True, F("title") == "CEO", F("title") != "CEO", ~(F("title") == "CEO"),  # noqa: E712  # makes a rule
    F("title").is_null(), F("title").in_(["CEO", "CTO"]), F("name").startswith("J"), F("name") >= "K",
    related("account", TECH), ~related("account", TECH), related("account", ~TECH), related("account", everything),
    (F("title") == "CEO") | related("account", TECH) & ~(F("customer") == True),  # noqa: E712  # makes a rule
]  # fmt: skip


def test_a_rule_as_a_query_finds_the_records_for_which_it_holds_at_hand(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        accounts = [s.create(Account(name="Acme", industry=i)).ref for i in ("tech", "food", None)]
        people = [
            Contact(name=f"{first}{n}", title=title, account=account, customer=bool(n % 2))
            for n, first in enumerate("JKé")
            for title in ("CEO", "CTO", "ceo", None)
            for account in (*accounts, None)
        ]
        known = s.create_many(people).ok
        counts = set()
        for rule in STORED:
            ready = check(from_json(to_json(rule)) if rule not in (everything, nothing) else rule, Contact, s)
            found = s.query(Contact).where(criterion(rule, Contact, s)).order_by(Contact.created_at).all()
            assert {c.id for c in found} == {c.id for c in known if matches(ready, c, s)}, str(rule)
            counts.add(len(found))
        assert counts > {0, len(known)}, "some find none, some all, and some a part"


def test_a_rule_as_a_query_sees_of_related_records_what_its_actor_sees(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        s.create(Contact(name="Jo", account=s.create(Account(name="Acme", industry="tech")).ref))
        assert s.query(Contact).where(criterion(related("account", TECH), Contact, s)).count() == 1
    with crm.session(ANN) as s:
        assert s.query(Contact).count() == 1
        assert s.query(Contact).where(criterion(related("account", TECH), Contact, s)).count() == 0
        assert s.query(Contact).where(criterion(F("name") == "Jo", Contact, s)).count() == 1


@pytest.mark.parametrize("rule", [owner, ~team, F("name") == actor("name"), F("name").in_(actor("names")), related("account", owner)])
def test_a_rule_that_speaks_of_the_actor_is_no_stored_query(crm: CRM, rule: Rule) -> None:
    with crm.session(SYSTEM) as s, pytest.raises(Invalid) as e:
        criterion(rule, Contact, s)
    assert e.value.code == "rule_of_actor"
