"""A lead becomes a customer: company, contact and deal linked or made, the whole history along, once and for all [C13]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from crm_core import (
    Account,
    AccountKind,
    Contact,
    Ctx,
    Denied,
    Event,
    FilterHook,
    Interaction,
    Link,
    Money,
    Note,
    Ref,
    Refused,
    Session,
    Tagging,
)

from .leads import Lead, LeadStatus, addresses, holder
from .opportunities import Opportunity
from .plugin import plugin
from .settings import Settings


class LeadConverted(Event[Lead], name="sales.lead_converted", version=1):
    """A lead became a customer with a deal."""

    account: Ref[Account]
    contact: Ref[Contact]
    opportunity: Ref[Opportunity]


@attrs.frozen
class Conversion:
    """What a lead became; the same at every call."""

    account: Ref[Account]
    contact: Ref[Contact]
    opportunity: Ref[Opportunity]


@attrs.define(eq=False)
class ConversionCtx(Ctx):
    """A conversion that is about to happen."""


@attrs.define(eq=False)
class ConversionDraft:
    """A lead and what it is about to become. ``account`` and ``contact`` are new, or those that were found; only new ones are written."""

    lead: Lead
    account: Account
    contact: Contact
    opportunity: Opportunity


map_conversion: FilterHook[ConversionCtx, list[ConversionDraft]] = FilterHook("sales.map_conversion")
"""Carry fields of your own over: ``draft.opportunity[MyDeal].grade = draft.lead[MyLead].grade``."""

plugin.hooks(map_conversion)
plugin.events(LeadConverted)


def convert(
    session: Session,
    lead: Lead | Ref[Lead],
    *,
    account: Ref[Account] | None = None,
    contact: Ref[Contact] | None = None,
    deal: str = "",
    amount: Money | None = None,
) -> Conversion:
    """Turn a lead into account, contact and deal. A second call, also at the same time, returns the first one's.

    Args:
        account, contact: existing ones to use; else those the actor sees with the lead's company, e-mail or phone, else new ones.
        deal: the deal's name; the company's or the person's where it is empty.
        amount: of the deal; the lead's where not given.

    Raises:
        Denied: the actor may not change the lead, or create what is missing.
        Refused: ``sales.lead_disqualified``.
    """
    current = session.get(Lead, lead.id)
    done = _done(current)
    if done is not None:
        return done
    if not session.can("update", current):
        raise Denied(action="update", entity="sales.lead")
    with session.savepoint():
        with session.elevated("lock of a lead") as elevated:
            locked = elevated.lock(Lead, current.id)
        done = _done(locked)
        if done is not None:
            return done
        if locked.status is LeadStatus.DISQUALIFIED:
            raise Refused("sales.lead_disqualified")
        made = _make(session, current, account, contact, deal, amount)
        _move_history(session, current, made)
        _finish(session, current, made)
    return made


def _done(lead: Lead) -> Conversion | None:
    if lead.converted_opportunity is None or lead.converted_account is None or lead.converted_contact is None:
        return None
    return Conversion(lead.converted_account, lead.converted_contact, lead.converted_opportunity)


def _make(
    session: Session, lead: Lead, account: Ref[Account] | None, contact: Ref[Contact] | None, deal: str, amount: Money | None
) -> Conversion:
    person = session.get(Contact, contact) if contact else holder(session, Contact, list(addresses(lead)))
    company = _company(session, lead, account, person)
    draft = ConversionDraft(
        lead,
        company or _new_account(lead),
        person or Contact(name=lead.name, title=lead.title, emails=lead.emails, phones=lead.phones, owner=lead.owner),
        Opportunity(
            name=deal or lead.company or lead.name, amount=amount or lead.amount or _nothing(session), owner=lead.owner, source=lead.source
        ),
    )
    (draft,) = map_conversion(ConversionCtx(session=session), [draft])
    new_account = company or session.create(draft.account)
    if person is None:
        draft.contact.account = new_account.ref
        draft.contact.customer = new_account.kind is AccountKind.PERSON
    new_contact = person or session.create(draft.contact)
    draft.opportunity.account, draft.opportunity.contact = new_account.ref, new_contact.ref
    return Conversion(new_account.ref, new_contact.ref, session.create(draft.opportunity).ref)


def _company(session: Session, lead: Lead, account: Ref[Account] | None, person: Contact | None) -> Account | None:
    if account is not None:
        return session.get(Account, account)
    if person is not None and person.account is not None:
        return session.find(Account, person.account)
    if not lead.company:
        return None
    return session.query(Account).where(Account.name == lead.company).order_by(Account.created_at).first()


def _new_account(lead: Lead) -> Account:
    if lead.company:
        return Account(name=lead.company, owner=lead.owner)
    return Account(name=lead.name, kind=AccountKind.PERSON, emails=lead.emails, phones=lead.phones, owner=lead.owner)


def _nothing(session: Session) -> Money:
    return Money.zero(session.settings(Settings).currency)


def _move_history(session: Session, lead: Lead, made: Conversion) -> None:
    """Relate all that happened with the lead to what it became, also what the actor does not see; nothing is taken from the lead."""
    links = [Link.to(made.opportunity), Link.to(made.account), Link.to(made.contact)]
    with session.elevated("history of a converted lead") as elevated:
        _relink(elevated, Interaction, lead, links)
        _relink(elevated, Note, lead, links)
        tags = elevated.query(Tagging).where(Tagging.entity == "sales.lead", Tagging.record == lead.id).all()
        elevated.create_many(_tagging(t, made.opportunity) for t in tags)


def _relink(session: Session, entity: type[Any], lead: Lead, links: Sequence[Link]) -> None:
    for record in session.query(entity).where(entity.links.has(lead.id)).all():
        missing = [link for link in links if link not in record.links]
        session.update(entity, record.id, {"links": [*record.links, *missing]})


def _tagging(tagging: Tagging, deal: Ref[Opportunity]) -> Tagging:
    return Tagging(tag=tagging.tag, entity="sales.opportunity", record=deal.id, owner=tagging.owner)


def _finish(session: Session, lead: Lead, made: Conversion) -> None:
    changes: dict[str, Any] = {
        "status": LeadStatus.CONVERTED,
        "converted_at": session.crm.runtime.clock.now(),
        "converted_account": made.account,
        "converted_contact": made.contact,
        "converted_opportunity": made.opportunity,
    }
    with session.elevated("a converted lead is locked") as elevated:
        elevated.update(Lead, lead.id, changes)
        elevated.emit(LeadConverted(record=lead.ref, account=made.account, contact=made.contact, opportunity=made.opportunity))
