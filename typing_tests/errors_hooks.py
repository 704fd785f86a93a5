"""What does not fit its hook, event or panel does not type-check."""

from __future__ import annotations

from typing import Any

from crm_core import Account, CollectHook, Contact, Created, Ctx, FilterHook, Plugin, Session, VetoHook

plugin = Plugin("acme.loyalty", version="1.2.0")
prices: FilterHook[Ctx, list[int]] = FilterHook("acme.loyalty.prices")
names: CollectHook[Ctx, list[int], str] = CollectHook("acme.loyalty.names")
check: VetoHook[Ctx, list[int]] = VetoHook("acme.loyalty.check")


@plugin.hook(prices)  # E: arg-type, reportArgumentType
def forgets_to_return(ctx: Ctx, prices: list[int]) -> None: ...


@plugin.hook(prices)  # E: arg-type, reportArgumentType
def returns_something_else(ctx: Ctx, prices: list[int]) -> list[str]:
    return []


@plugin.hook(check)  # E: arg-type, reportArgumentType
def answers(ctx: Ctx, prices: list[int]) -> bool:
    return True


@plugin.hook(names)  # E: arg-type, reportArgumentType
def counts(ctx: Ctx, prices: list[int]) -> int:
    return 1


@plugin.hook(prices)  # E: arg-type, reportArgumentType
def takes_no_context(prices: list[int]) -> list[int]:
    return prices


@plugin.on(Created[Account])  # E: arg-type, reportArgumentType
def of_another_entity(s: Session, event: Created[Contact]) -> None: ...


@plugin.panel(Account, label="Loyalty")  # E: arg-type, reportArgumentType
def of_a_contact(s: Session, contact: Contact) -> dict[str, Any]:
    return {}


@plugin.job(every="0 3 * * *")  # E: type-var, reportArgumentType
def asks_for_more(s: Session, more: int) -> None: ...
