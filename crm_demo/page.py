"""The report's page: one HTML file that needs no network, for phones and desks, light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import attrs

STYLE = """
:root { --ink:#1c2430; --faint:#556070; --line:#e3e7ee; --paper:#f5f7fa; --card:#ffffff; --accent:#1f5fbf; --soft:#bcd3f2;
  --good:#1a7a46; --bad:#b3372f; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink:#e8ecf2; --faint:#a7b1c0; --line:#333c4a; --paper:#12161d; --card:#1b212b;
  --accent:#4f8fe6; --soft:#2c4468; --good:#3fae72; --bad:#e0695f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, "Noto Sans CJK SC", "PingFang SC", sans-serif; }
header, main, footer { max-width: 1120px; margin: 0 auto; padding: 16px; }
h1 { font-size: 1.5rem; margin: 8px 0 0; } h2 { font-size: 1.1rem; margin: 0 0 4px; } h3 { font-size: .95rem; margin: 12px 0 4px; }
p { margin: 0 0 12px; } header p, footer p, .note { color: var(--faint); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 12px 0 0; padding: 0; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px; }
.tiles dt { color: var(--faint); font-size: .85rem; } .tiles dd { margin: 0; font-size: 1.3rem; font-weight: 600; }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 16px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px; min-width: 0; }
svg { width: 100%; height: auto; display: block; font-family: inherit; }
details { margin-top: 12px; } summary { cursor: pointer; color: var(--accent); padding: 4px 0; }
.scroll { overflow-x: auto; } .scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 4px 8px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; color: var(--faint); }
ul { margin: 0; padding: 0; list-style: none; } li { padding: 6px 0; border-bottom: 1px solid var(--line); } li:last-child { border: 0; }
@media print { section { break-inside: avoid; } details { display: block; } }
"""


@attrs.frozen
class Section:
    """A card: what it is called, what it says in a sentence, its chart, and the figures behind it.

    Attributes:
        chart: SVG, or other HTML; already escaped.
        head, rows: the table of figures, as text.
    """

    title: str
    says: str
    chart: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


@attrs.frozen
class Words:
    """What the page itself says."""

    title: str
    intro: str
    figures: str
    footer: str


def page(lang: str, words: Words, tiles: Iterable[tuple[str, str]], sections: Iterable[Section]) -> str:
    """Return the HTML of the report."""
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in tiles)
    cards = "".join(_card(section, words.figures) for section in sections)
    return (
        f'<!doctype html><html lang="{escape(lang)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(words.title)}</title><style>{STYLE}</style></head><body>"
        f'<header><h1>{escape(words.title)}</h1><p>{escape(words.intro)}</p><dl class="tiles">{facts}</dl></header>'
        f"<main>{cards}</main><footer><p>{escape(words.footer)}</p></footer></body></html>\n"
    )


def listing(groups: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Return headed lists; a group without lines is left out."""
    return "".join(
        f"<h3>{escape(name)}</h3><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" for name, lines in groups if lines
    )


def _card(section: Section, figures: str) -> str:
    table = _table(section, figures) if section.rows else ""
    return f"<section><h2>{escape(section.title)}</h2><p>{escape(section.says)}</p>{section.chart}{table}</section>"


def _table(section: Section, figures: str) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in section.head)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in section.rows)
    label = escape(f"{figures}: {section.title}")
    return (
        f'<details><summary>{escape(figures)}</summary><div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )
