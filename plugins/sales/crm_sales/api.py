"""What hosts and other plugins import of sales: entities, events, hooks, commands and the service."""

from .actions import (
    AcceptQuote,
    Claim,
    ConfirmOrder,
    Convert,
    Lose,
    Move,
    PlaceOrder,
    Release,
    Reopen,
    SendQuote,
    TakeIn,
    Win,
)
from .conversion import Conversion, ConversionCtx, ConversionDraft, LeadConverted, map_conversion
from .forecast import ForecastLine
from .leads import IntakeCtx, IntakeResult, Lead, LeadAssigned, LeadIntake, LeadStatus, TakenIn, after_intake
from .opportunities import (
    Opportunity,
    OpportunityLost,
    OpportunityMoved,
    OpportunityReopened,
    OpportunityWon,
    StageHistory,
)
from .orders import Order, OrderConfirmed, OrderLine, OrderStatus
from .pipeline import Forecast, Pipeline, Stage, StageDraft, Status
from .products import Asked, PriceAnswer, PriceBook, PriceBookEntry, Product
from .promises import Commitment
from .quote_lines import DiscountCheck, PriceContext, PriceLine, check_discount, price_lines
from .quotes import LineDraft, Quote, QuoteAccepted, QuoteLine, QuoteStatus
from .reports import FunnelStep, Performance, StageFigure, WinRate
from .service import Sales
from .settings import Rounding, Settings
from .waterfall import Waterfall

__all__ = [
    "AcceptQuote", "Asked", "Claim", "Commitment", "ConfirmOrder", "Conversion", "ConversionCtx", "ConversionDraft", "Convert",
    "DiscountCheck", "Forecast", "ForecastLine", "FunnelStep", "IntakeCtx", "IntakeResult", "Lead", "LeadAssigned", "LeadConverted",
    "LeadIntake", "LeadStatus", "LineDraft", "Lose", "Move", "Opportunity", "OpportunityLost", "OpportunityMoved", "OpportunityReopened",
    "OpportunityWon", "Order", "OrderConfirmed", "OrderLine", "OrderStatus", "Performance", "Pipeline", "PlaceOrder", "PriceAnswer",
    "PriceBook", "PriceBookEntry", "PriceContext", "PriceLine", "Product", "Quote", "QuoteAccepted", "QuoteLine", "QuoteStatus", "Release",
    "Reopen", "Rounding", "Sales", "SendQuote", "Settings", "Stage", "StageDraft", "StageFigure", "StageHistory", "Status", "TakeIn",
    "TakenIn", "Waterfall", "Win", "WinRate", "after_intake", "check_discount", "map_conversion", "price_lines",
]  # fmt: skip
