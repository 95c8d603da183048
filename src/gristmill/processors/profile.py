"""What a pass sees of one column for the kind `metrics`, and how it merges."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from gristmill.domain.column import Column
from gristmill.processors import frequencies, hashes, moments, order, spread
from gristmill.processors.columns import Family, Floats, family, is_integer, numbers, there
from gristmill.processors.frequencies import Frequencies
from gristmill.processors.hashes import Hashes
from gristmill.processors.moments import Moments
from gristmill.processors.order import Gaps, Order, OrderWatch, Steps, StepsWatch
from gristmill.processors.quantiles import Lookout
from gristmill.processors.spread import Pass, Spread
from gristmill.processors.times import iso
from gristmill.processors.values import Gathered, Limits, limits

BINS = 20
TOP = 10
OUTLINE = 512
OUTLINE_ALL = 65_536
Number = int | float


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a column's different values, once all are seen. `exact`: none had to be dropped.

    `top` are the most frequent ones and their counts, nothing where that is not told; times are in ISO 8601.
    """

    exact: bool
    distinct: int
    top: tuple[tuple[Any, int], ...] = ()


class NumberSeen(msgspec.Struct, frozen=True, tag="number"):
    """`low` and `high` are exact for whole numbers. `bins` are counted once the extremes are known.

    `whole` is the exact sum of whole numbers in digits, for it may not fit 64 bits; `total` is the sum of others.
    """

    nulls: int = 0
    nans: int = 0
    infinities: int = 0
    zeros: int = 0
    negatives: int = 0
    total: float = 0.0
    whole: str | None = None
    low: Number | None = None
    high: Number | None = None
    hashes: Hashes = hashes.EMPTY
    seen: Pass = Pass()
    order: Order = Order()
    bins: npt.NDArray[np.int64] | None = None
    told: Told | None = None


class OtherSeen(msgspec.Struct, frozen=True, tag="other"):
    """Text, booleans and times. `low` and `high` are the earliest and latest of a time, in ISO 8601.

    `steps` are those of a time in order; `gaps` what they came to once all is seen, as far as that can be told.
    """

    nulls: int = 0
    frequencies: Frequencies = Frequencies()
    hashes: Hashes = hashes.EMPTY
    lengths: Moments = Moments()
    low: str | None = None
    high: str | None = None
    order: Order = Order()
    steps: Steps = Steps()
    gaps: Gaps | None = None
    told: Told | None = None


class Caps(msgspec.Struct, frozen=True):
    """What is kept of each column. `outline`: points of its distribution, once all passes are done."""

    values: Limits
    frequencies: int
    hashes: int
    outline: int


ColumnSeen = NumberSeen | OtherSeen


class Watch(Protocol):
    """Sees a column batch after batch, and answers what it saw."""

    def take(self, series: pl.Series) -> None:
        """One more batch."""
        ...

    def seen(self) -> ColumnSeen: ...


