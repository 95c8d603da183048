"""Spearman correlations of many columns: those of Pearson of their ranks. Two passes: distributions, then ranks.

A value's rank is the mean of those of its equals, among all values of its column. Where the distinct values are more
than are kept, ranks are off by a known share of the rows.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import polars as pl

from gristmill.domain.column import Column
from gristmill.processors import correlations, values
from gristmill.processors.columns import Floats, batches, numbers
from gristmill.processors.correlations import Comoments
from gristmill.processors.values import Limits, Values

KEPT_VALUES = 65_536
KEPT_VALUES_ALL = 1_048_576


class Ranking(msgspec.Struct, frozen=True):
    """What is known: the distributions after the first pass, the comoments of the ranks after the second."""

    columns: tuple[Column, ...]
    limit: Limits
    values: tuple[Values, ...] | None = None
    comoments: Comoments | None = None

    @property
    def done(self) -> bool:
        return self.comoments is not None

    @property
    def second(self) -> bool:
        """Whether the ranks themselves are looked at now."""
        return self.values is not None and not self.done


class RankState(msgspec.Struct, frozen=True):
    """What a pass saw: distributions, or comoments."""

    limit: Limits
    values: tuple[Values, ...] = ()
    comoments: Comoments | None = None


def ranking(columns: Sequence[Column]) -> Ranking:
    """How to rank these columns."""
    share = max(256, min(KEPT_VALUES, KEPT_VALUES_ALL // max(1, len(columns))))
    return Ranking(tuple(columns), Limits(share, max(64, min(4096, share // 4))))


class Watcher:
    """Looks at the distribution of one column, batch after batch: the first pass."""

    def __init__(self, known: Ranking) -> None:
        self._limit = known.limit
        self._seen = values.EMPTY

    def take(self, series: pl.Series) -> None:
        """One more batch."""
        self._seen = values.merge([self._seen, values.tally(numbers(series).finite)], self._limit)

    def seen(self) -> Values:
        return self._seen


def look(frame: pl.LazyFrame, known: Ranking) -> RankState:
    """What one part shows of the ranks: the second pass."""
    size = len(known.columns)
    seen = RankState(known.limit, comoments=correlations.zero(size))
    rows = correlations.batch_rows(size)
    for batch in batches(frame, [column.name for column in known.columns], rows):
        if batch.height:
            seen = _join([seen, _ranked(batch, known)])
    return seen


def merge(states: Sequence[RankState | None]) -> RankState | None:
    there = [state for state in states if state is not None]
    return _join(there) if there else None


def advance(known: Ranking | None, seen: RankState | None) -> Ranking | None:
    """What is known after a pass."""
    if known is None or seen is None:
        return known
    if known.values is None:
        return msgspec.structs.replace(known, values=seen.values)
    return msgspec.structs.replace(known, comoments=seen.comoments)


def section(known: Ranking | None) -> dict[str, object]:
    """What the report's correlations say of ranks; nothing if they were not asked for."""
    if known is None or known.values is None or known.comoments is None:
        return {}
    error = max((part.error / part.count for part in known.values if part.count), default=0.0)
    accuracy: dict[str, object] = {"label": "exact"}
    if error > 0:
        accuracy = {"label": "approximate", "ranks_off_by_at_most_a_share_of": error}
    return {"spearman": correlations.coefficients(known.comoments), "spearman_accuracy": accuracy}


def _ranked(batch: pl.DataFrame, known: Ranking) -> RankState:
    ranked = pl.DataFrame(
        [
            pl.Series(column.name, _ranks(batch.get_column(column.name), spread))
            for column, spread in zip(known.columns, known.values or (), strict=True)
        ]
    )
    return RankState(known.limit, comoments=correlations.measure(ranked, known.columns))


def _ranks(series: pl.Series, spread: Values) -> Floats:
    """The ranks of values, in the middle of their equals; NaN for what is none."""
    found = series.alias("x").cast(pl.Float64).to_numpy()
    there = np.isfinite(found)
    cumulative = np.concatenate(([0.0], np.cumsum(spread.weights)))
    sides = [cumulative[np.searchsorted(spread.points, found, side=side)] for side in ("left", "right")]
    return np.where(there, (sides[0] + sides[1]) / 2, np.nan)


def _join(states: Sequence[RankState]) -> RankState:
    limit = states[0].limit
    comoments = [state.comoments for state in states if state.comoments is not None]
    return RankState(
        limit,
        tuple(values.merge(parts, limit) for parts in zip(*(state.values for state in states), strict=True)),
        correlations.merge(comoments) if comoments else None,
    )
