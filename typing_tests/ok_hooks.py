"""A plugin's functions are typed by what they are declared for: hooks by their kind, handlers, actions, panels and jobs."""

from __future__ import annotations

from typing import Any, assert_type

import attrs

from crm_core import (
    Account,
    AsyncCRMSession,
    CollectHook,
    Created,
    Ctx,
    Extension,
    Field,
    FilterHook,
    FirstHook,
    Plugin,
    Ref,
    Session,
    VetoHook,
    field,
)

plugin = Plugin("acme.loyalty", version="1.2.0", requires={"sales": ">=1,<2"})


@attrs.define
class Line:
    account: Ref[Account]
    price: int


@attrs.define(eq=False)
class PriceContext(Ctx):
    currency: str


prices: FilterHook[PriceContext, list[Line]] = FilterHook("acme.loyalty.prices")
seller: FirstHook[Ctx, Line, str] = FirstHook("acme.loyalty.seller", per="item")
duplicates: CollectHook[Ctx, list[Line], int] = CollectHook("acme.loyalty.duplicates")
check: VetoHook[PriceContext, list[Line]] = VetoHook("acme.loyalty.check")
plugin.hooks(prices, seller, duplicates, check)


@plugin.extend(Account)
class Loyalty(Extension):
    tier: Field[str] = field(default="basic")


@plugin.hook(prices, after="sales.discounts")
def discount(ctx: PriceContext, lines: list[Line]) -> list[Line]:
    assert_type(ctx.session.get(Account, lines[0].account)[Loyalty].tier, str)
    return lines


@plugin.hook(seller)
def by_region(ctx: Ctx, line: Line) -> str | None:
    return None


@plugin.hook(duplicates)
def by_price(ctx: Ctx, lines: list[Line]) -> int | None:
    return len(lines)


@plugin.hook(check)
def not_too_cheap(ctx: PriceContext, lines: list[Line]) -> None:
    for line in lines:
        if line.price < 1:
            ctx.refuse(line, "acme.loyalty.too_cheap", field="price", least=1, currency=ctx.currency)


def price(s: Session, lines: list[Line]) -> None:
    ctx = PriceContext(s, "EUR")
    assert_type(prices(ctx, lines), list[Line])
    assert_type(seller(ctx, lines[0]), str | None)
    assert_type(duplicates(ctx, lines), list[int])
    check(ctx, lines)
    with ctx.elevated("look for duplicates") as more:
        assert_type(more, Session)


@plugin.on(Created[Account])
def welcome(s: Session, event: Created[Account]) -> None:
    assert_type(event.record, Ref[Account])


@plugin.on(Created[Account], batch=True)
def welcome_all(s: Session, events: list[Created[Account]]) -> None: ...


@attrs.define
class Redeem:
    account: Ref[Account]
    points: int


@plugin.action(on=Account, permission="acme.loyalty.redeem", label="Redeem points")
def redeem(s: Session, cmd: Redeem) -> int:
    return cmd.points


@plugin.panel(Account, label="Loyalty")
def panel(s: Session, account: Account) -> dict[str, Any]:
    return {"tier": account[Loyalty].tier}


@plugin.job(every="0 3 * * *", per_tenant=True)
def expire(s: Session) -> None:
    s.job.progress(1, 2, checkpoint={"after": "x"})


@plugin.job(every="0 4 * * *")
async def fetch(s: AsyncCRMSession) -> None:
    await s.run(lambda session: session.job.progress(1))


@plugin.data_migration("2.0.0")
def bring(s: Session) -> None: ...


@plugin.service
class Points:
    def __init__(self, session: Session) -> None:
        self.session = session


def use(s: Session, cmd: Redeem) -> None:
    assert_type(s.use(Points), Points)
    assert_type(redeem(s, cmd), int)
