"""What a pass sees of one column for the kind `metrics`, and how it merges."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from gristmill.domain.column import Column
from gristmill.processors import frequencies, hashes, moments, spread
from gristmill.processors.columns import Family, Floats, family, is_integer, numbers
from gristmill.processors.frequencies import Frequencies
from gristmill.processors.hashes import Hashes
from gristmill.processors.moments import Moments
from gristmill.processors.spread import Pass, Spread
from gristmill.processors.values import Limits

BINS = 20
Number = int | float


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
    bins: npt.NDArray[np.int64] | None = None


class OtherSeen(msgspec.Struct, frozen=True, tag="other"):
    """Text, booleans and times. `low` and `high` are the earliest and latest of a time, in ISO 8601."""

    nulls: int = 0
    frequencies: Frequencies = Frequencies()
    hashes: Hashes = hashes.EMPTY
    lengths: Moments = Moments()
    low: str | None = None
    high: str | None = None


class Caps(msgspec.Struct, frozen=True):
    """What is kept of each column."""

    values: Limits
    frequencies: int
    hashes: int


ColumnSeen = NumberSeen | OtherSeen


def start(column: Column, known: Spread, caps: Caps) -> ColumnSeen:
    """What is seen of no rows."""
    if family(column) is Family.NUMBER:
        return NumberSeen(seen=known.look(np.empty(0), caps.values))
    return OtherSeen()


def look(series: pl.Series, column: Column, known: Spread, caps: Caps) -> ColumnSeen:
    """What one batch shows of a column."""
    series = series.alias("x")
    if family(column) is Family.NUMBER:
        return _number(series, column, known, caps) if known.first else _again(series, known, caps)
    return _other(series, column, caps)


def _number(series: pl.Series, column: Column, known: Spread, caps: Caps) -> NumberSeen:
    found = numbers(series)
    values = found.finite
    low, high, total = _extremes(series, values, whole=is_integer(column) and not column.type.endswith("128"))
    return NumberSeen(
        nulls=found.nulls,
        nans=found.nans,
        infinities=found.infinities,
        zeros=int(np.count_nonzero(values == 0)),
        negatives=int(np.count_nonzero(values < 0)),
        total=float(total),
        whole=str(total) if isinstance(total, int) else None,
        low=low,
        high=high,
        hashes=hashes.of_values(series, caps.hashes),
        seen=known.look(values, caps.values),
    )


def _extremes(series: pl.Series, values: Floats, *, whole: bool) -> tuple[Number | None, Number | None, Number]:
    if len(values) == 0:
        return None, None, 0 if whole else 0.0
    if not whole:
        with np.errstate(over="ignore"):
            return float(values.min()), float(values.max()), float(values.sum())
    found = series.to_frame().select(
        pl.col("x").min().alias("low"), pl.col("x").max().alias("high"), pl.col("x").cast(pl.Int128).sum().alias("sum")
    )
    low, high, total = found.row(0)
    return int(low), int(high), int(total)


def _again(series: pl.Series, known: Spread, caps: Caps) -> NumberSeen:
    """A later pass: windows of quantiles, and the histogram."""
    values = numbers(series).finite
    bins = None
    if not known.values.exact and not known.centered:
        bins = histogram(values, known.moments)
    return NumberSeen(seen=known.look(values, caps.values), bins=bins)


def edges(seen: Moments) -> Floats | None:
    """The edges of `BINS` equal bins from the lowest to the highest value.

    None for a constant column, and where float64 can't tell the edges apart or their distance is beyond it.
    """
    if seen.count == 0 or seen.constant or not np.isfinite(seen.high - seen.low):
        return None
    found = np.linspace(seen.low, seen.high, BINS + 1)
    return found if bool((np.diff(found) > 0).all()) else None


def histogram(values: Floats, seen: Moments, weights: Floats | None = None) -> npt.NDArray[np.int64] | None:
    """Counts of values between the edges; the last bin includes its end."""
    found = edges(seen)
    if found is None:
        return None
    counts, _ = np.histogram(values, bins=BINS, range=(seen.low, seen.high), weights=weights)
    return counts.astype(np.int64)


def _other(series: pl.Series, column: Column, caps: Caps) -> OtherSeen:
    nulls = series.null_count()
    kind = family(column)
    if kind is Family.OTHER:
        return OtherSeen(nulls=nulls)
    lengths, low, high = Moments(), None, None
    plain = frequencies.plain(series)
    if kind is Family.TEXT:
        lengths = moments.measure(plain.drop_nulls().str.len_chars().cast(pl.Float64).to_numpy())
    if kind is Family.TIME and nulls < len(series):
        ends = pl.select(pl.lit(plain).min().alias("low"), pl.lit(plain).max().alias("high"))
        low, high = iso(ends["low"])[0], iso(ends["high"])[0]
    counted = frequencies.count(series, caps.frequencies)
    return OtherSeen(nulls, counted, hashes.of_values(plain, caps.hashes), lengths, low, high)


def iso(series: pl.Series) -> list[str]:
    """Times in ISO 8601."""
    return series.dt.to_string("iso").to_list()


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
        hashes=hashes.merge([part.hashes for part in parts], caps.hashes),
        seen=spread.merge([part.seen for part in parts], caps.values),
        bins=np.sum(bins, axis=0) if bins else None,
    )


def _added(digits: Sequence[str]) -> str | None:
    return str(sum(map(int, digits))) if digits else None


def _merge_others(parts: Sequence[OtherSeen], caps: Caps) -> OtherSeen:
    return OtherSeen(
        nulls=sum(part.nulls for part in parts),
        frequencies=frequencies.merge([part.frequencies for part in parts], caps.frequencies),
        hashes=hashes.merge([part.hashes for part in parts], caps.hashes),
        lengths=moments.merge([part.lengths for part in parts]),
        low=min((part.low for part in parts if part.low is not None), default=None),
        high=max((part.high for part in parts if part.high is not None), default=None),
    )