def shares(numeric: int, columns: int) -> Caps:
    """The share of each of so many columns, some of them numeric."""
    outline = max(32, min(OUTLINE, OUTLINE_ALL // max(1, numeric)))
    return Caps(limits(numeric), frequencies.cap(columns), hashes.cap(columns), outline)


def watch(column: Column, known: Spread, caps: Caps) -> Watch:
    """Who looks at a column in this pass."""
    if family(column) is not Family.NUMBER:
        return OtherWatch(column, caps)
    return NumberWatch(column, caps) if known.first else WindowWatch(known, caps)


class _Distinct:
    """Hashes of values, kept from when the values themselves are too many."""

    def __init__(self, most: int) -> None:
        self._gathered = hashes.Gathered(most)

    def add(self, series: pl.Series) -> None:
        self._gathered.add(hashes.of_values(series))

    def seen(self) -> Hashes:
        return self._gathered.seen()

    def add_numbers(self, values: Floats) -> None:
        self.add(pl.Series("x", values))


class NumberWatch:
    """The first pass over a numeric column."""

    def __init__(self, column: Column, caps: Caps) -> None:
        self._integer = is_integer(column) and not column.type.endswith("128")
        self._distinct = _Distinct(caps.hashes)
        self._values = Gathered(caps.values, self._distinct.add_numbers)
        self._moments = Moments()
        self._order = OrderWatch()
        self._counts = np.zeros(5, np.int64)
        self._total: Number = 0 if self._integer else 0.0
        self._ends: list[Number] = []

    def take(self, series: pl.Series) -> None:
        found = numbers(series)
        values = found.finite
        zeros, negatives = len(values) - int(np.count_nonzero(values)), int(np.count_nonzero(values < 0))
        self._counts += (found.nulls, found.nans, found.infinities, zeros, negatives)
        if not len(values):
            return
        measured = moments.measure(values)
        self._moments = moments.merge([self._moments, measured])
        self._bound(series, values, measured)
        self._order.take(there(series.alias("x")) if self._integer else pl.Series("x", values))
        if not self._values.exact:
            self._distinct.add_numbers(values)
        self._values.add(values)

    def _bound(self, series: pl.Series, values: Floats, measured: Moments) -> None:
        """Extremes and sum, exact for whole numbers."""
        low: Number = measured.low
        high: Number = measured.high
        with np.errstate(over="ignore"):
            total: Number = float(values.sum())
            if self._integer:
                low, high, total = _whole(series)
            self._total += total
        self._ends = [min([low, *self._ends]), max([high, *self._ends])]

    def seen(self) -> NumberSeen:
        nulls, nans, infinities, zeros, negatives = map(int, self._counts)
        low, high = self._ends or (None, None)
        values = self._values.seen()
        return NumberSeen(
            nulls=nulls,
            nans=nans,
            infinities=infinities,
            zeros=zeros,
            negatives=negatives,
            total=float(self._total),
            whole=str(self._total) if self._integer and self._ends else None,
            low=low,
            high=high,
            hashes=self._distinct.seen(),
            seen=Pass(moments=self._moments, values=values),
            order=self._order.seen(),
        )


def _whole(series: pl.Series) -> tuple[int, int, int]:
    """Lowest, highest and sum of whole numbers (some are there), in 64 bits where they do."""
    present = there(series.alias("x"))
    values = present.to_numpy()
    low, high = int(values.min()), int(values.max())
    if max(-low, high) * len(values) < 2**63:
        return low, high, int(values.sum())
    return low, high, int(present.to_frame().select(pl.col("x").cast(pl.Int128).sum()).item())


class WindowWatch:
    """A later pass over a numeric column: windows of quantiles, and the histogram."""

    def __init__(self, known: Spread, caps: Caps) -> None:
        self._moments = known.moments
        self._quantiles = Lookout(known.quantiles, caps.values)
        self._distances = Lookout(known.distances, caps.values)
        wanted = not known.values.exact and known.distances.center is None
        self._bins = np.zeros(BINS, np.int64) if wanted and edges(known.moments) is not None else None

    def take(self, series: pl.Series) -> None:
        values = numbers(series).finite
        self._quantiles.take(values)
        self._distances.take(values)
        if self._bins is not None:
            self._bins += binned(values, self._moments)

    def seen(self) -> NumberSeen:
        seen = Pass(quantiles=self._quantiles.seen(), distances=self._distances.seen())
        return NumberSeen(seen=seen, bins=self._bins)


class OtherWatch:
    """The one pass over a column of text, booleans, times or any other type."""

    def __init__(self, column: Column, caps: Caps) -> None:
        self._kind = family(column)
        self._nulls = 0
        self._distinct = _Distinct(caps.hashes)
        self._counter = frequencies.Counter(caps.frequencies, self._distinct.add)
        self._lengths = Moments()
        self._ends: list[pl.Series] = []
        self._order = OrderWatch()
        self._steps = StepsWatch()

    def take(self, series: pl.Series) -> None:
        self._nulls += series.null_count()
        if self._kind is Family.OTHER:
            return
        plain = frequencies.plain(series)
        if self._kind is Family.TEXT:
            lengths = there(plain).str.len_chars().cast(pl.Float64).to_numpy()
            self._lengths = moments.merge([self._lengths, moments.measure(lengths)])
            self._order.take(there(plain))
        if self._kind is Family.TIME:
            self._bound(plain)
            self._steps.take(there(plain).to_physical())
        if self._counter.error:
            self._distinct.add(plain)
        self._counter.take(plain)

    def _bound(self, plain: pl.Series) -> None:
        ends = plain.to_frame().select(pl.col("x").min().alias("low"), pl.col("x").max().alias("high"))
        found = pl.concat([*self._ends, ends["low"].alias("x"), ends["high"].alias("x")])
        self._ends = [pl.select(pl.lit(found).min().alias("x"))["x"], pl.select(pl.lit(found).max().alias("x"))["x"]]

    def seen(self) -> OtherSeen:
        counted = self._counter.seen()
        low, high = (iso(end)[0] for end in self._ends) if self._ends else (None, None)
        steps = self._steps.seen()
        found = steps.order if self._kind is Family.TIME else self._order.seen()
        return OtherSeen(self._nulls, counted, self._distinct.seen(), self._lengths, low, high, found, steps)


def edges(seen: Moments) -> Floats | None:
    """The edges of `BINS` equal bins from the lowest to the highest value.

    None for a constant column, and where float64 can't tell the edges apart or their distance is beyond it.
    """
    if seen.count == 0 or seen.constant or not np.isfinite(seen.high - seen.low):
        return None
    found = np.linspace(seen.low, seen.high, BINS + 1)
    return found if bool((np.diff(found) > 0).all()) else None


def binned(values: Floats, seen: Moments, weights: Floats | None = None) -> npt.NDArray[np.int64]:
    """Counts of values between the edges (there are some); the last bin includes its end."""
    counts, _ = np.histogram(values, bins=BINS, range=(seen.low, seen.high), weights=weights)
    return counts.astype(np.int64)


def settle(column: Column, seen: ColumnSeen, known: Spread, caps: Caps) -> tuple[ColumnSeen, Spread]:
    """What has to be known of a column once all passes are done, in a few kilobytes."""
    if isinstance(seen, NumberSeen):
        return _settled_number(seen, known, caps)
    counted = seen.frequencies
    distinct = counted.distinct if counted.exact else hashes.tally(seen.hashes, 0, caps.hashes).distinct
    told = Told(exact=counted.exact, distinct=distinct, top=_top(column, counted))
    settled = msgspec.structs.replace(
        seen,
        frequencies=Frequencies(error=counted.error),
        hashes=hashes.EMPTY,
        order=seen.order.bare,
        steps=Steps(),
        gaps=_gaps(column, seen),
        told=told,
    )
    return settled, known


def _gaps(column: Column, seen: OtherSeen) -> Gaps | None:
    """Of dates and datetimes, as far as that can be told."""
    if not column.type.startswith("Date"):
        return None
    table = seen.frequencies.table
    values = None if table is None else table.get_column("value")
    return order.gaps(seen.steps, values, exact=seen.frequencies.exact)


def _settled_number(seen: NumberSeen, known: Spread, caps: Caps) -> tuple[ColumnSeen, Spread]:
    values = known.values
    bins = seen.bins
    if values.exact:
        # Most frequent first, of equally frequent ones the smallest.
        order = np.argsort(-values.weights, kind="stable")[:TOP]
        top = tuple((float(values.points[place]), int(values.weights[place])) for place in order)
        told = Told(exact=True, distinct=len(values.points), top=top)
        if bins is None and edges(known.moments) is not None:
            bins = binned(values.points, known.moments, values.weights)
    else:
        told = Told(exact=False, distinct=hashes.tally(seen.hashes, 0, caps.hashes).distinct)
    bare = seen.order.bare
    kept = msgspec.structs.replace(seen, hashes=hashes.EMPTY, seen=Pass(), order=bare, bins=bins, told=told)
    return kept, msgspec.structs.replace(known, values=values.thinned(caps.outline))


def _top(column: Column, counted: Frequencies) -> tuple[tuple[Any, int], ...]:
    if family(column) is Family.TIME and counted.table is not None:
        first = counted.table.head(TOP)
        return tuple(zip(iso(first.get_column("value")), first.get_column("count").to_list(), strict=True))
    return tuple(counted.top(TOP))


def merge(parts: Sequence[ColumnSeen], caps: Caps) -> ColumnSeen:
    """What neighbouring rows show of one column."""
    counted = [part for part in parts if isinstance(part, NumberSeen)]
    if counted:
        return _merge_numbers(counted, caps)
    return _merge_others([part for part in parts if isinstance(part, OtherSeen)], caps)


def _merge_numbers(parts: Sequence[NumberSeen], caps: Caps) -> NumberSeen:
    bins = [part.bins for part in parts if part.bins is not None]
    lows = [part.low for part in parts if part.low is not None]
    highs = [part.high for part in parts if part.high is not None]
    seen = spread.merge([part.seen for part in parts], caps.values)
    return NumberSeen(
        nulls=sum(part.nulls for part in parts),
        nans=sum(part.nans for part in parts),
        infinities=sum(part.infinities for part in parts),
        zeros=sum(part.zeros for part in parts),
        negatives=sum(part.negatives for part in parts),
        total=sum(part.total for part in parts),
        whole=_added([part.whole for part in parts if part.whole is not None]),
        low=min(lows, default=None),
        high=max(highs, default=None),
        hashes=_merge_hashes(parts, caps, exact=seen.values.exact),
        seen=seen,
        order=order.merge([part.order for part in parts]),
        bins=np.sum(bins, axis=0) if bins else None,
    )


def _added(digits: Sequence[str]) -> str | None:
    return str(sum(map(int, digits))) if digits else None


def _merge_others(parts: Sequence[OtherSeen], caps: Caps) -> OtherSeen:
    counted = frequencies.merge([part.frequencies for part in parts], caps.frequencies)
    return OtherSeen(
        nulls=sum(part.nulls for part in parts),
        frequencies=counted,
        hashes=_merge_hashes(parts, caps, exact=counted.exact),
        lengths=moments.merge([part.lengths for part in parts]),
        low=min((part.low for part in parts if part.low is not None), default=None),
        high=max((part.high for part in parts if part.high is not None), default=None),
        order=order.merge([part.order for part in parts]),
        steps=order.merge_steps([part.steps for part in parts]),
    )


def _merge_hashes(parts: Sequence[ColumnSeen], caps: Caps, *, exact: bool) -> Hashes:
    """Hashes once the values themselves can't be kept: those of the values where they still were."""
    if exact:
        return hashes.EMPTY
    distinct = _Distinct(caps.hashes)
    for part in parts:
        if isinstance(part, NumberSeen) and part.seen.values.exact:
            distinct.add_numbers(part.seen.values.points)
        elif isinstance(part, OtherSeen) and part.frequencies.exact and part.frequencies.table is not None:
            distinct.add(part.frequencies.table.get_column("value"))
    return hashes.merge([distinct.seen(), *(part.hashes for part in parts)], caps.hashes)
