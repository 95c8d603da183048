"""The terminal report fits a narrow terminal and states the server's figures."""

import io

import pytest
from rich.console import Console, RenderableType

from gristmill.demo import report
from gristmill.demo.run import BESIDE
from gristmill.shown.figures import number, size
from gristmill.shown.histogram import FLAGGED, USUAL, histogram

from .conftest import Answers


def shown(*parts: RenderableType, width: int = 80) -> str:
    sink = io.StringIO()
    Console(file=sink, width=width).print(*parts)
    return sink.getvalue()


def all_parts(answers: Answers, width: int) -> tuple[RenderableType, ...]:
    return (
        report.dataset_lines(answers.dataset, answers.reports["metrics"]),
        report.metrics_tables(answers.reports["metrics"]),
        report.anomalies_tables(answers.reports["anomalies"], answers.flagged, beside=BESIDE),
        histogram(answers.chart, width=width),
        report.normalize_table(answers.reports["normalize"]),
    )


@pytest.mark.parametrize("width", [60, 80, 110])
def test_no_line_is_wider_than_the_terminal(answers: Answers, width: int) -> None:
    lines = shown(*all_parts(answers, width), width=width).splitlines()
    assert max(len(line) for line in lines) <= width


def test_numbers_are_never_cut(answers: Answers) -> None:
    text = shown(*all_parts(answers, 80))
    for column in answers.reports["metrics"]["columns"]:
        for figure in ("min", "max", "mean", "std"):
            if figure in column:
                assert number(column[figure]) in text, (column["name"], figure)
    for score in answers.flagged.sort("score", descending=True).get_column("score").head(5):
        assert number(score) in text


def test_the_balance_of_rows_is_stated(answers: Answers) -> None:
    text = shown(*all_parts(answers, 80))
    assert "10,000 rows read = 10,000 loaded + 0 rejected" in text
    assert "10,000 in = 9,976 out + 24 dropped" in text


def test_the_worst_rows_come_first(answers: Answers) -> None:
    tables = shown(report.anomalies_tables(answers.reports["anomalies"], answers.flagged, beside=BESIDE))
    speeds, costs = tables.split("Cost Total $")
    assert speeds.index(" 350 ") < speeds.index(" 340 ") < speeds.index(" 320 ")
    assert costs.index("7,043,545") < costs.index("3,811,576")


def test_the_plot_marks_anomalies_without_colors_too(answers: Answers) -> None:
    text = shown(histogram(answers.chart, width=80))
    assert text.count(FLAGGED) > 50
    assert text.count(USUAL) > 200
    assert f"{len(answers.chart.flagged)} anomalies" in text


def test_markup_in_the_data_stays_text(answers: Answers) -> None:
    renamed = {"columns": [{**answers.reports["metrics"]["columns"][0], "name": "[bold]x[/bold]"}]}
    assert "[bold]x[/bold]" in shown(report.metrics_tables(renamed))


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (0, "0"), (1234567, "1,234,567"), (0.00012345, "0.0001234"), (1386.14, "1,386.1"), (21.39, "21.4")],
)
def test_numbers_for_people(value: float | None, words: str) -> None:
    assert number(value) == words


@pytest.mark.parametrize(("count", "words"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (1_223_329, "1.2 MB")])
def test_sizes_for_people(count: int, words: str) -> None:
    assert size(count) == words
