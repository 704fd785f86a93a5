"""The charts of the report: what is drawn is as large as what it stands for, and is told to those who do not see it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from crm_demo.charts import BAD, GOOD, PLAIN, WIDTH, Bar, Column, Step, bars, columns, heatmap, waterfall

SVG = "{http://www.w3.org/2000/svg}"


def boxes(svg: str, colour: str) -> list[tuple[float, float, float, float]]:
    found = [r for r in ElementTree.fromstring(svg).iter(f"{SVG}rect") if r.get("fill") == colour]
    return [tuple(float(r.get(name) or 0) for name in ("x", "y", "width", "height")) for r in found]  # type: ignore[misc]  # four each


def test_the_longest_bar_fills_the_width_and_the_others_their_share() -> None:
    drawn = boxes(bars("Deals", "by stage", [Bar("New", 40, "40"), Bar("Won", 10, "10"), Bar("Lost", 0, "0")]), PLAIN)
    assert [width for _, _, width, _ in drawn] == [WIDTH, WIDTH / 4, 2]
    (half,) = boxes(bars("Kept", "of all", [Bar("Urgent", 50, "50 %")], full=100), PLAIN)
    assert half[2] == WIDTH / 2


def test_a_columns_sure_part_stands_in_the_whole_one() -> None:
    drawn = columns("Forecast", "by month", [Column("01", 30, 60, "30"), Column("02", 0, 120, "0")])
    assert [height for *_, height in boxes(drawn, PLAIN)] == [32.5, 0]


def test_each_change_of_a_waterfall_begins_where_the_one_before_ended() -> None:
    steps = [Step("Before", 100, "100", total=True), Step("New", 50, "50"), Step("Lost", -150, "-150"), Step("Now", 0, "0", total=True)]
    svg = waterfall("Pipeline", "in a month", steps)
    (_, top, _, tall), (_, _, _, nothing) = boxes(svg, PLAIN)
    ((_, new_top, _, new_tall),) = boxes(svg, GOOD)
    assert round(new_top + new_tall, 1) == top
    assert round(new_tall / tall, 2) == 0.5
    assert nothing == 1


def test_what_left_the_pipeline_because_it_was_won_is_no_loss() -> None:
    steps = [Step("Before", 100, "100", total=True), Step("Won", -60, "-60", good=True), Step("Lost", -30, "-30")]
    svg = waterfall("Pipeline", "in a month", steps)
    assert (len(boxes(svg, GOOD)), len(boxes(svg, BAD))) == (1, 1)


def test_a_cell_without_a_figure_stays_empty() -> None:
    svg = heatmap("Who stayed", "by month", ["January", "February"], ["0", "1"], [[100, 40], [100, None]])
    assert len(boxes(svg, PLAIN)) == 3


def test_every_chart_is_told_and_what_it_is_told_is_escaped() -> None:
    drawn = [bars("<b>", '"', []), columns("<b>", '"', []), waterfall("<b>", '"', []), heatmap("<b>", '"', [], [], [])]
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert (root.get("role"), root.get("aria-label")) == ("img", '<b>. "')
        assert [root.findtext(f"{SVG}{name}") for name in ("title", "desc")] == ["<b>", '"']
        assert re.match(rf"0 0 {WIDTH} \d+$", root.get("viewBox") or "")
