"""The report in the terminal: what went in, what was found, what was changed. All figures are the server's."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from gristmill.client import DatasetInfo
from gristmill.shown.chart import method_name
from gristmill.shown.figures import number

MOST_ROWS = 5


def heading(words: str) -> RenderableType:
    return Group(Text(), Rule(Text(words, style="bold"), align="left", style="dim"))


def dataset_lines(dataset: DatasetInfo, metrics: Mapping[str, Any]) -> RenderableType:
    """The balance of rows, and what is missing or repeated."""
    whole = metrics["dataset"]
    repeated = whole["duplicate_rows"]
    lines = [
        f"{number(dataset.rows_read)} rows read = {number(dataset.rows_loaded)} loaded"
        f" + {number(dataset.rows_rejected)} rejected",
        f"{number(whole['columns'])} columns, {number(whole['nulls'])} empty cells ({whole['null_ratio']:.1%}),"
        f" {number(repeated['value'])} duplicate rows ({repeated['label']})",
    ]
    return Text("\n".join([*lines, *(f"note: {warning}" for warning in dataset.warnings or ())]))


def metrics_tables(metrics: Mapping[str, Any]) -> RenderableType:
    """One table of the columns with numbers, one of the others."""
    numbers = _table("column of numbers", "missing", "least", "median", "mean", "most", "std")
    others = _table("column", "missing", "distinct", "most frequent, or span", left=("most frequent, or span",))
    for column in metrics["columns"]:
        if "mean" in column:
            median = column["quantiles"]["50%"]
            shown = (column["nulls"], column["min"], median, column["mean"], column["max"], column["std"])
            numbers.add_row(Text(column["name"]), *(number(value) for value in shown))
        elif column.get("top_values"):
            missing, distinct = number(column["nulls"]), number(column["distinct"])
            others.add_row(Text(column["name"]), missing, distinct, Text(_typical(column)))
    return Group(_keep_numbers_whole(numbers), Text(), _keep_numbers_whole(others))


def anomalies_tables(report: Mapping[str, Any], flagged: pl.DataFrame, *, beside: Sequence[str]) -> RenderableType:
    """Per column the bounds and the counts, then its rows with the highest scores, with the columns `beside`."""
    parts: list[RenderableType] = [
        Text(
            f"{number(report['rows_flagged'])} of {number(report['rows_in'])} rows are flagged by"
            f" {method_name(report['method'])}, threshold {number(report['threshold'])}"
        )
    ]
    for column in report["columns"]:
        parts += [Text(), Text(_bounds(column)), *_notes(column), _worst(report, flagged, column["name"], beside)]
    return Group(*parts)


def normalize_table(report: Mapping[str, Any]) -> RenderableType:
    """The steps in their order, with the rows that went in and came out."""
    table = _table("step", "rows in", "rows out", "what it did", left=("what it did",))
    for step in report["steps"]:
        done = Text("\n".join(_done(step)))
        table.add_row(step["op"].replace("_", " "), number(step["rows_in"]), number(step["rows_out"]), done)
    table.add_section()
    balance = f"{number(report['rows_in'])} in = {number(report['rows_out'])} out + {number(report['rows_dropped'])}"
    table.add_row("all", number(report["rows_in"]), number(report["rows_out"]), f"{balance} dropped")
    return _keep_numbers_whole(table)


def _typical(column: Mapping[str, Any]) -> str:
    if "earliest" in column:
        return f"{column['earliest']} to {column['latest']}"
    first = column["top_values"][0]
    return f"{first['value']} ({first['count'] / column['count']:.0%})"


def _bounds(column: Mapping[str, Any]) -> str:
    low, high = number(column["low"]), number(column["high"])
    return (
        f"{column['name']}: {number(column['below'])} below {low}, {number(column['above'])} above {high}"
        f" (of {number(column['values'])} values)"
    )


def _notes(column: Mapping[str, Any]) -> Iterator[RenderableType]:
    if column["note"]:
        yield Text(f"note: {column['note']}", style="dim")


def _worst(report: Mapping[str, Any], flagged: pl.DataFrame, column: str, beside: Sequence[str]) -> Table:
    own = report["output_columns"]
    score = pl.col(own["scores"]).struct.field(column)
    rows = flagged.with_columns(score.alias(own["score"])).filter(score > report["threshold"])
    worst = rows.sort(own["score"], own["row_number"], descending=[True, False]).head(MOST_ROWS)
    table = _table("value", "score", "row", *beside, left=beside)
    for row in worst.select(column, own["score"], own["row_number"], *beside).iter_rows():
        table.add_row(number(row[0]), number(row[1]), number(row[2]), *(Text(str(cell)) for cell in row[3:]))
    return _keep_numbers_whole(table)


def _done(step: Mapping[str, Any]) -> Iterator[str]:
    match step["op"]:
        case "drop_duplicates":
            yield f"{number(step['rows_dropped'])} repeats dropped, {step['keep']} of each kept"
        case "fill_nulls":
            for fill in step["columns"]:
                yield f"{fill['column']}: gaps get the {step['strategy']}, {number(fill['value'])}"
        case "scale":
            for scaled in step["columns"]:
                unit = number(scaled["unit"])
                yield f"{scaled['column']}: (x - {number(scaled['center'])}) / {unit} ({step['method']})"


def _table(*headers: str, left: Sequence[str] = ()) -> Table:
    """The first column and those in `left` are words and wrap when it gets narrow; numbers never do."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for place, header in enumerate(headers):
        words = header in left or (place == 0 and header != "value")
        table.add_column(Text(header), justify="left" if words else "right", overflow="fold", no_wrap=not words)
    return table


def _keep_numbers_whole(table: Table) -> Table:
    for column in table.columns:
        if column.justify == "right":
            column.min_width = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
    return table
