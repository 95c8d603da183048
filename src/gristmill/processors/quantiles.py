"""Exact quantiles over any number of rows, in bounded memory.

The first pass gives a distribution with a known error (`values.py`); it brackets each order statistic for certain.
The next pass counts what lies below a bracket and keeps what lies inside it. If even that is too much to keep, the
inside is a distribution with an error again, the bracket narrows, and one more pass follows.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from gristmill.processors import values as distribution
from gristmill.processors.columns import Floats
from gristmill.processors.values import Limits, Values


def ranks(count: int, fraction: float) -> tuple[int, int, float]:
    """The two order statistics (0-based) that a linear quantile lies between, and how far along.

    Hyndman and Fan (1996), type 7: what NumPy, pandas and scikit-learn use.
    """
    place = (count - 1) * fraction
    low = math.floor(place)
    return low, min(low + 1, count - 1), place - low


class Window(msgspec.Struct, frozen=True):
    """Where one order statistic is looked for: between `low` and `high`, ends included."""

    rank: int
    low: float
    high: float


class Glimpse(msgspec.Struct, frozen=True):
    """What a pass saw of one window: the rows below it, and the distribution inside."""

    below: int
    inside: Values


class Search(msgspec.Struct, frozen=True):
    """The order statistics wanted of one column (or of its distances to `center`): known ones and windows."""

    known: dict[int, float] = {}
    windows: tuple[Window, ...] = ()
    center: float | None = None

    @property
    def done(self) -> bool:
        return not self.windows

    def quantile(self, count: int, fraction: float) -> float | None:
        """The linear quantile; None of nothing. All its order statistics must be known."""
        if count == 0:
            return None
        low, high, along = ranks(count, fraction)
        a, b = self.known[low], self.known[high]
        return a if a == b or along == 0 else _between(a, b, along)

    def glimpse(self, batch: Floats, limit: Limits) -> tuple[Glimpse, ...]:
        """What a batch of finite values holds of each window."""
        if self.done:
            return ()
        lookout = Lookout(self, limit)
        lookout.take(batch)
        return lookout.seen()

    def settle(self, glimpses: Sequence[Glimpse]) -> "Search":
        """The search after a pass: more order statistics known, the windows of the others narrower."""
        known = dict(self.known)
        left: list[Window] = []
        for window, glimpse in zip(self.windows, glimpses, strict=True):
            rank = window.rank - glimpse.below
            if rank < 0 or rank >= glimpse.inside.count:
                # The bracket came of a sample and missed: what it looked for is on the other side of one of its ends.
                ends = (-math.inf, window.low) if rank < 0 else (window.high, math.inf)
                left.append(Window(window.rank, *ends))
            elif glimpse.inside.exact:
                known[window.rank] = glimpse.inside.at(rank)
            else:
                low, high = glimpse.inside.bracket(rank)
                left.append(Window(window.rank, max(low, window.low), min(high, window.high)))
        return Search(known, tuple(left), self.center)


class Lookout:
    """Looks at the windows of a search, batch after batch. Equal windows are looked at once."""

    def __init__(self, search: Search, limit: Limits) -> None:
        self._search = search
        self._limit = limit
        self._views = {(window.low, window.high): _View(window.low, window.high) for window in search.windows}

    def take(self, batch: Floats) -> None:
        """One more batch of finite values."""
        if not self._views:
            return
        center = self._search.center
        with np.errstate(over="ignore"):
            seen = batch if center is None else np.abs(batch - center)
        for view in self._views.values():
            view.take(seen, self._limit)

    def seen(self) -> tuple[Glimpse, ...]:
        """What was seen of each window of the search."""
        found = {ends: Glimpse(view.below, view.settle(self._limit)) for ends, view in self._views.items()}
        return tuple(found[window.low, window.high] for window in self._search.windows)


class _View:
    """One window: values inside wait until they are many."""

    def __init__(self, low: float, high: float) -> None:
        self._low = low
        self._high = high
        self.below = 0
        self._held = distribution.EMPTY
        self._waiting: list[Floats] = []
        self._size = 0

    def take(self, seen: Floats, limit: Limits) -> None:
        over = seen >= self._low
        self.below += len(seen) - int(np.count_nonzero(over))
        inside = seen[over & (seen <= self._high)]
        self._waiting.append(inside)
        self._size += len(inside)
        if self._size > limit.kept:
            self.settle(limit)

    def settle(self, limit: Limits) -> Values:
        """The distribution inside, so far."""
        if self._waiting:
            found = distribution.tally(np.concatenate(self._waiting))
            self._held = distribution.merge([self._held, found], limit)
            self._waiting, self._size = [], 0
        return self._held


def merge(parts: Sequence[tuple[Glimpse, ...]], limit: Limits) -> tuple[Glimpse, ...]:
    """Passes over neighbouring rows, joined window by window."""
    return tuple(
        Glimpse(sum(seen.below for seen in window), distribution.merge([seen.inside for seen in window], limit))
        for window in zip(*parts, strict=True)
    )


def search(values: Values, fractions: Sequence[float], *, center: float | None = None) -> Search:
    """Look for the linear quantiles of a column whose distribution is known well or roughly.

    With a center, the quantiles are those of |x - center|, and `values` is still the distribution of x.
    """
    count = values.count
    if count == 0:
        return Search(center=center)
    seen = values if center is None else values.distances(center)
    wanted = sorted({rank for fraction in fractions for rank in ranks(count, fraction)[:2]})
    if seen.exact:
        return Search({rank: seen.at(rank) for rank in wanted}, center=center)
    return Search(windows=_windows(seen, wanted), center=center)


def _windows(seen: Values, ranks: Sequence[int]) -> tuple[Window, ...]:
    """A window for each rank; neighbours share one."""
    found: list[Window] = []
    for place, rank in enumerate(ranks):
        low, high = seen.bracket(rank)
        if place and rank == ranks[place - 1] + 1:
            before = found.pop()
            low, high = min(low, before.low), max(high, before.high)
            found.append(Window(before.rank, low, high))
        found.append(Window(rank, low, high))
    return tuple(found)


def statistic(values: Values, rank: int) -> Search:
    """Look for one order statistic (0-based) of a distribution that holds something."""
    if values.exact:
        return Search({rank: values.at(rank)})
    return Search(windows=(Window(rank, *values.bracket(rank)),))


def _between(a: float, b: float, along: float) -> float:
    step = b - a
    if not math.isfinite(step):
        return a * (1 - along) + b * along
    return a + step * along if along < 0.5 else b - step * (1 - along)
