"""The factory: what it makes is valid, the same for the same seed, and mended where a plugin says which field."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from crm_core import Account, Contact, CRMError, Email, Money, Session
from crm_core.testing import Factory, Kit, Maker, example, examples_in
from crm_sales.api import Convert, Lead, Opportunity, OpportunityWon, Order, Quote, TakeIn
from tests.testing import test_factory as this

ENTITIES = (Account, Contact, Lead, Opportunity, Quote, Order)


@example(TakeIn)
def somebody(a: Maker) -> TakeIn:
    return TakeIn(name=f"Ann {a.n}", company=a.make(Account).name)


def test_every_entity_is_made_and_one_seed_makes_the_same_records(crm_kit: Kit) -> None:
    one, two, other = Factory(3), Factory(3), Factory(4)
    assert [type(crm_kit.make(entity)) for entity in ENTITIES] == [*ENTITIES]
    first = [one.value(crm_kit.session, kind) for kind in (str, int, Money, date, datetime, Email)]
    assert [two.value(crm_kit.session, kind) for kind in (str, int, Money, date, datetime, Email)] == first
    assert [other.value(crm_kit.session, kind) for kind in (str, int, Money, date, datetime, Email)] != first


def test_fields_that_are_given_stay_and_what_a_refusal_names_is_filled(crm_kit: Kit) -> None:
    account = crm_kit.make(Account, name="Acme")
    deal = crm_kit.make(Opportunity, stage="won", amount=Money("5", "USD"), account=account.ref)
    assert (account.name, deal.amount, deal.account) == ("Acme", Money("5", "USD"), account.ref)
    assert deal.won_reason
    with pytest.raises(CRMError, match="nowhere"):
        crm_kit.make(Opportunity, stage="nowhere")


def test_commands_and_events_are_made_of_what_they_declare(crm_kit: Kit) -> None:
    s = crm_kit.session
    command = crm_kit.factory.command(s, Convert)
    assert s.get(Lead, command.lead).id == command.lead.id
    event = crm_kit.factory.event(s, OpportunityWon, reason="price")
    assert (event.reason, s.get(Opportunity, event.record).id) == ("price", event.record.id)


def test_an_example_comes_before_what_is_declared(crm_kit: Kit) -> None:
    factory = Factory(1, examples_in(this))
    assert factory.command(crm_kit.session, TakeIn).name == "Ann 1"
    assert factory.command(crm_kit.session, TakeIn).name == "Ann 3"  # the account was the second
    assert factory.command(crm_kit.session, TakeIn, name="Bob").name == "Bob"


def test_what_nobody_knows_a_value_of_asks_for_an_example(crm_kit: Kit) -> None:
    with pytest.raises(TypeError, match="give an example"):
        crm_kit.factory.value(crm_kit.session, Session)
