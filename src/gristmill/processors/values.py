"""The distribution of a column in bounded memory: exact while its distinct values are few, then with a known error.

A `Values` is a sorted list of points with weights. While the distinct values fit under a cap it is the whole
distribution. Beyond, it is cut down to `grain` points of equal weight at even ranks, which moves the rank of any
value by at most W/(2·grain); merging adds the errors up. The error is a bound, not a likelihood, so a bracket drawn
from it holds an order statistic for certain, and one more pass over the bracket finds it exactly.
After Munro and Paterson (1980), "Selection and sorting with limited storage". Nothing here is random.

Where a later pass checks the bracket anyway, `Gathered` looks at a sample of what comes once the values are too many:
sorting all of them is most of a pass.
"""

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import polars as pl

from gristmill.processors.columns import Floats

KEPT_VALUES = 200_000
"""Distinct values of one column that are kept exactly, where the columns are few."""
KEPT_VALUES_ALL = 4_194_304
"""The same over all columns of a job: 64 MiB of points and weights."""
STRIDE = 32
SIGMAS = 5.0
SAMPLED_FROM = 32_768
"""Values of a batch from which a sample will do."""
COUNTED_FROM = 16_384
PROBED = 1_024
WAITING = 16
"""Points of an approximate distribution that wait to be cut down, as a multiple of its grain."""


class Limits(msgspec.Struct, frozen=True):
    """`kept`: distinct values up to which a column is exact. `grain`: points of an approximate one."""

    kept: int
    grain: int


def limits(columns: int) -> Limits:
    """The share of each of so many columns."""
    share = max(256, min(KEPT_VALUES, KEPT_VALUES_ALL // max(1, columns)))
    return Limits(share, max(64, min(4096, share // 4)))


class Values(msgspec.Struct, frozen=True):
    """Sorted distinct points and their weights (rows). `error` is in rows; 0 means exact.

    With `noise`, points are partly of a sample: the rank of a value that a share p lies below varies by p(1 - p)·noise.
    """

    points: Floats
    weights: Floats
    error: float = 0.0
    noise: float = 0.0

    @property
    def exact(self) -> bool:
        return self.error == 0 and self.noise == 0

    @property
    def count(self) -> int:
        return round(float(self.weights.sum()))

    def at(self, rank: int) -> float:
        """The order statistic of a 0-based rank; exact if this is."""
        place = int(np.searchsorted(np.cumsum(self.weights), rank, side="right"))
        return float(self.points[min(place, len(self.points) - 1)])

    def bracket(self, rank: int) -> tuple[float, float]:
        """An interval, ends included, that holds the order statistic of a 0-based rank: for certain without noise.

        With noise it does so but once in a million times; whoever counts in it finds that out.
        """
        cumulative = np.cumsum(self.weights)
        share = min(max(rank / max(1.0, cumulative[-1]), 0.002), 0.998)
        slack = self.error + 2.0 + SIGMAS * math.sqrt(share * (1 - share) * self.noise)
        below = int(np.searchsorted(cumulative, rank - slack, side="right")) - 1
        above = int(np.searchsorted(cumulative, rank + 1 + slack, side="left"))
        low = float(self.points[below]) if below >= 0 else -math.inf
        high = float(self.points[above]) if above < len(self.points) else math.inf
        return low, high

    def distances(self, center: float) -> "Values":
        """The distribution of |x - center|. A distance is passed on two sides, so the errors double."""
        with np.errstate(over="ignore"):
            merged = _collapse(np.abs(self.points - center), self.weights)
        return Values(merged.points, merged.weights, 2 * self.error, 4 * self.noise)

    def thinned(self, points: int) -> "Values":
        """The same in at most so many points, with an error if it had more."""
        return self if len(self.points) <= points else _cut(self, points)

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
    """The exact distribution of finite values. Where many are equal, counting first leaves little to sort."""
    probe = values[:: max(1, len(values) // PROBED)] if len(values) > COUNTED_FROM else None
    if probe is None or len(np.unique(probe)) > len(probe) // 2:
        points, counts = np.unique(values, return_counts=True)
        return Values(points, counts.astype(np.float64))
    counted = pl.Series("value", values).value_counts(name="count")
    points = counted.get_column("value").to_numpy()
    order = np.argsort(points)
    return Values(points[order], counted.get_column("count").to_numpy()[order].astype(np.float64))


def sample(values: Floats, turn: int) -> Values:
    """A part of finite values, one of each `STRIDE` neighbours, standing for all. `turn` moves the choice about."""
    steps = np.arange(len(values) // STRIDE)
    # Fibonacci hashing (Knuth 6.4): spread, so that no period in the data meets the choice, and always the same.
    chosen = steps * STRIDE + ((steps + turn) * 2_654_435_761 >> 16) % STRIDE
    found = tally(values[chosen])
    each = len(values) / len(chosen)
    return Values(found.points, found.weights * each, noise=len(values) * each)


def merge(parts: Sequence[Values], limit: Limits) -> Values:
    """Distributions joined, cut down if the points are more than the limit keeps.

    An approximate one is cut down whenever its points are more than twice its grain: a state stays small.
    """
    return _fit(_join(parts), limit)


def _join(parts: Sequence[Values]) -> Values:
    present = [part for part in parts if len(part.points)]
    if len(present) < 2:
        return present[0] if present else EMPTY
    joined = _collapse(
        np.concatenate([part.points for part in present]), np.concatenate([part.weights for part in present])
    )
    error, noise = math.fsum(part.error for part in present), math.fsum(part.noise for part in present)
    return Values(joined.points, joined.weights, error, noise)


def _fit(joined: Values, limit: Limits) -> Values:
    most = limit.kept if joined.exact else 2 * limit.grain
    return _cut(joined, limit.grain) if len(joined.points) > most else joined


class Gathered:
    """The distribution of batch after batch of finite values: all of them while they fit, then of a sample.

    `on_loss` gets the distinct values so far when they are too many to be kept.
    """

    def __init__(self, limit: Limits, on_loss: Callable[[Floats], None]) -> None:
        self._limit = limit
        self._on_loss = on_loss
        self._waiting: list[Values] = []
        self._points = 0
        self._turn = 0
        self.exact = True

    def add(self, values: Floats) -> None:
        self._turn += 1
        found = tally(values) if self.exact or len(values) < SAMPLED_FROM else sample(values, self._turn)
        self._waiting.append(found)
        self._points += len(found.points)
        if self._points > max(self._limit.kept, WAITING * self._limit.grain):
            self.seen()

    def seen(self) -> Values:
        """The distribution so far."""
        joined = _join(self._waiting)
        kept = _fit(joined, self._limit)
        if self.exact and not kept.exact:
            self.exact = False
            self._on_loss(joined.points)
        self._waiting, self._points = [kept], len(kept.points)
        return kept


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
    return Values(cut.points, cut.weights, values.error + total / (2 * grain), values.noise)
