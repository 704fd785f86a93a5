"""The waterfall: how the open pipeline of one instant became that of another, in parts that add up exactly [C21]."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any

import attrs
from sqlalchemy import select

from crm_core import Invalid, Money, Session

from .opportunities import Opportunity, StageHistory
from .pipeline import Status
from .rates import Rates


@attrs.frozen
class Waterfall:
    """What the open deals were worth at the beginning, what came, grew, shrank and went, and what they are worth at the end.

    ``begin + new + reopened + up + down + won + lost == end``, to the minor unit; what lessens the pipeline is negative. A deal's worth
    is what it was at its last move; for a waterfall that ends now, it is today's amount.

    Attributes:
        new: first amounts of deals that began in the period.
        reopened: amounts of deals that were closed before it, or in it, and are open again.
        up, down: changes of the amounts of deals while they were open.
        won, lost: amounts of deals when they were closed.
    """

    begin: Money
    new: Money
    reopened: Money
    up: Money
    down: Money
    won: Money
    lost: Money
    end: Money


@attrs.frozen
class _Move:
    """A deal's state from an instant on, its worth in the one currency of the waterfall."""

    at: datetime
    status: Status
    worth: Money


def waterfall(session: Session, since: datetime, until: datetime | None = None, *, currency: str) -> Waterfall:
    """Explain the change of the open pipeline between two instants, from the moves of the deals that the actor sees.

    Other currencies are converted at the rate of the day of *until* throughout, so that no rate's change looks like a deal's.

    Args:
        until: where it ends; now, where it is left out.

    Raises:
        Invalid: ``missing_rate``: a deal's currency has no rate on that day; ``naive_datetime``.
    """
    for name, instant in (("since", since), ("until", until)):
        if instant is not None and instant.utcoffset() is None:
            raise Invalid("naive_datetime", field=name)
    now = session.crm.runtime.clock.now()
    end = now if until is None else min(until, now)
    sums = {name: Money.zero(currency) for name in attrs.fields_dict(Waterfall)}
    rates = Rates(session, currency)
    for moves in _deals(session, end, _Worth(rates, end, currency), today=end == now):
        for name, worth in _parts(moves, since):
            sums[name] += worth
    return Waterfall(**sums)


@attrs.frozen
class _Worth:
    """Amounts in one currency at one day's rates."""

    rates: Rates
    at: datetime
    currency: str

    def of(self, amount: Money) -> Money:
        rated = self.rates.convert(amount, self.at.date())
        if rated is None:
            raise Invalid("missing_rate", base=amount.currency, quote=self.currency, day=str(self.at.date()))
        return rated.amount


def _deals(session: Session, end: datetime, worth: _Worth, *, today: bool) -> Iterator[Sequence[_Move]]:
    """Yield the moves of each deal up to *end*; for today, what an open deal's amount became since its last move is one more."""
    columns: list[Any] = [StageHistory.opportunity, StageHistory.at, StageHistory.status, StageHistory.amount, Opportunity.amount]
    moves = select(*columns).join(Opportunity, Opportunity.id == StageHistory.opportunity).where(StageHistory.at <= end)
    rows: Iterable[Any] = session.execute(moves.order_by(StageHistory.opportunity, StageHistory.at, StageHistory.id))
    for _, group in groupby(rows, key=itemgetter(0)):
        history = list(group)
        found = [_Move(at, status, worth.of(amount)) for _, at, status, amount, _ in history]
        _, _, status, amount, current = history[-1]
        if today and status is Status.OPEN and current != amount:
            found.append(_Move(end, Status.OPEN, worth.of(current)))
        yield found


def _parts(moves: Sequence[_Move], since: datetime) -> Iterator[tuple[str, Money]]:
    """Yield what a deal adds to each part."""
    before: _Move | None = None
    for move in moves:
        if move.at > since:
            yield from _change(before, move)
        before = move
    at_since = next((m for m in reversed(moves) if m.at <= since), None)
    if at_since is not None and at_since.status is Status.OPEN:
        yield "begin", at_since.worth
    if moves[-1].status is Status.OPEN:
        yield "end", moves[-1].worth


def _change(before: _Move | None, move: _Move) -> Iterator[tuple[str, Money]]:
    was_open = before is not None and before.status is Status.OPEN
    if before is not None and was_open:
        grown = move.worth - before.worth
        if grown.amount != Decimal(0):
            yield ("up" if grown.amount > 0 else "down"), grown
        if move.status is not Status.OPEN:
            yield ("won" if move.status is Status.WON else "lost"), -move.worth
    elif move.status is Status.OPEN:
        yield ("new" if before is None else "reopened"), move.worth
