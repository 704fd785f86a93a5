"""The agent card: all that an agent should know, in one call, and no more than the agent may see [C45]."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

import pytest

from crm_core import CRM, Account, Actor, Channel, Contact, FixedClock, Money, NotFound, Plugin, Role, Runtime, owner
from crm_sales import plugin as sales
from crm_sales.api import LineDraft, Opportunity, Product, Sales
from crm_service import plugin
from crm_service.api import (
    CardCtx,
    CardDeal,
    CardPart,
    CardSubject,
    Commitment,
    LastScore,
    PreferredChannel,
    Service,
    ServiceTier,
    Survey,
    SurveyKind,
    SurveyResponse,
    Ticket,
    card_parts,
)
from tests.service.conftest import AGENT, MONDAY

SYSTEM = Actor.system("test", tenant="main")
SUPPORT = Actor("7", roles={"support"})
support = Role("support", extends=["service.agent"]).allow("sales.opportunity", "read", fields={"amount": "none"})
MakeCRM = Callable[..., CRM]


def make(make_crm: MakeCRM, *plugins: Plugin, roles: tuple[Role, ...] = ()) -> CRM:
    return make_crm(plugins=[plugin, *plugins], roles=list(roles), runtime=Runtime.seeded(1, clock=FixedClock(MONDAY)))


def customer(crm: CRM) -> tuple[Account, Contact]:
    """A gold customer with a person who was promised something, answered a survey, and has a ticket open and one solved."""
    with crm.session(SYSTEM) as s:
        acme = Account(name="Acme", owner="3")
        acme[ServiceTier].tier = "gold"
        acme = s.create(acme)
        jo = Contact(name="Jo", account=acme.ref, language="de")
        jo[PreferredChannel].channel = Channel.CHAT
        jo = s.create(jo)
        service = s.use(Service)
        service.open_onboarding(source="x:1", deal="Seats", account=acme.ref, commitments=[Commitment(what="Training", source="x:2")])
        s.create(Ticket(subject="The printer burns", account=acme.ref, contact=jo.ref))
        service.solve(s.create(Ticket(subject="Paper jam", account=acme.ref)))
        asked = s.create(Survey(name="Happy?", kind=SurveyKind.CSAT, question="?", quiet_days=0))
        other = s.create(Survey(name="NPS", kind=SurveyKind.NPS, question="?", quiet_days=0))
        for survey, score in ((asked, 2), (asked, 4), (other, 9)):
            (invited,) = service.invite(survey, [jo])
            service.respond(str(invited.token), score)
            assert isinstance(crm.runtime.clock, FixedClock)
            crm.runtime.clock.advance(timedelta(seconds=1))
    return acme, jo


def sell(crm: CRM, acme: Account) -> None:
    """An ordered product, a deal won and one open."""
    with crm.session(SYSTEM) as s:
        desk, lamp = (s.create(Product(name=n, list_price=Money("10", "EUR"))) for n in ("Desk", "Lamp"))
        won = s.create(Opportunity(name="Lamps", account=acme.ref, amount=Money("5", "EUR"), product=lamp.ref))
        s.use(Sales).win(won, reason="price")
        deal = s.create(
            Opportunity(name="100 seats", account=acme.ref, amount=Money("12000", "EUR"), owner="3", expected_close=date(2026, 6, 1))
        )
        quote = s.use(Sales).quote(deal, [LineDraft(product=desk.ref, quantity=Decimal(2))]).ref
        s.use(Sales).send(quote)
        s.use(Sales).accept(quote)
        s.use(Sales).confirm(s.use(Sales).order(quote))


def test_c45_one_call_gives_who_is_calling(make_crm: MakeCRM) -> None:
    crm = make(make_crm)
    acme, jo = customer(crm)
    with crm.session(AGENT, write=False) as s:
        card = s.use(Service).agent_card(jo)
        assert (card.account, card.contact, card.tier, card.language, card.channel) == (acme, jo, "gold", "de", Channel.CHAT)
        assert [t.subject for t in card.tickets] == ["The printer burns"]
        assert [p.what for p in card.promises] == ["Training"]
        assert card.csat == LastScore("Happy?", 4, 5, MONDAY + timedelta(seconds=1))
        assert (card.products, card.deals, card.more) == ([], [], {})
        same = s.use(Service).agent_card(acme.ref)
        assert (same.contact, same.language, same.csat, same.tickets) == (None, None, card.csat, card.tickets)


def test_c45_beside_sales_the_card_has_open_deals_and_what_was_bought(make_crm: MakeCRM) -> None:
    crm = make(make_crm, sales)
    acme, jo = customer(crm)
    sell(crm, acme)
    with crm.session(SYSTEM) as s:
        card = s.use(Service).agent_card(jo)
    assert [(d.name, d.amount, d.owner, d.expected_close) for d in card.deals] == [
        ("100 seats", Money("12000", "EUR"), "3", date(2026, 6, 1))
    ]
    assert card.products == ["Desk", "Lamp"]


def test_c45_the_card_holds_what_its_reader_may_see(make_crm: MakeCRM) -> None:
    crm = make(make_crm, sales, roles=(support,))
    acme, _ = customer(crm)
    sell(crm, acme)
    with crm.session(AGENT) as s:
        card = s.use(Service).agent_card(acme)
        assert (card.deals, card.products) == ([], []), "an agent has no right on deals"
    with crm.session(SUPPORT) as s:
        (deal,) = s.use(Service).agent_card(acme).deals
        assert deal == CardDeal("100 seats", "new", None, "3", date(2026, 6, 1)), "nor on their amounts"


def test_c45_what_the_reader_may_not_see_is_left_out_and_breaks_nothing(make_crm: MakeCRM) -> None:
    blind = (
        Role("blind")
        .allow(Account, "read", fields={"service_tier": "none"})
        .allow(Contact, "read", fields={"language": "none", "service_channel": "none"})
        .allow(Ticket, "read", where=owner)
        .allow(Survey, "read")
        .allow(SurveyResponse, "read", fields={"score": "none"})
        .allow("sales.opportunity", "read", fields={"status": "none"})
    )
    strict = Role("strict").allow(Contact, "read", fields={"account": "none"})
    crm = make(make_crm, sales, roles=(blind, strict))
    acme, jo = customer(crm)
    sell(crm, acme)
    with crm.session(Actor("9", roles={"blind"}), write=False) as s:
        card = s.use(Service).agent_card(jo)
        assert (card.tier, card.language, card.channel, card.csat) == (None, None, None, None)
        assert (card.tickets, card.promises, card.deals, card.products) == ([], [], [], [])
    with crm.session(Actor("9", roles={"strict"}), write=False) as s:
        card = s.use(Service).agent_card(jo)
        assert (card.account, card.tickets) == (None, [])
        with pytest.raises(NotFound):
            s.use(Service).agent_card(acme)


def test_c45_other_plugins_add_what_they_know(make_crm: MakeCRM) -> None:
    club = Plugin("acme.club", version="1.0.0", requires={"service": ">=1"})

    @club.hook(card_parts)
    def points(ctx: CardCtx, subject: CardSubject) -> CardPart | None:
        if subject.account is None:
            return None
        return CardPart(tier="silver", language="fr", products=["Membership"], more={"acme.club": {"points": 120}})

    crm = make(make_crm, club)
    acme, jo = customer(crm)
    with crm.session(AGENT, write=False) as s:
        card = s.use(Service).agent_card(acme)
        assert (card.tier, card.language) == ("gold", "fr"), "the module's own word comes first"
        assert (card.products, card.more) == (["Membership"], {"acme.club": {"points": 120}})
        assert s.use(Service).agent_card(jo).language == "de"


def test_c45_a_card_costs_the_same_for_a_customer_with_much_history(make_crm: MakeCRM) -> None:
    crm = make(make_crm)
    acme, _ = customer(crm)
    with crm.session(SYSTEM) as s:
        s.create_many([Ticket(subject=f"#{n}", account=acme.ref) for n in range(60)])
    with crm.session(AGENT, write=False) as s:
        assert len(s.use(Service).agent_card(acme).tickets) == 20
