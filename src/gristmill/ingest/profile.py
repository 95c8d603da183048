"""A light profile of a table, gathered while its parts are written; the states of parts merge."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import msgspec
import polars as pl

from gristmill.processors.moments import Moments, merge


@dataclass(slots=True)
class _State:
    nulls: int = 0
    low: Any = None
    high: Any = None
    nans: int = 0
    moments: Moments = field(default_factory=Moments)


class TableProfile:
    """Per column: type, count, nulls, NaN, min, max (for text: of its length in bytes), and for numbers mean and std.

    Mean and std (ddof 1) are of the finite values. Nested columns have no min and max.
    """

    def __init__(self, schema: Mapping[str, pl.DataType]) -> None:
        self.rows = 0
        self._schema = dict(schema)
        self._states = [_State() for _ in schema]
        self._lock = Lock()

    def add(self, frame: pl.DataFrame) -> None:
        """Take in some rows; may be called from several threads."""
        figures = frame.select(_figures(place, name, kind) for place, (name, kind) in enumerate(self._schema.items()))
        row = figures.row(0) if figures.width else ()
        moments = [_moments(seen) for seen in row]
        with self._lock:
            self.rows += frame.height
            for state, seen, more in zip(self._states, row, moments, strict=True):
                state.nulls += seen["nulls"]
                state.nans += seen.get("nans", 0)
                state.moments = merge((state.moments, more))
                state.low = _least(state.low, seen.get("low"))
                state.high = _most(state.high, seen.get("high"))

    def nulls(self) -> list[int]:
        """Nulls of each column, in order."""
        return [state.nulls for state in self._states]

    def document(self) -> msgspec.Raw:
        """JSON: `{"rows": …, "columns": [{name, type, count, nulls, nan, min, max}]}`; no NaN, no Infinity."""
        columns = [
            _entry(name, kind, state, self.rows)
            for (name, kind), state in zip(self._schema.items(), self._states, strict=True)
        ]
        return msgspec.Raw(msgspec.json.encode({"rows": self.rows, "columns": columns}))


def _figures(place: int, name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    measured = _measured(column, kind)
    figures: dict[str, pl.Expr] = {"nulls": column.null_count()}
    if measured is not None:
        figures |= {"low": measured.min(), "high": measured.max()}
    if kind.is_float():
        figures["nans"] = column.is_nan().sum()
    if kind.is_numeric():
        finite = column.cast(pl.Float64)
        finite = pl.when(finite.is_finite()).then(finite) if kind.is_float() else finite
        figures |= {"count": finite.count(), "mean": finite.mean(), "variance": finite.var()}
    return pl.struct(figure.alias(label) for label, figure in figures.items()).alias(str(place))


def _measured(column: pl.Expr, kind: pl.DataType) -> pl.Expr | None:
    if kind.is_float():
        return column.fill_nan(None)
    if kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean:
        return column
    return column.str.len_bytes() if kind == pl.String else None


def _entry(name: str, kind: pl.DataType, state: _State, rows: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "type": str(kind), "count": rows - state.nulls, "nulls": state.nulls}
    if kind.is_float():
        entry["nan"] = state.nans
    if kind.is_numeric():
        entry |= {"mean": _plain(_mean(state.moments)), "std": _plain(state.moments.std(ddof=1))}
    length = "_length" if kind == pl.String else ""
    return entry | {f"min{length}": _plain(state.low), f"max{length}": _plain(state.high)}


def _moments(seen: dict[str, Any]) -> Moments:
    """Count, mean and m2 alone, which merge exactly without the higher ones."""
    count = seen.get("count", 0)
    if not count:
        return Moments()
    return Moments(count=count, mean=seen["mean"], m2=(seen["variance"] or 0.0) * (count - 1))


def _mean(moments: Moments) -> float | None:
    return moments.mean if moments.count else None


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "inf" if value > 0 else "-inf"
    return value


def _least(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else min(one, other)


def _most(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else max(one, other)
