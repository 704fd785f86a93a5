"""The table of the conformance kit's rules, in the page that tells of the kit."""

from __future__ import annotations

from pathlib import Path

from crm_core.testing.conformance import RULES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "conformance.md"
BEGIN = "<!-- rules: written by `python -m tools.reference` -->"
END = "<!-- end of the rules -->"


def with_rules(text: str) -> str:
    """Return the page's text with the table of the rules as they are."""
    table = ["| rule | name | what holds |", "|---|---|---|", *(f"| `{r.id}` | {r.name} | {r.sentence} |" for r in RULES)]
    before, _, rest = text.partition(BEGIN)
    return "\n".join([f"{before}{BEGIN}", "", *table, "", f"{END}{rest.partition(END)[2]}"])
