"""What a document comes to: nets, taxes and totals, rounded half-up by the document's one policy. Pure functions.

Source of the policies: EN 16931 rounds the tax of each rate's sum (``DOCUMENT``); odoo issue 177192 shows what mixing them costs [G9].
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import attrs

from crm_core import Money

from .settings import Rounding

UNIT_PLACES = 6


@attrs.frozen
class Taxed:
    """A line's net and its tax in percent."""

    net: Money
    tax: Decimal


@attrs.frozen
class Totals:
    """What a document comes to."""

    net: Money
    tax: Money
    total: Money


def discounted(price: Money, percent: Decimal) -> Money:
    """Return a unit price less *percent*, rounded half-up to six places."""
    return (price - price * percent / 100).rounded(UNIT_PLACES)


def line_net(unit_price: Money, quantity: Decimal) -> Money:
    """Return what a line comes to before tax, rounded half-up to the minor unit under either policy."""
    return (unit_price * quantity).rounded()


def tax_of(net: Money, percent: Decimal) -> Money:
    """Return the tax on *net*, rounded half-up to the minor unit."""
    return (net * percent / 100).rounded()


def totals(lines: Iterable[Taxed], currency: str, rounding: Rounding) -> Totals:
    """Add up a document: tax rounded on each line, or once for each rate on the document."""
    given = list(lines)
    net = Money.sum((line.net for line in given), currency)
    if rounding is Rounding.LINE:
        tax = Money.sum((tax_of(line.net, line.tax) for line in given), currency)
    else:
        rates = sorted({line.tax for line in given})
        by_rate = (tax_of(Money.sum((x.net for x in given if x.tax == rate), currency), rate) for rate in rates)
        tax = Money.sum(by_rate, currency)
    return Totals(net, tax, net + tax)
