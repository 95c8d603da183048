"""The picture file: a histogram with the anomalies and the bounds marked."""

from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from gristmill.shown.chart import Chart
from gristmill.shown.figures import number

USUAL = "#5b8db8"
FLAGGED = "#d1344b"
INK = "#22303c"
FAINT = "#5c6a75"


def draw(chart: Chart, path: Path, *, title: str, source: str) -> Path:
    """Write `chart` as a PNG. Counts are on a log scale: a handful of anomalies shows beside hundreds of others."""
    figure = Figure(figsize=(10, 5.6), dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _bars(axes, chart)
    _bounds(axes, chart)
    _words(axes, chart)
    figure.suptitle(title, x=0.012, ha="left", fontsize=16, fontweight="bold", color=INK)
    figure.supxlabel(source, x=0.012, ha="left", fontsize=8.5, color=FAINT)
    figure.savefig(path, format="png")
    return path


def _bars(axes: Axes, chart: Chart) -> None:
    usual, flagged = sum(chart.counts) - len(chart.flagged), len(chart.flagged)
    for counts, color, label in (
        (chart.counts, USUAL, f"within the bounds: {usual:,}"),
        (chart.flagged_counts, FLAGGED, f"anomalies: {flagged:,}"),
    ):
        bars = axes.bar(
            chart.edges[:-1],
            counts,
            [end - start for start, end in pairwise(chart.edges)],
            align="edge",
            color=color,
            edgecolor="white",
            linewidth=1.2,
            label=label,
        )
    axes.bar_label(bars, [f"{count:,}" if count else "" for count in chart.flagged_counts], padding=-16, color="white")


def _bounds(axes: Axes, chart: Chart) -> None:
    first, last = chart.edges[0], chart.edges[-1]
    for bound, end, label in (
        (chart.low, first, f"◂ {chart.below:,} below"),
        (chart.high, last, f"{chart.above:,} above ▸"),
    ):
        if bound is None or not first < bound < last:
            continue
        axes.axvline(bound, color=FLAGGED, linestyle=(0, (4, 3)), linewidth=1.6)
        axes.axvspan(bound, end, color=FLAGGED, alpha=0.06, linewidth=0)
        axes.annotate(
            f"{label}\n{number(bound)}",
            (bound, 1),
            xycoords=("data", "axes fraction"),
            xytext=(6, -8),
            textcoords="offset points",
            va="top",
            color=FLAGGED,
            fontsize=11,
            fontweight="bold",
        )


def _words(axes: Axes, chart: Chart) -> None:
    axes.set_yscale("log")
    axes.set_ylim(0.5, max(chart.counts) * 4)
    axes.set_xlim(chart.edges[0], chart.edges[-1])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else ""))
    axes.set_xlabel(chart.column, fontsize=12, color=INK)
    axes.set_ylabel("rows (log scale)", fontsize=12, color=INK)
    axes.set_title(f"anomalies by {chart.rule}", loc="left", fontsize=11, color=FAINT)
    axes.grid(axis="y", color="#e4e9ed", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.99), frameon=False, fontsize=11, ncols=2)
