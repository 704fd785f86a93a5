"""The actions of sales: what screens, REST, automation and tests call by a typed command."""

from __future__ import annotations

import attrs

from crm_core import Channel, Money, Ref, Session

from .conversion import Conversion
from .leads import IntakeResult, Lead, LeadIntake
from .opportunities import Opportunity
from .orders import Order
from .plugin import plugin
from .quotes import Quote
from .service import Sales


@attrs.define
class TakeIn:
    """Take somebody in who shows interest."""

    name: str
    company: str | None = None
    email: str = ""
    phone: str = ""
    source: str | None = None
    utm: dict[str, str] = attrs.Factory(dict)
    message: str = ""
    channel: Channel = Channel.WEB
    key: str | None = None


@attrs.define
class Claim:
    """Take a lead out of the pool."""

    lead: Ref[Lead]


@attrs.define
class Release:
    """Put a lead back into the pool."""

    lead: Ref[Lead]
    reason: str


@attrs.define
class Convert:
    """Turn a lead into account, contact and deal."""

    lead: Ref[Lead]
    deal: str = ""
    amount: Money | None = None


@attrs.define
class Win:
    """Win a deal."""

    deal: Ref[Opportunity]
    reason: str


@attrs.define
class Lose:
    """Lose a deal."""

    deal: Ref[Opportunity]
    reason: str


@attrs.define
class Move:
    """Move a deal to another stage."""

    deal: Ref[Opportunity]
    stage: str


@attrs.define
class Reopen:
    """Open a closed deal again."""

    deal: Ref[Opportunity]
    stage: str | None = None


@attrs.define
class SendQuote:
    """Mark a quote as sent."""

    quote: Ref[Quote]


@attrs.define
class AcceptQuote:
    """Mark a quote as accepted by the customer."""

    quote: Ref[Quote]


@attrs.define
class PlaceOrder:
    """Make the order of an accepted quote."""

    quote: Ref[Quote]


@attrs.define
class ConfirmOrder:
    """Confirm an order."""

    order: Ref[Order]


@plugin.action(permission="sales.take_in", label="sales.action.take_in")
def take_in(s: Session, cmd: TakeIn) -> IntakeResult:
    """See :class:`TakeIn`."""
    given = attrs.asdict(cmd, recurse=False, filter=lambda a, _: a.name != "key")
    return s.use(Sales).intake(LeadIntake(**given), key=cmd.key)


@plugin.action(on=Lead, permission="sales.claim", label="sales.action.claim")
def claim(s: Session, cmd: Claim) -> Lead:
    """See :class:`Claim`."""
    return s.use(Sales).claim(cmd.lead)


@plugin.action(on=Lead, permission="sales.release", label="sales.action.release")
def release(s: Session, cmd: Release) -> Lead:
    """See :class:`Release`."""
    return s.use(Sales).release(cmd.lead, reason=cmd.reason)


@plugin.action(on=Lead, permission="sales.convert", label="sales.action.convert")
def convert(s: Session, cmd: Convert) -> Conversion:
    """See :class:`Convert`."""
    return s.use(Sales).convert(cmd.lead, deal=cmd.deal, amount=cmd.amount)


@plugin.action(on=Opportunity, permission="sales.win", label="sales.action.win")
def win(s: Session, cmd: Win) -> Opportunity:
    """See :class:`Win`."""
    return s.use(Sales).win(cmd.deal, reason=cmd.reason)


@plugin.action(on=Opportunity, permission="sales.lose", label="sales.action.lose")
def lose(s: Session, cmd: Lose) -> Opportunity:
    """See :class:`Lose`."""
    return s.use(Sales).lose(cmd.deal, reason=cmd.reason)


@plugin.action(on=Opportunity, permission="sales.move", label="sales.action.move")
def move(s: Session, cmd: Move) -> Opportunity:
    """See :class:`Move`."""
    return s.use(Sales).move(cmd.deal, cmd.stage)


@plugin.action(on=Opportunity, permission="sales.reopen", label="sales.action.reopen")
def reopen(s: Session, cmd: Reopen) -> Opportunity:
    """See :class:`Reopen`."""
    return s.use(Sales).reopen(cmd.deal, stage=cmd.stage)


@plugin.action(on=Quote, permission="sales.quote", label="sales.action.send_quote")
def send_quote(s: Session, cmd: SendQuote) -> Quote:
    """See :class:`SendQuote`."""
    return s.use(Sales).send(cmd.quote)


@plugin.action(on=Quote, permission="sales.quote", label="sales.action.accept_quote")
def accept_quote(s: Session, cmd: AcceptQuote) -> Quote:
    """See :class:`AcceptQuote`."""
    return s.use(Sales).accept(cmd.quote)


@plugin.action(on=Quote, permission="sales.order", label="sales.action.place_order")
def place_order(s: Session, cmd: PlaceOrder) -> Order:
    """See :class:`PlaceOrder`."""
    return s.use(Sales).order(cmd.quote)


@plugin.action(on=Order, permission="sales.order", label="sales.action.confirm_order")
def confirm_order(s: Session, cmd: ConfirmOrder) -> Order:
    """See :class:`ConfirmOrder`."""
    return s.use(Sales).confirm(cmd.order)
