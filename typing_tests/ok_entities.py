"""What embedders and vendors write type-checks: records hold plain values, classes hold columns."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, assert_type

from sqlalchemy import ColumnElement, select

from crm_core import (
    CRM,
    Account,
    Actor,
    Contact,
    Email,
    Entity,
    Extension,
    Field,
    ListField,
    Money,
    MoneyField,
    OptionalMoneyField,
    Page,
    Plugin,
    Ref,
    Role,
    Session,
    alias,
    field,
    owner,
    subordinates,
)

plugin = Plugin("shop", version="1.0.0")


class Deal(Entity):
    name: Field[str]
    account: Field[Ref[Account]]
    amount: MoneyField
    discount: OptionalMoneyField = field(default=None)
    stage: Field[str] = field(default="new")
    parent: Field[Ref[Deal] | None] = field(default=None)
    weight: Field[Decimal | None] = field(default=None)
    emails: ListField[Email] = field(factory=list)


plugin.entities(Deal)


@plugin.extend(Account)
class Loyalty(Extension):
    tier: Field[str] = field(default="basic")


def record_level(s: Session, account: Account) -> None:
    deal = s.create(Deal(name="100 seats", account=account.ref, amount=Money("12", "EUR")))
    assert_type(deal, Deal)
    assert_type(deal.id, str)
    assert_type(deal.name, str)
    assert_type(deal.amount, Money)
    assert_type(deal.discount, Money | None)
    assert_type(deal.account, Ref[Account])
    assert_type(deal.created_at, datetime)
    assert_type(deal.emails, list[Email])
    assert_type(deal.ref, Ref[Deal])
    assert_type(account[Loyalty].tier, str)
    assert_type(s.find(Account, deal.account), Account | None)
    deal.stage = "won"
    deal.weight = Decimal("0.5")


def class_level(s: Session) -> None:
    assert_type(Deal.stage, ColumnElement[str])
    assert_type(Loyalty.tier, ColumnElement[str])
    page = s.query(Deal).where(Deal.stage == "won", Deal.amount > Money("1", "EUR")).order_by(Deal.created_at.desc()).page(50)
    assert_type(page, Page[Deal])
    assert_type([d.name for d in page], list[str])
    other = alias(Deal)
    s.execute(select(Deal.stage, Deal.amount.sum()).join(other, other.parent == Deal.id).group_by(Deal.stage, Deal.amount.currency)).all()
    s.query(Account).where(Loyalty.tier == "gold", Account.emails.has("a@b.de")).count()


def roles() -> CRM:
    rep = Role("rep", label="Rep").allow(Account, "read", where=owner | subordinates).allow(Deal, "read", fields={"amount": "none"})
    return CRM("sqlite://", plugins=[plugin], roles=[rep])


def session(crm: CRM) -> Any:
    with crm.session(Actor("7", roles={"rep"})) as s:
        assert_type(crm.transact(Actor("7"), lambda t: t.query(Contact).count()), int)
        return s.update(Deal, "x", {"name": "y"}, version=3)
