"""Distinct values and repeated rows, from the smallest of their hashes.

Bar-Yossef et al. (2002), "Counting distinct elements in a data stream": the k smallest of N hashes tell N to a
relative standard error of 1/sqrt(k - 2), and exactly while there are fewer than k. The values behind the smallest
hashes are also a fair sample of all values, so the counts kept beside them tell how often a value is repeated.

Sorting every hash would cost more than all else a pass does. So a state holds hashes as they came, below a ceiling
that is halved when they are too many (Wegman's adaptive sampling, in Flajolet 1990), and only `Tally` sorts, once.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from gristmill.processors.columns import there

KEPT_ROWS = 262_144
"""Row hashes kept: duplicate rows are counted exactly while the different rows are fewer."""
KEPT = 16_384
KEPT_ALL = 1_048_576
_SEED = 0x67726973
_STEP = np.uint64(0x9E3779B97F4A7C15)
_HELD = 4
"""Hashes held are at most so many times those kept in the end: halving leaves enough of them for certain."""
_PROBED = 16

Raw = npt.NDArray[np.uint64]


def cap(columns: int) -> int:
    """Hashes kept for each of so many columns."""
    return max(256, min(KEPT, KEPT_ALL // max(1, columns)))


class Hashes(msgspec.Struct, frozen=True):
    """All hashes below 2^(64-level), in no order. `counts` are how often each came; None: each came once."""

    hashes: Raw
    counts: npt.NDArray[np.int64] | None = None
    level: int = 0


class Gathered:
    """The hashes of batch after batch. They wait until they are many: joining them is most of the work."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: list[Hashes] = [EMPTY]
        self._size = 0

    def add(self, found: Hashes) -> None:
        below = _under(found, self._waiting[0].level)
        self._waiting.append(below)
        self._size += len(below.hashes)
        if self._size > _HELD * self._most:
            self.seen()

    def seen(self) -> Hashes:
        """All so far."""
        joined = merge(self._waiting, self._most)
        self._waiting, self._size = [joined], len(joined.hashes)
        return joined


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What hashes tell: `distinct` (of values) or `repeats` (of rows), exactly or by estimate from `sampled` rows."""

    exact: bool
    distinct: int
    repeats: int
    sampled: int


EMPTY = Hashes(np.empty(0, dtype=np.uint64))


def relative_error(most: int) -> float:
    """The standard error of an estimate of distinct values, as a share."""
    return 1 / math.sqrt(most - 2)


def of_values(series: pl.Series) -> Hashes:
    """The values of a batch; null and NaN are left out."""
    present = there(series.alias("x"))
    if present.dtype.is_float():
        present = present.drop_nans()
    return Hashes(present.hash(_SEED).to_numpy())


class RowHasher:
    """The hashes of whole rows, of columns that come one after the other; null equals null, NaN equals NaN.

    A row's hash is a polynomial of its cells' hashes: it does not tell which columns came together.
    """

    def __init__(self) -> None:
        self._found: Raw | None = None

    def add(self, cells: Raw) -> None:
        """The hashes of the next column."""
        if self._found is None:
            self._found = cells.copy()
            return
        with np.errstate(over="ignore"):
            self._found *= _STEP
            self._found += cells

    def seen(self) -> Hashes:
        return EMPTY if self._found is None else Hashes(self._found)


def of_cells(series: pl.Series) -> Raw:
    """The hash of each cell of a column of any type."""
    return series.alias("x").to_frame().hash_rows(_SEED).to_numpy()


def merge(parts: Sequence[Hashes], most: int) -> Hashes:
    """All of them, below the lowest ceiling, and that lowered while they are too many."""
    level = max(part.level for part in parts)
    below = [_under(part, level) for part in parts if len(part.hashes)]
    if not below:
        return Hashes(EMPTY.hashes, level=level)
    found = Hashes(np.concatenate([part.hashes for part in below]), _counts(below), level)
    while len(found.hashes) > _HELD * most:
        # Where most of them differ, there are far more than are needed; else the repeated ones are joined first.
        if not _differ(found):
            found = _joined(found)
            if len(found.hashes) <= 2 * most:
                break
        found = _under(found, found.level + 1)
    return found


def tally(found: Hashes, rows: int, most: int) -> Tally:
    """The figures of so many rows. The same however the rows were cut and the states were merged."""
    joined = _joined(found)
    exact = joined.level == 0 and len(joined.hashes) < most
    kept = joined.hashes[:most]
    sampled = len(kept) if joined.counts is None else int(joined.counts[:most].sum())
    repeated = sampled - len(kept)
    if exact:
        return Tally(exact=True, distinct=len(kept), repeats=repeated, sampled=sampled)
    share = float(kept[-1]) / 2.0**64 if len(kept) else 1.0
    estimate = max(0, round((len(kept) - 1) / share))
    repeats = round(rows * (repeated / sampled)) if sampled else 0
    return Tally(exact=False, distinct=estimate, repeats=repeats, sampled=sampled)


def _under(found: Hashes, level: int) -> Hashes:
    if level <= found.level:
        return found
    kept = found.hashes < np.uint64(1 << (64 - level))
    return Hashes(found.hashes[kept], None if found.counts is None else found.counts[kept], level)


def _counts(parts: Sequence[Hashes]) -> npt.NDArray[np.int64] | None:
    if all(part.counts is None for part in parts):
        return None
    ones = (np.ones(len(part.hashes), np.int64) if part.counts is None else part.counts for part in parts)
    return np.concatenate(list(ones))


def _differ(found: Hashes) -> bool:
    """Whether most hashes came once, by a small fair part of them."""
    probed = found.hashes[found.hashes < np.uint64((1 << (64 - found.level)) // _PROBED)]
    probed.sort()
    return int(np.count_nonzero(probed[1:] != probed[:-1])) + 1 > 0.75 * len(probed)


def _joined(found: Hashes) -> Hashes:
    """Sorted, each once."""
    if found.counts is None:
        hashes, counts = np.unique(found.hashes, return_counts=True)
        return Hashes(hashes, counts.astype(np.int64), found.level)
    hashes, places = np.unique(found.hashes, return_inverse=True)
    totals = np.bincount(places, weights=found.counts, minlength=len(hashes)).astype(np.int64)
    return Hashes(hashes, totals, found.level)
