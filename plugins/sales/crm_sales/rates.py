"""Dated exchange rates, and the figures a closed deal keeps of them [C78]."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import attrs

from crm_core import ExchangeRate, Money, Session

from .pipeline import reference


@attrs.frozen
class Rated:
    """An amount in the base currency, with the rate and its day that made it."""

    amount: Money
    rate: Decimal
    day: date


class Rates:
    """Rates into one currency, each (currency, day) read once."""

    def __init__(self, session: Session, base: str) -> None:
        self._session = session
        self._base = base
        self._known: dict[tuple[str, date], Decimal | None] = {}

    def convert(self, amount: Money, day: date) -> Rated | None:
        """Convert at the newest rate on or before *day*, rounded half-up to the minor unit; None where there is no rate."""
        if amount.currency == self._base:
            return Rated(amount, Decimal(1), day)
        key = (amount.currency, day)
        if key not in self._known:
            self._known[key] = self._rate(*key)
        rate = self._known[key]
        return None if rate is None else Rated(convert(amount, rate, self._base), rate, day)

    def _rate(self, currency: str, day: date) -> Decimal | None:
        with reference(self._session, ExchangeRate) as reader:
            dated = reader.query(ExchangeRate).where(
                ExchangeRate.base == currency, ExchangeRate.quote == self._base, ExchangeRate.valid_from <= day
            )
            found = dated.order_by(ExchangeRate.valid_from.desc()).first()
        return found.rate if found else None


def convert(amount: Money, rate: Decimal, currency: str) -> Money:
    """Return *amount* times *rate* in *currency*, rounded half-up to its minor unit."""
    return Money((amount * rate).amount, currency).rounded()
