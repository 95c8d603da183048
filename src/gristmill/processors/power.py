"""Yeo-Johnson's or Box-Cox's power for each column, by maximum likelihood: exact over any number of rows, a few sums a
pass.

Yeo and Johnson (2000), "A new family of power transformations to improve normality or symmetry". The likelihood has one
maximum, as it is strictly concave in the power (Marchand et al. 2022, "SecureFedYJ"), so Newton's method finds it, held
between powers where it still rises and where it falls. It needs the means and comoments of the transformed values and
of their first two derivatives by the power, which merge (Chan et al. 1979). Box and Cox (1964), "An analysis of
transformations", is the same of log(x) in the place of sign(x) · log(1 + |x|), for positive values.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from gristmill.processors.columns import Floats
from gristmill.processors.spread import Spread

MOST_STEPS = 100
MOST_PASSES = 12
"""Steps that take a pass over the data each, from a power that is close already."""
CLOSE = 1e-9
"""A step that is smaller, relative to the power, ends the search."""
DIGITS = 1e-8
"""The least spread of transformed values beside their mean: float64 has 16 digits, and half of them are to be left."""
# Up to here the series takes so many terms, and beyond it the closed forms lose two digits of sixteen.
_NEAR = 0.3
_SERIES = 13


class Shape(msgspec.Struct, frozen=True):
    """Of transformed values and their two derivatives: means (3) and comoments (3×3). `logs` is the sum of
    sign(x) · log(1 + |x|).
    """

    count: float = 0.0
    mean: Floats = msgspec.field(default_factory=lambda: np.zeros(3))
    joint: Floats = msgspec.field(default_factory=lambda: np.zeros((3, 3)))
    logs: float = 0.0


class PowerSearch(msgspec.Struct, frozen=True):
    """The power to look at next, between powers that are too low and too high.

    `good` is the last that was looked at and that float64 bears, with `mean` and `std` (ddof 0) of what it makes of the
    values; None: there is none. Once `done`, it is the one that was looked for. `box`: it is Box-Cox's.
    """

    power: float = 1.0
    low: float = -math.inf
    high: float = math.inf
    good: float | None = None
    mean: float = 0.0
    std: float = 0.0
    steps: int = 0
    done: bool = False
    box: bool = False

    def look(self, batch: Floats) -> Shape:
        """One pass over a batch of finite values."""
        return Shape() if self.done else measure(batch, self.power, box=self.box)

    def advance(self, seen: Shape) -> "PowerSearch":
        """What is known after a pass."""
        if self.done:
            return self
        if not _bearable(seen):
            return self._back()
        spread, slope = float(seen.joint[0, 0]), float(seen.joint[0, 1])
        bend = float(seen.joint[1, 1] + seen.joint[0, 2])
        rise = seen.logs - seen.count * slope / spread
        curve = seen.count * (2 * (slope / spread) ** 2 - bend / spread)
        step = -rise / curve if curve < 0 else math.copysign(1.0, rise)
        return msgspec.structs.replace(
            self,
            low=self.power if rise > 0 else self.low,
            high=self.high if rise > 0 else self.power,
            good=self.power,
            mean=float(seen.mean[0]),
            std=math.sqrt(spread / seen.count),
        ).towards(self.power + step)

    def towards(self, wanted: float) -> "PowerSearch":
        """Look there next, or as near to it as the bounds and the length of a step allow; done if that is no step."""
        most = 1 + abs(self.power)
        wanted = max(self.power - most, min(self.power + most, wanted))
        if not self.low < wanted < self.high:
            # Only a bound that was looked at can be in the way, and the present power is the other.
            wanted = (self.low + self.high) / 2
        near = abs(wanted - self.power) <= CLOSE * max(1.0, abs(self.power))
        return msgspec.structs.replace(
            self, power=wanted, steps=self.steps + 1, done=near or self.steps + 1 >= MOST_STEPS
        )

    def _back(self) -> "PowerSearch":
        """Half the way back to a power that float64 bears, if there is one, and never so far again."""
        if self.good is None:
            return msgspec.structs.replace(self, done=True)
        low, high = (self.power, self.high) if self.power < self.good else (self.low, self.power)
        return msgspec.structs.replace(self, low=low, high=high).towards((self.power + self.good) / 2)


def start(known: Spread, *, box: bool) -> PowerSearch:
    """The power of a column whose distribution is known: found, or close to it where it is known roughly.

    Of values that are not all positive Box and Cox know none.
    """
    search = PowerSearch(box=box)
    if known.moments.count == 0 or known.moments.constant or (box and known.moments.low <= 0):
        return msgspec.structs.replace(search, done=True)
    points, weights = known.values.points, known.values.weights
    while not search.done:
        search = search.advance(measure(points, search.power, weights, box=box))
    if known.values.exact:
        return search
    power = 1.0 if search.good is None else search.good
    return PowerSearch(power, steps=MOST_STEPS - MOST_PASSES, box=box)


def merge(parts: Sequence[Shape]) -> Shape:
    found = Shape()
    for part in parts:
        found = _join(found, part)
    return found


def measure(values: Floats, power: float, weights: Floats | None = None, *, box: bool = False) -> Shape:
    """What values show of a power."""
    if len(values) == 0:
        return Shape()
    count = float(len(values) if weights is None else weights.sum())
    with np.errstate(over="ignore", invalid="ignore"):
        rows, logs = _derived(values, power, box=box)
        heavy = rows if weights is None else rows * weights
        mean = heavy.sum(axis=1) / count
        rows -= mean[:, None]
        joint = (rows if weights is None else rows * weights) @ rows.T
        total = float((logs if weights is None else logs * weights).sum())
    return Shape(count, mean, joint, total)


def forward(values: Floats, power: float, *, box: bool = False) -> Floats:
    """Values transformed; NaN for what has no logarithm."""
    if box:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return _grown(np.log(np.where(values > 0, values, np.nan)), power)
    depth = np.log1p(np.abs(values))
    with np.errstate(over="ignore"):
        return np.where(values >= 0, _grown(depth, power), -_grown(depth, 2 - power))


def backward(values: Floats, power: float, *, box: bool = False) -> Floats:
    """What values were before they were transformed; NaN for what no value becomes."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if box:
            return np.exp(values if power == 0 else np.log1p(power * values) / power)
        return np.where(values >= 0, _shrunk(values, power), -_shrunk(-values, 2 - power))


