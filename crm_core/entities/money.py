"""Money: an exact amount in one currency. Unlike currencies never add or compare."""

from __future__ import annotations

import decimal
import numbers
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, Never, Self

import attrs

from ..errors import Invalid, MixedCurrency, WrongArgument
from ..messages import redact
from .currencies import minor_units

if TYPE_CHECKING:
    from fractions import Fraction

Rounding = Literal["half_up", "half_even", "up", "down", "ceiling", "floor"]
_ROUNDINGS: Mapping[str, str] = {
    "half_up": decimal.ROUND_HALF_UP,
    "half_even": decimal.ROUND_HALF_EVEN,
    "up": decimal.ROUND_UP,
    "down": decimal.ROUND_DOWN,
    "ceiling": decimal.ROUND_CEILING,
    "floor": decimal.ROUND_FLOOR,
}

LIMIT = 10**18
MAX_PLACES = 18
_LONGEST_TEXT = 64
# Wide enough that no product or sum of amounts within the limits loses a digit; not the thread's context, which a host may change.
WIDE = decimal.Context(prec=120, rounding=decimal.ROUND_HALF_UP, traps=[decimal.InvalidOperation, decimal.DivisionByZero])
_EXACT = decimal.Context(prec=120, traps=[decimal.InvalidOperation, decimal.Inexact])
_UNITS = tuple(Decimal(1).scaleb(-places) for places in range(MAX_PLACES + 1))


def quantize_half_up(value: Decimal, places: int) -> Decimal:
    """Round to *places* digits after the point; a half goes away from zero (2.345 -> 2.35, -2.345 -> -2.35).

    Raises:
        Invalid: ``not_finite``, ``too_big``.
    """
    return _quantize(value, places, "half_up")


def _quantize(value: Decimal, places: int, rule: Rounding) -> Decimal:
    _check_size(value)
    if abs(places) > MAX_PLACES:
        raise Invalid("too_big", given=places, limit=MAX_PLACES)
    unit = _UNITS[places] if places >= 0 else Decimal(1).scaleb(-places, WIDE)
    return value.quantize(unit, _ROUNDINGS[rule], WIDE)


def _check_size(value: Decimal) -> None:
    if not value.is_finite():
        raise Invalid("not_finite", given=str(value))
    if value and value.adjusted() >= MAX_PLACES:
        raise Invalid("too_big", given=f"1e{value.adjusted()}", limit="1e18")


def read_decimal(value: object) -> Decimal:
    """Read a number exactly from text, an int or a Decimal, in microseconds whatever was sent.

    Raises:
        Invalid: ``wrong_type`` (a float is not exact), ``not_finite``, ``too_big`` (10**18 and more), ``too_long``.
    """
    if isinstance(value, str):
        if len(value) > _LONGEST_TEXT:
            raise Invalid("too_long", limit=_LONGEST_TEXT)
        try:
            value = Decimal(value)
        except decimal.InvalidOperation:
            raise Invalid("wrong_type", given=redact(value), expected="a decimal number") from None
    elif isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= LIMIT:
            raise Invalid("too_big", given=redact(value), limit="1e18")
        return Decimal(value)
    if not isinstance(value, Decimal):
        raise Invalid("wrong_type", given=type(value).__name__, expected="str, Decimal or int")
    _check_size(value)
    return value


def _canonical(value: Decimal, places: int) -> Decimal:
    """Write 12 and 12.000000 as 12.00, and 0.0350 as 0.035: one form for one value, never fewer digits than the minor unit."""
    try:
        exact = value.quantize(_UNITS[places], None, _EXACT)
    except decimal.Inexact:
        exact = value.normalize(WIDE)
        if exact.adjusted() < -MAX_PLACES or exact != exact.quantize(_UNITS[MAX_PLACES], context=WIDE):
            raise Invalid("too_precise", given=str(value)[:40], scale=MAX_PLACES) from None
    return exact if exact else exact.copy_abs()


