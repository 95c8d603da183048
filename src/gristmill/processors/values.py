"""The distribution of a column in bounded memory: exact while its distinct values are few, then with a known error.

A `Values` is a sorted list of points with weights. While the distinct values fit under a cap it is the whole
distribution. Beyond, it is cut down to `grain` points of equal weight at even ranks, which moves the rank of any
value by at most W/(2·grain); merging adds the errors up. The error is a bound, not a likelihood, so a bracket drawn
from it holds an order statistic for certain, and one more pass over the bracket finds it exactly.
After Munro and Paterson (1980), "Selection and sorting with limited storage". Nothing here is random.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from gristmill.processors.columns import Floats

KEPT_VALUES = 200_000
"""Distinct values of one column that are kept exactly, where the columns are few."""
KEPT_VALUES_ALL = 4_194_304
"""The same over all columns of a job: 64 MiB of points and weights."""


class Limits(msgspec.Struct, frozen=True):
    """`kept`: distinct values up to which a column is exact. `grain`: points of an approximate one."""

    kept: int
    grain: int


def limits(columns: int) -> Limits:
    """The share of each of so many columns."""
    share = max(256, min(KEPT_VALUES, KEPT_VALUES_ALL // max(1, columns)))
    return Limits(share, max(64, min(4096, share // 4)))


class Values(msgspec.Struct, frozen=True):
    """Sorted distinct points and their weights (rows). `error` is in rows; 0 means exact."""

    points: Floats
    weights: Floats
    error: float = 0.0

    @property
    def exact(self) -> bool:
        return self.error == 0

    @property
    def count(self) -> int:
        return round(float(self.weights.sum()))

    def at(self, rank: int) -> float:
        """The order statistic of a 0-based rank; exact if this is."""
        place = int(np.searchsorted(np.cumsum(self.weights), rank, side="right"))
        return float(self.points[min(place, len(self.points) - 1)])

    def bracket(self, rank: int) -> tuple[float, float]:
        """An interval, ends included, that holds the order statistic of a 0-based rank for certain."""
        cumulative = np.cumsum(self.weights)
        slack = self.error + 2.0
        below = int(np.searchsorted(cumulative, rank - slack, side="right")) - 1
        above = int(np.searchsorted(cumulative, rank + 1 + slack, side="left"))
        low = float(self.points[below]) if below >= 0 else -math.inf
        high = float(self.points[above]) if above < len(self.points) else math.inf
        return low, high

    def distances(self, center: float) -> "Values":
        """The distribution of |x - center|. A distance is passed on two sides, so the error doubles."""
        with np.errstate(over="ignore"):
            merged = _collapse(np.abs(self.points - center), self.weights)
        return Values(merged.points, merged.weights, 2 * self.error)

    def linear(self, fractions: Floats) -> Floats:
        """Linear quantiles (Hyndman and Fan, type 7) of a distribution that holds something; exact if this is."""
        places = (self.count - 1) * fractions
        low = np.floor(places)
        cumulative = np.cumsum(self.weights)
        ends = [np.searchsorted(cumulative, rank, side="right") for rank in (low, np.minimum(low + 1, self.count - 1))]
        first, second = (self.points[np.minimum(place, len(self.points) - 1)] for place in ends)
        along = places - low
        return np.maximum.accumulate(first * (1 - along) + second * along)


EMPTY = Values(np.empty(0), np.empty(0))


def tally(values: Floats) -> Values:
    """The exact distribution of finite values."""
    points, counts = np.unique(values, return_counts=True)
    return Values(points, counts.astype(np.float64))


def merge(parts: Sequence[Values], limit: Limits) -> Values:
    """Distributions joined, cut down if the points are more than the limit keeps.

    An approximate one is cut down whenever its points are more than twice its grain: a state stays small.
    """
    present = [part for part in parts if len(part.points)]
    if not present:
        return EMPTY
    if len(present) == 1:
        joined = present[0]
    else:
        joined = _collapse(
            np.concatenate([part.points for part in present]), np.concatenate([part.weights for part in present])
        )
        joined = Values(joined.points, joined.weights, math.fsum(part.error for part in present))
    most = limit.kept if joined.exact else 2 * limit.grain
    return _cut(joined, limit.grain) if len(joined.points) > most else joined


def _collapse(points: Floats, weights: Floats) -> Values:
    order = np.argsort(points, kind="stable")
    points, weights = points[order], weights[order]
    first = np.flatnonzero(np.concatenate(([True], points[1:] != points[:-1])))
    return Values(points[first], np.add.reduceat(weights, first))


def _cut(values: Values, grain: int) -> Values:
    """`grain` points of equal weight at even ranks: the rank of any value moves by W/(2·grain) at most."""
    total = float(values.weights.sum())
    ranks = (np.arange(grain) + 0.5) * (total / grain)
    places = np.searchsorted(np.cumsum(values.weights), ranks, side="left")
    chosen = values.points[np.minimum(places, len(values.points) - 1)]
    cut = _collapse(chosen, np.full(grain, total / grain))
    return Values(cut.points, cut.weights, values.error + total / (2 * grain))
