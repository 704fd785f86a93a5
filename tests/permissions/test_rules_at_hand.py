"""Rules that are data, checked and asked about a record at hand by a plugin; and references that plugins set."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crm_core import CRM, Account, Actor, Change, Contact, Entity, Field, Invalid, Plugin, Ref, Role, WriteCtx, before_write, field, owner
from crm_core.rules import F, check, from_json, matches, related, to_json

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
