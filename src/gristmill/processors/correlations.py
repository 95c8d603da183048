"""Pearson correlations of many columns at once, over the rows where both values are there. They merge exactly."""

import math
from collections.abc import Sequence
from functools import reduce

import msgspec
import numpy as np
import polars as pl

from gristmill.domain.column import Column
from gristmill.processors.columns import BATCH_ROWS, WIDTH, Floats

MOST_COLUMNS = 50
"""Columns that are correlated; the work grows with their square."""
MEDIAN_OF = 4096


class Comoments(msgspec.Struct, frozen=True):
    """k×k: rows where i and j are both there, the mean and the second moment of i over them, and the comoment."""

    count: Floats
    mean: Floats
    spread: Floats
    joint: Floats


def batch_rows(columns: int) -> int:
    """Rows that are measured together: a few copies of them are held."""
    return BATCH_ROWS if columns <= WIDTH else BATCH_ROWS // 2


class Measured:
    """The comoments of batch after batch."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._found = zero(len(columns))

    def take(self, batch: pl.DataFrame) -> None:
        """One more batch, cut into such of `batch_rows` rows."""
        rows = batch_rows(len(self._columns))
        for start in range(0, batch.height, rows):
            self._found = merge([self._found, measure(batch[start : start + rows], self._columns)])

    def seen(self) -> Comoments:
        return self._found


def zero(size: int) -> Comoments:
    return Comoments(*(np.zeros((size, size)) for _ in range(4)))


def measure(batch: pl.DataFrame, columns: Sequence[Column]) -> Comoments:
    """The comoments of a batch. NaN and infinite values count as missing.

    Sums are taken about the medians: a mean is pulled away by one giant, and where the other column misses that row,
    the rest would cancel to nothing. A median is never further from the mean than one standard deviation.
    """
    rows = np.vstack([batch.get_column(column.name).alias("x").cast(pl.Float64).to_numpy() for column in columns])
    if bool(np.isfinite(rows).all()):
        return _complete(rows)
    raw = rows.T
    there = np.isfinite(raw)
    with np.errstate(over="ignore", invalid="ignore"):
        shift = np.array([_middle(raw[there[:, place], place]) for place in range(raw.shape[1])])
        values = np.where(there, raw - shift, 0.0)
        mask = there.astype(np.float64)
        count = mask.T @ mask
        share = np.divide(values.T @ mask, count, out=np.zeros_like(count), where=count > 0)
        spread = (values * values).T @ mask - count * share * share
        joint = values.T @ values - count * share * share.T
    return Comoments(count, share + np.where(count > 0, shift[:, None], 0.0), spread, joint)


def _complete(rows: Floats) -> Comoments:
    """The same of k columns without a gap (k×n, changed in place): count and mean are the same beside every other."""
    size, height = rows.shape
    with np.errstate(over="ignore", invalid="ignore"):
        mean = rows.mean(axis=1, keepdims=True)
        rows -= mean
        slip = rows.mean(axis=1, keepdims=True)
        joint = rows @ rows.T - height * slip * slip.T
        square = np.zeros((size, size))
        return Comoments(square + height, square + (mean + slip), square + np.diag(joint)[:, None], joint)


def _middle(values: Floats) -> float:
    """A median, of some thousand values: it has to stand amidst the bulk, not to be the very middle."""
    some = values[:: max(1, len(values) // MEDIAN_OF)]
    return float(np.partition(some, len(some) // 2)[len(some) // 2]) if len(some) else 0.0


def merge(parts: Sequence[Comoments]) -> Comoments:
    return reduce(_join, parts)


def _join(a: Comoments, b: Comoments) -> Comoments:
    """Chan et al. (1979), pair by pair."""
    count = a.count + b.count
    with np.errstate(over="ignore", invalid="ignore"):
        delta = b.mean - a.mean
        share = np.divide(b.count, count, out=np.zeros_like(count), where=count > 0)
        weight = a.count * share
        return Comoments(
            count,
            np.where(a.count > 0, a.mean + np.where(b.count > 0, delta * share, 0.0), b.mean),
            a.spread + b.spread + np.where(weight > 0, delta * delta * weight, 0.0),
            a.joint + b.joint + np.where(weight > 0, delta * delta.T * weight, 0.0),
        )


def coefficients(found: Comoments) -> list[list[float | None]]:
    """The matrix of coefficients, in [-1, 1]; None where a column is constant or fewer than two rows are shared."""
    size = len(found.count)
    with np.errstate(over="ignore", invalid="ignore"):
        return [[_coefficient(found, i, j) for j in range(size)] for i in range(size)]


def _coefficient(found: Comoments, i: int, j: int) -> float | None:
    one, other = found.spread[i, j], found.spread[j, i]
    # What rounding leaves of a constant's second moment is no spread.
    floor = 1e-24 * found.count[i, j]
    if found.count[i, j] < 2 or one <= floor * found.mean[i, j] ** 2 or other <= floor * found.mean[j, i] ** 2:
        return None
    if i == j:
        return 1.0
    value = float(found.joint[i, j]) / (math.sqrt(one) * math.sqrt(other))
    return max(-1.0, min(1.0, value)) if math.isfinite(value) else None
