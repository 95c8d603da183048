"""Distinct values and repeated rows, from the smallest of their hashes.

Bar-Yossef et al. (2002), "Counting distinct elements in a data stream": the k smallest of N hashes tell N to a
relative standard error of 1/sqrt(k - 2), and exactly while there are fewer than k. The values behind the smallest
hashes are also a fair sample of all values, so the counts kept beside them tell how often a value is repeated.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

KEPT_ROWS = 262_144
"""Row hashes kept: duplicate rows are counted exactly while the different rows are fewer."""
KEPT = 16_384
KEPT_ALL = 1_048_576
_SEED = 0x67726973


def cap(columns: int) -> int:
    """Hashes kept for each of so many columns."""
    return max(256, min(KEPT, KEPT_ALL // max(1, columns)))


class Hashes(msgspec.Struct, frozen=True):
    """The smallest hashes, sorted, and how often each came."""

    hashes: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.int64]

    def exact(self, most: int) -> bool:
        return len(self.hashes) < most

    def distinct(self, most: int) -> int:
        """Distinct values, exact or estimated."""
        if self.exact(most):
            return len(self.hashes)
        return round((len(self.hashes) - 1) / (float(self.hashes[-1]) / 2.0**64))

    def repeats(self, rows: int, most: int) -> int:
        """Of so many rows, those that repeat an earlier one, exact or estimated."""
        seen = int(self.counts.sum())
        repeated = seen - len(self.hashes)
        return repeated if self.exact(most) or not seen else round(rows * (repeated / seen))


def relative_error(most: int) -> float:
    """The standard error of an estimate of distinct values, as a share."""
    return 1 / math.sqrt(most - 2)


EMPTY = Hashes(np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64))


def of_values(series: pl.Series, most: int) -> Hashes:
    """The distinct values of a batch; null and NaN are left out."""
    present = series.alias("x").drop_nulls()
    if present.dtype.is_float():
        present = present.drop_nans()
    return _smallest(present.hash(_SEED).to_numpy(), None, most)


def of_rows(frame: pl.DataFrame, most: int) -> Hashes:
    """The distinct rows of a batch; null equals null, NaN equals NaN."""
    return _smallest(frame.hash_rows(_SEED).to_numpy(), None, most)


def merge(parts: Sequence[Hashes], most: int) -> Hashes:
    counts = np.concatenate([part.counts for part in parts])
    return _smallest(np.concatenate([part.hashes for part in parts]), counts, most)


def _smallest(hashes: npt.NDArray[np.uint64], counts: npt.NDArray[np.int64] | None, most: int) -> Hashes:
    if counts is None:
        found, totals = np.unique(hashes, return_counts=True)
        return Hashes(found[:most], totals[:most].astype(np.int64))
    found, places = np.unique(hashes, return_inverse=True)
    return Hashes(found[:most], np.bincount(places, weights=counts, minlength=len(found))[:most].astype(np.int64))
