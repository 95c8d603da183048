"""`--plot`: the anomalies of each column in the terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gristmill.cli.exits import Exit
from gristmill.cli.output import fail, out, say

if TYPE_CHECKING:
    from gristmill.client import Client, Job, Result
    from gristmill.shown.chart import Chart

Plot = Annotated[bool, typer.Option("--plot", help="Draw each column with its anomalies and bounds.")]

# A histogram in a pipe is as wide as a terminal.
PIPED_WIDTH, WIDEST = 80, 110
MOST = 8


def draw(client: "Client", job: "Job", result: "Result") -> None:
    """Write a histogram of each column that was judged by bounds, those with the most anomalies first."""
    if job.kind != "anomalies" or job.info.input_job_id is not None:
        fail("--plot draws what an anomalies job found in a dataset.", Exit.USAGE)
    try:
        from gristmill.shown.histogram import histogram
    except ModuleNotFoundError as error:
        fail(f"A plot needs {error.name}: pip install 'gristmill[plot]'", Exit.USAGE)
    report = result.report()
    charts = _charts(report, client.dataset(job.info.dataset_id).profile().columns, result)
    console = out()
    console.width = min(console.width, WIDEST) if console.is_terminal else PIPED_WIDTH
    for chart in charts[:MOST]:
        console.print(histogram(chart, width=console.width))
    if len(charts) > MOST:
        say(f"note: the {MOST} columns with the most anomalies of {len(charts)} are drawn")
    if not charts:
        say(f"note: nothing to draw: {report['method']} has no bounds, or the profile no histograms")


def _charts(report: Mapping[str, Any], profiled: Sequence[Mapping[str, Any]], result: "Result") -> "list[Chart]":
    from gristmill.shown.chart import chart

    drawn = {column["name"] for column in profiled if column.get("histogram")}
    judged = [
        column["name"]
        for column in sorted(report["columns"], key=_flagged, reverse=True)
        if column["name"] in drawn and (column.get("low") is not None or column.get("high") is not None)
    ]
    if not judged:
        return []
    flagged, metrics = result.to_polars(), {"columns": profiled}
    return [chart(name, metrics=metrics, anomalies=report, flagged=flagged) for name in judged]


def _flagged(column: Mapping[str, Any]) -> int:
    return int(column.get("below") or 0) + int(column.get("above") or 0)
