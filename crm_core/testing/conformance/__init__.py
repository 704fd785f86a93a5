"""The conformance kit: what a plugin must keep so that a host can trust it, as rules with an id and a plain reason.

    pytest --pyargs crm_core.testing.conformance --plugin acme.loyalty
    crm plugin check acme.loyalty

try them on an installed plugin, and ``check`` from a test.
"""

from .report import Report
from .rule import Outcome, Rule
from .trial import RULES, check

__all__ = ["RULES", "Outcome", "Report", "Rule", "check"]