def comes_back(values: Floats, power: float, *, box: bool = False) -> bool:
    """Whether float64 holds the transformed values well enough to tell what they were."""
    back = backward(forward(values, power, box=box), power, box=box)
    return bool(np.allclose(back, values, rtol=1e-6, atol=1e-9))


def _bearable(seen: Shape) -> bool:
    """Whether the transformed values are within float64 and far enough apart in it."""
    least = (DIGITS * seen.mean[0]) ** 2 * seen.count
    return bool(np.isfinite(seen.joint).all() and seen.joint[0, 0] > 0 and seen.joint[0, 0] >= least)


def _join(a: Shape, b: Shape) -> Shape:
    if a.count == 0 or b.count == 0:
        return b if a.count == 0 else a
    count = a.count + b.count
    with np.errstate(over="ignore", invalid="ignore"):
        delta = b.mean - a.mean
        mean = a.mean + delta * (b.count / count)
        joint = a.joint + b.joint + np.outer(delta, delta) * (a.count * b.count / count)
    return Shape(count, mean, joint, a.logs + b.logs)


def _derived(values: Floats, power: float, *, box: bool) -> tuple[Floats, Floats]:
    """The transformed values and their first and second derivative by the power (3×n); and the logarithms."""
    if box:
        depth = logs = np.log(values)
        at = power * logs
    else:
        depth = np.log1p(np.abs(values))
        right = values >= 0
        at = np.where(right, power, 2 - power) * depth
        logs = np.where(right, depth, -depth)
    level, first, second = _slopes(at)
    square = depth * depth
    return np.stack((logs * level, square * first, square * logs * second)), logs


def _grown(depth: Floats, power: float | Floats) -> Floats:
    """(e^(power·depth) - 1) / power."""
    whole = np.asarray(power)
    safe = np.where(whole == 0, 1.0, whole)
    return np.where(whole == 0, depth, np.expm1(whole * depth) / safe)


def _shrunk(values: Floats, power: float) -> Floats:
    return np.expm1(values if power == 0 else np.log1p(power * values) / power)


def _slopes(at: Floats) -> tuple[Floats, Floats, Floats]:
    """(e^z - 1) / z and its first two derivatives; by their series near 0, where the closed forms cancel."""
    near = np.flatnonzero(np.abs(at) < _NEAR)
    whole = at.copy()
    whole[near] = 1.0
    growth = np.expm1(whole)
    level = growth / whole
    growth += 1
    first = (growth - level) / whole
    second = (growth - 2 * first) / whole
    small = at[near]
    level[near], first[near], second[near] = (_series(small, order) for order in range(3))
    return level, first, second


def _series(at: Floats, order: int) -> Floats:
    """The derivative of the given order of the sum of z^n / (n+1)!."""
    terms = [math.perm(n, order) / math.factorial(n + 1) for n in range(order, order + _SERIES)]
    return np.polyval(np.array(terms[::-1]), at)
