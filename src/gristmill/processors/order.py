"""In which order the values of a column stand, and the steps from one time to the next.

Both are told of the values that are there: null, NaN and infinite ones are passed over. A look at neighbouring rows
merges with that at the rows after them, exactly, by the first and the last value of each.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from gristmill.processors import values as distribution
from gristmill.processors.times import duration, iso
from gristmill.processors.values import Gathered, Limits, Values

STEPS = Limits(kept=8_192, grain=1_024)
"""Different steps that are kept of a column: beyond, the median is approximate."""
EXACT = 2**53
PROBED = 256
_WORDS = {
    (True, True): "strictly_increasing",
    (True, False): "increasing",
    (False, True): "strictly_decreasing",
    (False, False): "decreasing",
}


class Order(msgspec.Struct, frozen=True):
    """`first` and `last` value of some rows, None where there is none.

    `up`: no value is below the one before; `down`: none is above; `strict`: none is equal to it.
    """

    first: Any = None
    last: Any = None
    several: bool = False
    up: bool = True
    down: bool = True
    strict: bool = True

    @property
    def alive(self) -> bool:
        """Whether the values are in any order so far."""
        return self.up or self.down

    @property
    def word(self) -> str | None:
        """None: no order, or fewer than two values."""
        if not self.several or not self.alive:
            return None
        return "constant" if self.up and self.down else _WORDS[self.up, self.strict]

    @property
    def bare(self) -> "Order":
        """The same without values."""
        return msgspec.structs.replace(self, first=None, last=None)


def look(series: pl.Series) -> Order:
    """The order of the values of a batch, none of them missing."""
    if series.is_empty():
        return Order()
    ends = Order(series[0], series[-1], len(series) > 1)
    probe = _compared(ends, series.head(PROBED))
    return probe if not probe.alive or len(series) <= PROBED else _compared(ends, series)


def _compared(ends: Order, series: pl.Series) -> Order:
    before, after = series.head(len(series) - 1), series.slice(1)
    falls, rises = bool((after < before).any()), bool((after > before).any())
    strict = not falls and bool((after > before).all()) if rises else falls and bool((after < before).all())
    return msgspec.structs.replace(ends, up=not falls, down=not rises, strict=strict or len(series) < 2)


def merge(parts: Sequence[Order]) -> Order:
    """Of neighbouring rows, in their order."""
    found = Order()
    for part in parts:
        found = _join(found, part)
    return found


def _join(a: Order, b: Order) -> Order:
    # Whoever has no order has no values either: they are not looked at any more.
    if not a.alive or not b.alive:
        return Order(several=True, up=False, down=False, strict=False)
    if a.first is None or b.first is None:
        return a if b.first is None else b
    return Order(
        a.first,
        b.last,
        several=True,
        up=a.up and b.up and a.last <= b.first,
        down=a.down and b.down and a.last >= b.first,
        strict=a.strict and b.strict and a.last != b.first,
    )


class OrderWatch:
    """The order of a column, batch after batch; nothing is looked at once there is none."""

    def __init__(self) -> None:
        self._found = Order()

    def take(self, present: pl.Series) -> None:
        """One more batch without missing values."""
        if self._found.alive:
            self._found = _join(self._found, look(present))

    def seen(self) -> Order:
        return self._found


class Steps(msgspec.Struct, frozen=True):
    """The steps between different neighbouring times of some rows in order, in the column's unit.

    `order` has the first and last time as they are stored. `largest` goes from `start` to `end`; of equal ones it is
    the earliest. Without an order nothing is kept.
    """

    order: Order = Order()
    sizes: Values = distribution.EMPTY
    largest: int = 0
    start: int = 0
    end: int = 0


def _nothing(_: object) -> None:
    """The steps themselves are not wanted where they are too many."""


class StepsWatch:
    """The steps of a column of dates or times, batch after batch, while the times are in order."""

    def __init__(self) -> None:
        self._order = Order()
        self._sizes = Gathered(STEPS, _nothing)
        self._largest = (0, 0, 0)

    def take(self, present: pl.Series) -> None:
        """One more batch without missing values, stored as integers."""
        if not self._order.alive or present.is_empty():
            return
        before, found = self._order, look(present)
        self._order = _join(before, found)
        if not self._order.alive:
            return
        times = present.to_numpy().astype(np.int64)
        if before.last is not None:
            times = np.concatenate((np.array([before.last], np.int64), times))
        self._add(times)

    def _add(self, times: npt.NDArray[np.int64]) -> None:
        """Steps of times in order. Two times may be further apart than int64 tells: their distance is unsigned."""
        times = times if times[0] <= times[-1] else times[::-1]
        sizes = np.diff(np.ascontiguousarray(times).view(np.uint64))
        place = int(np.argmax(sizes)) if len(sizes) else 0
        if not len(sizes) or not sizes[place]:
            return
        found = (int(sizes[place]), int(times[place]), int(times[place + 1]))
        self._largest = _larger(self._largest, found)
        self._sizes.add(sizes[sizes > 0].astype(np.float64))

    def seen(self) -> Steps:
        if not self._order.alive:
            return Steps(self._order)
        return Steps(self._order, self._sizes.seen(), *self._largest)


def _larger(a: tuple[int, int, int], b: tuple[int, int, int]) -> tuple[int, int, int]:
    """The larger step; of equal ones the earlier."""
    return max(a, b, key=lambda step: (step[0], -step[1]))


def merge_steps(parts: Sequence[Steps]) -> Steps:
    """Of neighbouring rows, in their order."""
    found = parts[0]
    for part in parts[1:]:
        found = _join_steps(found, part)
    return found


def _join_steps(a: Steps, b: Steps) -> Steps:
    order = _join(a.order, b.order)
    if not order.alive:
        return Steps(order)
    if a.order.first is None or b.order.first is None:
        return a if b.order.first is None else b
    sizes, largest = [a.sizes, b.sizes], _larger((a.largest, a.start, a.end), (b.largest, b.start, b.end))
    low, high = sorted((a.order.last, b.order.first))
    if low < high:
        sizes.append(distribution.tally(np.array([float(high - low)])))
        largest = _larger(largest, (high - low, low, high))
    return Steps(order, distribution.merge(sizes, STEPS), *largest)


class Gaps(msgspec.Struct, frozen=True, kw_only=True):
    """What the steps come to: ISO 8601 durations and times. `exact` is about `median` and `irregular`."""

    steps: int
    median: str
    largest: str
    start: str
    end: str
    irregular: int
    exact: bool


def gaps(steps: Steps, values: pl.Series | None, *, exact: bool) -> Gaps | None:
    """The figures of a column of dates or datetimes. None: there is no step, or not all of them are known.

    They are those of the rows in order; else they are found from the different `values`, where those are `exact`: all.
    """
    if values is None:
        return None
    if not steps.order.alive:
        if not exact:
            return None
        steps = _of_values(values)
    return _figures(steps, values.dtype)


def _of_values(values: pl.Series) -> Steps:
    watch = StepsWatch()
    watch.take(values.to_physical().cast(pl.Int64).sort())
    return watch.seen()


def _figures(steps: Steps, kind: pl.DataType) -> Gaps | None:
    """The median is the lower one of an even number of steps, so that it is a step; all that differ are irregular."""
    count = steps.sizes.count
    if not count:
        return None
    median = steps.sizes.at((count - 1) // 2)
    usual = steps.sizes.weights[steps.sizes.points == median].sum()
    start, end = iso(pl.Series((steps.start, steps.end), dtype=pl.Int64).cast(kind))
    return Gaps(
        steps=count,
        median=duration(round(median), kind),
        largest=duration(steps.largest, kind),
        start=start,
        end=end,
        irregular=count - round(float(usual)),
        exact=steps.sizes.exact and steps.largest <= EXACT,
    )
