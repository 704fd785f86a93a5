"""A vendor: ``acme.loyalty`` gives points for won deals, takes a discount off for gold customers, and redeems points."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import attrs

from crm_core import Account, Entity, Extension, Field, Plugin, Ref, Session, field
from crm_sales.api import DiscountCheck, Opportunity, OpportunityWon, PriceContext, PriceLine, check_discount, price_lines


# ------------------------------------------------------------------ day 1
@attrs.define
class Settings:
    """Settings of a tenant.

    Attributes:
        points_per_unit: points for one unit of a won deal's currency.
        blocked_tiers: tiers that get no discount.
        valid_days: after so many days points are gone.
    """

    points_per_unit: Decimal = Decimal("0.01")
    blocked_tiers: list[str] = attrs.Factory(list)
    valid_days: int = 730


plugin = Plugin("acme.loyalty", version="1.2.0", requires={"sales": ">=1,<2"}, settings=Settings, label="Loyalty")
plugin.grants("account:read", "sales.opportunity:read")  # what its subscribers see of others' records, and no more
plugin.catalogue(
    "en", {"acme.loyalty.redeem_label": "Redeem points", "acme.loyalty.blocked": "Customers of the tiers {tiers} get no discount."}
)
plugin.catalogue("zh", {"acme.loyalty.redeem_label": "兑换积分", "acme.loyalty.blocked": "{tiers} 级客户不享受折扣。"})


class PointsEntry(Entity):
    """Points given or taken."""

    account: Field[Ref[Account]]
    points: Field[int]
    source: Field[str] = field(unique=True)  # idempotency by a unique key: an event may come twice


plugin.entities(PointsEntry)


@plugin.extend(Account)
class Loyalty(Extension):
    """What the plugin adds to an account, as columns of its table: ``account[Loyalty].tier``."""

    tier: Field[str] = field(default="basic")


@plugin.on(OpportunityWon)
def award(s: Session, event: OpportunityWon) -> None:
    """Run as the plugin's own actor, on behalf of whoever won the deal."""
    rate = s.settings(Settings).points_per_unit
    deal = s.find(Opportunity, event.record)  # may be gone by now
    if deal and deal.account:
        s.upsert(PointsEntry(account=deal.account, points=int(event.amount.amount * rate), source=event.id), on="source")


@plugin.hook(price_lines, after="sales.discounts")
def loyalty_discount(ctx: PriceContext, lines: list[PriceLine]) -> list[PriceLine]:
    """A filter, called once for the batch: a list of equal length comes back."""
    accounts = {a.id: a for a in ctx.session.get_many(Account, [line.account.id for line in lines])}
    for line in lines:
        if line.account.id in accounts and accounts[line.account.id][Loyalty].tier == "gold":
            line.unit_price = line.unit_price * Decimal("0.95")
    return lines


@plugin.hook(check_discount)
def no_discount_for_blocked(ctx: DiscountCheck, lines: list[PriceLine]) -> None:
    """A veto: all refusals are collected, then the call fails whole, or row by row in an import."""
    blocked = ctx.session.settings(Settings).blocked_tiers
    for line in lines:
        if line.unit_price < line.list_price and ctx.session.get(Account, line.account)[Loyalty].tier in blocked:
            ctx.refuse(line, "acme.loyalty.blocked", tiers=blocked)


def gold(s: Session) -> list[Account]:
    """An extension's fields are typed columns of the account."""
    return s.query(Account).where(Loyalty.tier == "gold").all()


# ------------------------------------------------------------------ day 10: an action that a UI, REST, an automation and a test all call
@attrs.define
class Redeem:
    """Take points."""

    account: Ref[Account]
    points: int


@plugin.action(on=Account, permission="acme.loyalty.redeem", label="acme.loyalty.redeem_label")
def redeem(s: Session, cmd: Redeem) -> PointsEntry:
    return s.create(PointsEntry(account=cmd.account, points=-cmd.points, source=f"redeem:{s.crm.runtime.ids.new()}"))


@plugin.panel(Account, label="Loyalty")
def panel(s: Session, account: Account) -> dict[str, Any]:
    entries = s.query(PointsEntry).where(PointsEntry.account == account.ref).all()
    return {"tier": account[Loyalty].tier, "balance": sum(e.points for e in entries)}


@plugin.job(every="0 3 * * *", per_tenant=True)
def expire(s: Session) -> None:
    """Points are worth something for a while."""
    oldest = s.crm.runtime.clock.now() - timedelta(days=s.settings(Settings).valid_days)
    for entry in s.query(PointsEntry).where(PointsEntry.created_at < oldest).all():
        s.delete(entry)