@attrs.frozen(init=False, repr=False, order=False)
class Money:
    """An exact amount in a currency of ISO 4217: ``Money("12.50", "EUR")``.

    The amount lies within 10**18 and has at most 18 digits after the point, more than the minor unit if need be (a unit price of 0.0035).
    Sums and differences are exact; products and quotients are rounded half-up at the 18th digit, which for a product of an amount
    and a rate of nine digits each is still exact. Amounts of unlike currencies are unequal, and neither add nor compare.

    Raises:
        WrongArgument: ``money_operand``, ``money_factor``: it was added to, compared with or scaled by a plain value that does not fit.
        Invalid: ``wrong_type`` (floats are not exact), ``not_finite``, ``too_big``, ``too_long``, ``too_precise``, ``bad_currency``.
    """

    amount: Decimal
    currency: str

    def __init__(self, amount: str | Decimal | int, currency: str) -> None:
        places = minor_units(currency)
        object.__setattr__(self, "amount", _canonical(read_decimal(amount), places))
        object.__setattr__(self, "currency", currency)

    @classmethod
    def zero(cls, currency: str) -> Self:
        """Return nothing, in *currency*."""
        return cls(0, currency)

    @classmethod
    def sum(cls, amounts: Iterable[Money], currency: str) -> Self:
        """Add *amounts*, which must all be in *currency*; of none the sum is zero.

        Raises:
            MixedCurrency: one of them is not.
        """
        total = Decimal(0)
        for money in amounts:
            if money.currency != currency:
                raise MixedCurrency(one=currency, other=money.currency)
            total = WIDE.add(total, money.amount)
        return cls(total, currency)

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read ``{"amount": "12.00", "currency": "EUR"}``; the amount is text or a whole number.

        Raises:
            Invalid: ``bad_money`` for another shape, else as the class.
        """
        if not isinstance(data, Mapping) or data.keys() != {"amount", "currency"} or not isinstance(data["amount"], str | int):
            raise Invalid("bad_money", given=redact(data))
        return cls(data["amount"], data["currency"])

    def to_json(self) -> dict[str, str]:
        """Write plain JSON; the amount is text, because JSON's numbers are floats to many readers."""
        return {"amount": f"{self.amount:f}", "currency": self.currency}

    def rounded(self, places: int | None = None, rule: Rounding = "half_up") -> Self:
        """Round to *places* digits after the point, by default to the currency's minor unit; half-up rounds halves away from zero."""
        return type(self)(_quantize(self.amount, minor_units(self.currency) if places is None else places, rule), self.currency)

    def allocate(self, ratios: Sequence[int | Decimal | Fraction]) -> list[Self]:
        """Split into parts by *ratios* so that not one minor unit is lost or made.

        Each part is the exact share rounded towards zero; what is left goes, one minor unit each, to the parts with the largest
        remainders, the first of equals first (Hare's method of largest remainders). A ratio of zero gets zero.

        Raises:
            Invalid: ``bad_ratio`` (negative or not a number), ``zero_ratios``, ``too_precise`` (round to the minor unit first).
        """
        places = minor_units(self.currency)
        exponent = self.amount.as_tuple().exponent
        if isinstance(exponent, int) and -exponent > places:
            raise Invalid("too_precise", given=f"{self.amount:f}", scale=places)
        units = int(self.amount.copy_abs().scaleb(places, WIDE))
        sign = -1 if self.amount < 0 else 1
        return [type(self)(Decimal(sign * part).scaleb(-places, WIDE), self.currency) for part in _shares(units, ratios)]

    def __add__(self, other: Money) -> Self:
        if not isinstance(other, Money):
            self._refuse_plain(other)
            return NotImplemented
        return type(self)(WIDE.add(self.amount, self._same(other)), self.currency)

    def __radd__(self, other: Never) -> Self:  # `sum(amounts)` begins with 0, which has no currency
        self._refuse_plain(other)
        return NotImplemented

    def __sub__(self, other: Money) -> Self:
        if not isinstance(other, Money):
            self._refuse_plain(other)
            return NotImplemented
        return type(self)(WIDE.subtract(self.amount, self._same(other)), self.currency)

    def __mul__(self, factor: Decimal | int) -> Self:
        if not _is_exact_number(factor):
            self._refuse_plain(factor, "money_factor")
            return NotImplemented
        return self._settled(WIDE.multiply(self.amount, read_decimal(factor)))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Decimal | int) -> Self:
        if not _is_exact_number(divisor):
            self._refuse_plain(divisor, "money_factor")
            return NotImplemented
        if not divisor:
            raise Invalid("division_by_zero")
        return self._settled(WIDE.divide(self.amount, read_decimal(divisor)))

    def __neg__(self) -> Self:
        return type(self)(self.amount.copy_negate(), self.currency)

    def __abs__(self) -> Self:
        return type(self)(self.amount.copy_abs(), self.currency)

    def __bool__(self) -> bool:
        return bool(self.amount)

    def __lt__(self, other: Money) -> bool:
        if not isinstance(other, Money):
            self._refuse_plain(other)
            return NotImplemented
        return self.amount < self._same(other)

    def __le__(self, other: Money) -> bool:
        if not isinstance(other, Money):
            self._refuse_plain(other)
            return NotImplemented
        return self.amount <= self._same(other)

    def __gt__(self, other: Money) -> bool:
        if not isinstance(other, Money):
            self._refuse_plain(other)
            return NotImplemented
        return self.amount > self._same(other)

    def __ge__(self, other: Money) -> bool:
        if not isinstance(other, Money):
            self._refuse_plain(other)
            return NotImplemented
        return self.amount >= self._same(other)

    def __str__(self) -> str:
        return f"{self.currency} {self.amount:f}"

    def __repr__(self) -> str:
        return f"Money('{self.amount:f}', '{self.currency}')"

    def __format__(self, spec: str) -> str:
        """Write ``EUR 12000.00``, or with the spec ``,`` ``EUR 12,000.00``; for a language's own form use the extra ``i18n``."""
        if spec not in ("", ","):
            raise ValueError(f"Money knows the format specs '' and ',', not {spec!r}")
        return f"{self.currency} {self.amount:{spec}f}"

    def _same(self, other: Money) -> Decimal:
        """Return the other's amount, if it may be used with ours at all."""
        if self.currency != other.currency:
            raise MixedCurrency(one=self.currency, other=other.currency)
        return other.amount

    def _refuse_plain(self, other: object, code: str = "money_operand") -> None:
        """Refuse plain values in words; anything else, such as a column, may know what to do with money."""
        if other is None or isinstance(other, Money | str | numbers.Number):
            raise WrongArgument(code, given=type(other).__name__, currency=self.currency)

    def _settled(self, result: Decimal) -> Self:
        return type(self)(_quantize(result, MAX_PLACES, "half_up"), self.currency)


def _is_exact_number(value: object) -> bool:
    return isinstance(value, Decimal | int) and not isinstance(value, bool)


def _shares(units: int, ratios: Sequence[int | Decimal | Fraction]) -> list[int]:
    exact = [_ratio(r) for r in ratios]
    total = sum(exact)
    if not total:
        raise Invalid("zero_ratios")
    shares = [units * r / total for r in exact]
    parts = [int(s) for s in shares]
    by_remainder = sorted(range(len(parts)), key=lambda i: parts[i] - shares[i])
    for i in by_remainder[: units - sum(parts)]:
        parts[i] += 1
    return parts


def _ratio(value: object) -> Fraction:
    from fractions import Fraction

    if isinstance(value, bool) or not isinstance(value, int | Decimal | Fraction):
        raise Invalid("bad_ratio", given=type(value).__name__)
    if isinstance(value, Decimal) and (not value.is_finite() or abs(value.adjusted()) > 100):
        raise Invalid("bad_ratio", given=str(value)[:40])
    if value < 0:
        raise Invalid("bad_ratio", given=str(value)[:40])
    return Fraction(value)
