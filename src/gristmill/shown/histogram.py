"""The histogram in the terminal."""

import math

import plotext
from rich.console import Group, RenderableType
from rich.text import Text

from gristmill.shown.chart import Chart
from gristmill.shown.figures import number

USUAL, FLAGGED = "░", "█"  # told apart without colours too
LIFT = 0.3  # a single value, whose logarithm is 0, still gets a bar
HEIGHT = 15
DECADES = 7


def histogram(chart: Chart, *, width: int) -> RenderableType:
    """The chart in `width` columns, counts on a log scale."""
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(width, HEIGHT)
    middles = [(start + end) / 2 for start, end in zip(chart.edges, chart.edges[1:], strict=False)]
    for counts, glyph, color in ((chart.counts, USUAL, "blue"), (chart.flagged_counts, FLAGGED, "red")):
        seen = [(middle, _height(count)) for middle, count in zip(middles, counts, strict=True) if count]
        marker = plotext.marker(glyph, pixel=color)
        if seen:
            xs, ys = [x for x, _ in seen], [y for _, y in seen]
            figure.draw(figure.bar(xs, ys, marker=marker, width=1))
    for bound in (chart.low, chart.high):
        if bound is not None and chart.edges[0] <= bound <= chart.edges[-1]:
            figure.line(bound, "v", pixel="red", style="dotted")
    _rulers(figure, chart)
    return Group(Text.from_ansi(figure.build().string().rstrip("\n")), _legend(chart))


def _height(count: int) -> float:
    return math.log10(count) + LIFT


def _rulers(figure: "plotext.figure", chart: Chart) -> None:
    highest = max(chart.counts)
    decades = [10**power for power in range(DECADES) if 10**power <= highest * 2]
    figure.ruler("y").lim(0, _height(highest) * 1.05)
    figure.ruler("y").ticks([_height(count) for count in decades], [number(count) for count in decades])
    first, last = chart.edges[0], chart.edges[-1]
    places = [first + (last - first) * step / 7 for step in range(8)]
    figure.ruler("x").lim(first, last)
    figure.ruler("x").ticks(places, [number(place) for place in places])
    figure.label(f"{chart.column} (rows on a log scale)")


def _legend(chart: Chart) -> Text:
    bounds = " and ".join(number(bound) for bound in (chart.low, chart.high) if bound is not None)
    usual = sum(chart.counts) - len(chart.flagged)
    return Text.assemble(
        (USUAL, "blue"),
        f" {number(usual)} within the bounds   ",
        (FLAGGED, "red"),
        f" {number(len(chart.flagged))} anomalies   ",
        ("┊", "red"),
        f" bounds {bounds}",
        justify="center",
    )
