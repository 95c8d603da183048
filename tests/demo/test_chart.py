"""The chart shows what the server found, nothing more and nothing less."""

import polars as pl

from gristmill.demo.tour import SPEED
from gristmill.shown.chart import Chart

from .conftest import Answers


def test_all_values_are_in_the_bins(answers: Answers, strikes: pl.DataFrame) -> None:
    assert sum(answers.chart.counts) == strikes.get_column(SPEED).count()


def test_the_flagged_values_are_those_outside_the_bounds(answers: Answers, strikes: pl.DataFrame) -> None:
    chart, speeds = answers.chart, strikes.get_column(SPEED).drop_nulls()
    assert chart.low is not None
    assert chart.high is not None
    outside = speeds.filter((speeds < chart.low) | (speeds > chart.high))
    assert sorted(chart.flagged) == sorted(outside.to_list())
    assert sum(chart.flagged_counts) == len(chart.flagged) > 0


def test_the_sides_are_counted_as_the_report_counts_them(answers: Answers) -> None:
    entry = next(column for column in answers.reports["anomalies"]["columns"] if column["name"] == SPEED)
    assert (answers.chart.below, answers.chart.above) == (entry["below"], entry["above"])


def test_a_column_without_bounds_has_no_sides() -> None:
    chart = Chart(
        column="x", method="iqr", threshold=1.5, edges=(0.0, 1.0), counts=(3,), flagged=(), low=None, high=None
    )
    assert (chart.below, chart.above, chart.rule) == (0, 0, "IQR, threshold 1.5")
