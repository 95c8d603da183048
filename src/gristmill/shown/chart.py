"""A column with its anomalies, as a histogram in the terminal and a picture file show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from gristmill.shown.figures import number


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One column: all its values in bins, its flagged values one by one, and the bounds they crossed."""

    column: str
    method: str
    threshold: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    flagged: tuple[float, ...]
    low: float | None
    high: float | None

    @property
    def flagged_counts(self) -> tuple[int, ...]:
        """How many of the flagged values fall in each bin."""
        return tuple(int(count) for count in np.histogram(self.flagged, bins=self.edges)[0])

    @property
    def rule(self) -> str:
        return f"{method_name(self.method)}, threshold {number(self.threshold)}"

    @property
    def below(self) -> int:
        return sum(value < self.low for value in self.flagged) if self.low is not None else 0

    @property
    def above(self) -> int:
        return sum(value > self.high for value in self.flagged) if self.high is not None else 0


def chart(column: str, *, metrics: Mapping[str, Any], anomalies: Mapping[str, Any], flagged: pl.DataFrame) -> Chart:
    """Bins from the report of `metrics`, bounds from the report of `anomalies`, flagged values from its rows."""
    bins = column_of(metrics, column)["histogram"]
    bounds = column_of(anomalies, column)
    scores = pl.col(anomalies["output_columns"]["scores"]).struct.field(column)
    values = flagged.filter(scores > anomalies["threshold"]).get_column(column)
    return Chart(
        column=column,
        method=anomalies["method"],
        threshold=anomalies["threshold"],
        edges=tuple(bins["edges"]),
        counts=tuple(bins["counts"]),
        flagged=tuple(values.cast(pl.Float64)),
        low=bounds["low"],
        high=bounds["high"],
    )


def column_of(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A column's entry in a report."""
    entry: Mapping[str, Any] = next(column for column in report["columns"] if column["name"] == name)
    return entry


def method_name(method: str) -> str:
    """A method's name as people write it."""
    return {"zscore": "z-score", "modified_zscore": "modified z-score", "iqr": "IQR"}.get(method, method)
