"""What is wrong is found before it runs."""

from __future__ import annotations

from crm_core import Account, Entity, Field, Money, MoneyField, Ref, Session, field


class Deal(Entity):
    name: Field[str]
    account: Field[Ref[Account]]
    amount: MoneyField
    stage: Field[str] = field(default="new")


def wrong(s: Session, account: Account) -> None:
    Deal(name="x", account=account.ref)  # E: call-arg, reportCallIssue
    Deal(name=5, account=account.ref, amount=Money("1", "EUR"))  # E: arg-type, reportArgumentType
    Deal(name="x", account=account, amount=Money("1", "EUR"))  # E: arg-type, reportArgumentType
    Deal(name="x", account=account.ref, amount=Money("1", "EUR"), id="7")  # E: call-arg, reportCallIssue
    deal = s.get(Deal, "x")
    deal.stage = 7  # E: assignment, reportAttributeAccessIssue
    print(deal.nonsense)  # E: attr-defined, reportAttributeAccessIssue
    print(Deal.nonsense)  # E: attr-defined, reportAttributeAccessIssue
    s.get(str, "x")  # E: type-var, reportArgumentType
    s.find(Account, deal.ref)  # E: misc, reportArgumentType
    Money(1.5, "EUR")  # E: arg-type, reportArgumentType
    print(Money("1", "EUR") + 1)  # E: operator, reportOperatorIssue
