"""Charts as SVG text: drawn for a width of 360, with a title and a description for those who do not see them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import attrs

WIDTH = 360
INK, FAINT, GRID = "var(--ink)", "var(--faint)", "var(--line)"
GOOD, BAD, PLAIN, SOFT = "var(--good)", "var(--bad)", "var(--accent)", "var(--soft)"


@attrs.frozen
class Bar:
    """A horizontal bar: how long it is, and what stands at its two ends."""

    label: str
    value: float
    text: str
    colour: str = PLAIN


@attrs.frozen
class Column:
    """An upright column whose lower part is filled: of *whole*, *part* is sure."""

    label: str
    part: float
    whole: float
    text: str


@attrs.frozen
class Step:
    """A step of a waterfall; a total stands on the ground, a change on what came before. *good* says that less of it is a success."""

    label: str
    value: float
    text: str
    total: bool = False
    good: bool = False


def bars(title: str, description: str, rows: Sequence[Bar], *, full: float = 0) -> str:
    """Draw bars below one another, each under its label; *full*, else the longest, fills the width."""
    longest = full or max((row.value for row in rows), default=0) or 1
    parts: list[str] = []
    for n, row in enumerate(rows):
        top = 44 * n
        parts += [
            _text(0, top + 14, row.label),
            _text(WIDTH, top + 14, row.text, anchor="end", colour=FAINT),
            _box(0, top + 20, WIDTH, 12, GRID),
            _box(0, top + 20, max(WIDTH * row.value / longest, 2), 12, row.colour),
        ]
    return _svg(title, description, max(44 * len(rows), 1), parts)


def columns(title: str, description: str, items: Sequence[Column]) -> str:
    """Draw columns beside one another, what is sure below what is hoped for."""
    height, ground = 200, 160
    highest = max((item.whole for item in items), default=0) or 1
    width = WIDTH / max(len(items), 1)
    parts = [_box(0, ground, WIDTH, 1, GRID)]
    for n, item in enumerate(items):
        left, middle = n * width, (n + 0.5) * width
        whole, part = 130 * item.whole / highest, 130 * item.part / highest
        parts += [
            _box(left + width * 0.15, ground - whole, width * 0.7, whole, SOFT),
            _box(left + width * 0.15, ground - part, width * 0.7, part, PLAIN),
            _text(middle, ground - whole - 6, item.text, anchor="middle", size=10),
            _text(middle, ground + 16, item.label, anchor="middle", size=11, colour=FAINT),
        ]
    return _svg(title, description, height, parts)


def waterfall(title: str, description: str, steps: Sequence[Step]) -> str:
    """Draw how one total becomes another: each change stands where the one before it ended."""
    height, ground, room = 230, 170, 130
    levels, level = [], 0.0
    for step in steps:
        low, high = (0.0, step.value) if step.total else sorted((level, level + step.value))
        level = step.value if step.total else level + step.value
        levels.append((low, high))
    highest = max((high for _, high in levels), default=0) or 1
    width = WIDTH / max(len(steps), 1)
    parts = [_box(0, ground, WIDTH, 1, GRID)]
    for n, (step, (low, high)) in enumerate(zip(steps, levels, strict=True)):
        colour = PLAIN if step.total else GOOD if step.good or step.value >= 0 else BAD
        top, tall = ground - room * high / highest, max(room * (high - low) / highest, 1)
        middle = (n + 0.5) * width
        parts += [
            _box(n * width + width * 0.12, top, width * 0.76, tall, colour),
            _text(middle, top - 6, step.text, anchor="middle", size=10),
            _text(middle, ground + (18 if n % 2 == 0 else 34), step.label, anchor="middle", size=11, colour=FAINT),
        ]
    return _svg(title, description, height, parts)


def heatmap(title: str, description: str, names: Sequence[str], heads: Sequence[str], values: Sequence[Sequence[float | None]]) -> str:
    """Draw a table of percentages as cells, the fuller the higher; a cell without a figure stays empty."""
    first, row = 62, 30
    width = (WIDTH - first) / max(len(heads), 1)
    parts = [_text(first + (n + 0.5) * width, 14, head, anchor="middle", size=10, colour=FAINT) for n, head in enumerate(heads)]
    for y, (name, cells) in enumerate(zip(names, values, strict=True)):
        top = 22 + row * y
        parts.append(_text(0, top + 19, name, size=11))
        for x, value in enumerate(cells):
            if value is None:
                continue
            left = first + x * width
            parts.append(
                f'<rect x="{left + 1:.1f}" y="{top + 1}" width="{width - 2:.1f}" height="{row - 2}" rx="3" fill="{PLAIN}" '
                f'fill-opacity="{0.08 + 0.92 * value / 100:.2f}"/>'
            )
            parts.append(_text(left + width / 2, top + 19, f"{value:.0f}", anchor="middle", size=10, colour="#fff" if value > 55 else INK))
    return _svg(title, description, 26 + row * len(names), parts)


def _svg(title: str, description: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(f"{title}. {description}")}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title><desc>{escape(description)}</desc>{"".join(parts)}</svg>'
    )


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{max(height, 0):.1f}" rx="2" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 13, colour: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
