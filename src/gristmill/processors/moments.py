"""Count, mean and central moments up to the fourth, that merge exactly.

Chan, Golub, LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample variances";
Pébay (2008), "Formulas for robust, one-pass parallel computation of covariances and arbitrary-order moments".
"""

import math
import sys
from collections.abc import Sequence
from functools import reduce

import msgspec
import numpy as np

from gristmill.processors.columns import Floats


class Moments(msgspec.Struct, frozen=True):
    """`m2` … `m4` are sums of powers of the distance to the mean. `low` and `high` are the extremes."""

    count: int = 0
    mean: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def variance(self, *, ddof: int) -> float | None:
        """None with `ddof` values or fewer."""
        return self.m2 / (self.count - ddof) if self.count > ddof else None

    def std(self, *, ddof: int) -> float | None:
        variance = self.variance(ddof=ddof)
        return None if variance is None else math.sqrt(variance)

    @property
    def constant(self) -> bool:
        return self.count > 0 and self.low == self.high

    @property
    def _has_shape(self) -> bool:
        """The fourth power of a very small or very large spread leaves the normal range of float64."""
        return not self.constant and sys.float_info.min < self.m4 < math.inf

    @property
    def skew(self) -> float | None:
        """Population skewness g1 = sqrt(n)·m3 / m2^1.5; None for a constant column, or beyond float64."""
        if not self._has_shape:
            return None
        return (self.m3 / self.m2) * math.sqrt(self.count / self.m2)

    @property
    def kurtosis(self) -> float | None:
        """Population excess kurtosis (Fisher) g2 = n·m4 / m2² - 3; None as for the skewness."""
        if not self._has_shape:
            return None
        return self.count * (self.m4 / self.m2) / self.m2 - 3.0


def measure(values: Floats) -> Moments:
    """The moments of finite values, in two steps: the mean first, then powers of the distance to it."""
    count = len(values)
    if count == 0:
        return Moments()
    low, high = float(values.min()), float(values.max())
    if low == high:
        return Moments(count, low, low=low, high=high)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(values.mean())
        apart = values - mean
        slip = float(apart.sum()) / count
        mean += slip
        apart -= slip
        squares = apart * apart
        m2 = float(squares.sum())
        # Sums and not dot products: those are left to BLAS, whose threads and order differ from machine to machine.
        m3 = float((squares * apart).sum())
        m4 = float((squares * squares).sum())
    return Moments(count, mean, m2, m3, m4, low, high)


def merge(parts: Sequence[Moments]) -> Moments:
    return reduce(_join, parts, Moments())


def _join(a: Moments, b: Moments) -> Moments:
    """Pébay (2008), equations 2.1 and 3.1 for orders two to four."""
    if a.count == 0 or b.count == 0:
        return b if a.count == 0 else a
    n = a.count + b.count
    low, high = min(a.low, b.low), max(a.high, b.high)
    if low == high:
        return Moments(n, low, low=low, high=high)
    delta = b.mean - a.mean
    step = delta / n
    cross = delta * step * a.count * b.count
    return Moments(
        count=n,
        mean=a.mean + step * b.count,
        m2=a.m2 + b.m2 + cross,
        m3=a.m3 + b.m3 + cross * step * (a.count - b.count) + 3 * step * (a.count * b.m2 - b.count * a.m2),
        m4=(
            a.m4
            + b.m4
            + cross * step * step * (a.count * a.count - a.count * b.count + b.count * b.count)
            + 6 * step * step * (a.count * a.count * b.m2 + b.count * b.count * a.m2)
            + 4 * step * (a.count * b.m3 - b.count * a.m3)
        ),
        low=low,
        high=high,
    )
