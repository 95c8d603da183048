"""How far is too far: a column's bounds for each method, and the score of a value against them."""

import math
from enum import StrEnum

import msgspec
import numpy as np
import numpy.typing as npt

from gristmill.processors.columns import Floats
from gristmill.processors.moments import Moments
from gristmill.processors.spread import Spread

CONSISTENCY = 0.6745
"""The 75th percentile of the normal distribution: MAD / 0.6745 estimates the standard deviation."""
MEAN_CONSISTENCY = 1.253314
"""sqrt(pi / 2): 1.253314 times the mean absolute deviation estimates the standard deviation."""


class Method(StrEnum):
    ZSCORE = "zscore"
    MODIFIED_ZSCORE = "modified_zscore"
    IQR = "iqr"
    ROLLING = "rolling"
    SEASONAL = "seasonal"
    HBOS = "hbos"
    COPOD = "copod"
    ECOD = "ecod"
    ISOLATION_FOREST = "isolation_forest"

    @property
    def bounded(self) -> bool:
        """Whether values have bounds, and a row's score is the highest of its columns'."""
        return self in THRESHOLDS


THRESHOLDS = {
    Method.ZSCORE: 3.0,
    Method.MODIFIED_ZSCORE: 3.5,
    Method.IQR: 1.5,
    Method.ROLLING: 3.0,
    Method.SEASONAL: 3.5,
}


class Bounds(msgspec.Struct, frozen=True, tag="bounds"):
    """A value's score is its distance below `lower` or above `upper`, in units of `unit`; at most 0 between them.

    `unit` is None for a degenerate column, which is not judged; `note` says why, or which fallback was taken.
    """

    column: str
    lower: float = 0.0
    upper: float = 0.0
    unit: float | None = None
    note: str | None = None

    @property
    def judged(self) -> bool:
        return self.unit is not None

    def low(self, threshold: float) -> float | None:
        return None if self.unit is None else self.lower - threshold * self.unit

    def high(self, threshold: float) -> float | None:
        return None if self.unit is None else self.upper + threshold * self.unit

    def rate(self, values: Floats) -> Floats:
        """The scores of values: NaN for a NaN. Only of a judged column."""
        with np.errstate(invalid="ignore", over="ignore"):
            if self.lower == self.upper:
                away = np.abs(values - self.lower)
            else:
                away = np.maximum(self.lower - values, values - self.upper)
            found: Floats = away / self.unit
        return found

    def beneath(self, values: Floats) -> npt.NDArray[np.bool_]:
        """Whether values are nearer to the lower bound."""
        with np.errstate(invalid="ignore"):
            return np.asarray(values < self.lower)

    def crossed(self, values: Floats, threshold: float) -> Floats:
        """The bounds that values outside have crossed."""
        low, high = self.low(threshold), self.high(threshold)
        return np.where(self.beneath(values), np.nan if low is None else low, np.nan if high is None else high)


def bounds(column: str, spread: Spread, method: Method) -> Bounds:
    """The bounds of a fitted column.

    z-score: mean and standard deviation (ddof 1). Modified z-score: Iglewicz and Hoaglin (1993), "How to Detect and
    Handle Outliers": median and MAD, or with MAD 0 the mean absolute deviation. IQR: Tukey (1977), linear quartiles.
    """
    if spread.moments.count == 0:
        return Bounds(column, note="no values")
    match method:
        case Method.ZSCORE:
            found = _zscore(column, spread)
        case Method.MODIFIED_ZSCORE | Method.SEASONAL:
            found = _modified(column, spread)
        case Method.IQR:
            found = _tukey(column, spread)
        case _:
            raise ValueError(f"{method} has no bounds")
    if found.unit is not None and not (math.isfinite(found.unit) and found.unit > 0):
        return Bounds(column, note="too wide for float64")
    return found


def _zscore(column: str, spread: Spread) -> Bounds:
    std = spread.moments.std(ddof=1)
    if std is None:
        return Bounds(column, note="a single value has no standard deviation")
    if std == 0:
        return Bounds(column, note="constant: the standard deviation is 0")
    return Bounds(column, spread.moments.mean, spread.moments.mean, std)


def _modified(column: str, spread: Spread) -> Bounds:
    median, mad = spread.median or 0.0, spread.median_distance
    if mad:
        return Bounds(column, median, median, mad / CONSISTENCY)
    if spread.away.mean > 0:
        note = "MAD is 0: the mean absolute deviation to the median is used instead"
        return Bounds(column, median, median, MEAN_CONSISTENCY * spread.away.mean, note)
    return Bounds(column, note="constant: all distances to the median are 0")


def _tukey(column: str, spread: Spread) -> Bounds:
    first, third = spread.quantile(0.25) or 0.0, spread.quantile(0.75) or 0.0
    if first == third:
        return Bounds(column, note="the interquartile range is 0")
    return Bounds(column, first, third, third - first)


class Masking(msgspec.Struct, frozen=True):
    """Values that the modified z-score flags and the z-score does not, each at its default threshold.

    `sampled`: told from so many values of a sample; None: from all.
    """

    values: int
    sampled: int | None = None


def masking(sample: Floats, known: Moments, weights: Floats | None = None) -> Masking | None:
    """Masking: outliers inflate the standard deviation that they are measured with, and hide behind it.

    `sample` are finite values of a column, fairly chosen, or with weights its distribution, sorted; `known` are the
    moments of all. None where it can't be told.
    """
    std = known.std(ddof=1)
    if not len(sample) or not std:
        return None
    median = _middle(sample, weights)
    with np.errstate(over="ignore"):
        away = np.abs(sample - median)
        mad = _middle(away, weights)
        if not mad:
            return None
        robust = CONSISTENCY * away / mad > THRESHOLDS[Method.MODIFIED_ZSCORE]
        plain = np.abs(sample - known.mean) / std > THRESHOLDS[Method.ZSCORE]
    hits = robust & ~plain
    hidden, total = (len(sample[hits]), len(sample)) if weights is None else (weights[hits].sum(), weights.sum())
    values = round(float(hidden) * (known.count / float(total)))
    if not values:
        return None
    return Masking(values, None if round(float(total)) == known.count else len(sample))


def _middle(values: Floats, weights: Floats | None) -> float:
    """The lower median."""
    if weights is None:
        place = (len(values) - 1) // 2
        return float(np.partition(values, place)[place])
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, (reached[-1] - 1) // 2, side="right")])
