"""The rules, on the plugin that ``--plugin`` names."""

from __future__ import annotations

import pytest

from crm_core.testing.conformance.rule import Outcome, Rule
from crm_core.testing.conformance.subject import Subject
from crm_core.testing.conformance.trial import RULES, tried


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_plugin(rule: Rule, subject: Subject, outcomes: list[Outcome]) -> None:
    """Try one rule."""
    outcome = tried(rule, subject)
    outcomes.append(outcome)
    print(*outcome.notes, sep="\n")  # noqa: T201  # pytest shows it with what fails, and with -s or -rP
    if outcome.outcome == "skipped":
        pytest.skip(outcome.reasons[0])
    if outcome.outcome == "failed":
        pytest.fail("\n".join([f"{rule}: {rule.sentence}", *(f"- {reason}" for reason in outcome.reasons)]), pytrace=False)
