"""How often each value of a column of any type comes, in bounded memory.

Exact while the distinct values fit under a cap. Beyond, the rarest are cut off and the highest count cut is added to
`error`: a value's true count is its count here or up to `error` more, and a value not here came `error` times at most.
Of equally rare ones all are cut, so that none needs to be compared with another.
Misra and Gries (1982), "Finding repeated elements"; merging after Agarwal et al. (2012), "Mergeable summaries".
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from gristmill.processors.columns import there

KEPT = 65_536
KEPT_ALL = 1_048_576
SMALL = 1_024
WAITING = 2
"""Values that wait to be joined, as a multiple of those kept."""


def cap(columns: int) -> int:
    """Distinct values kept for each of so many columns."""
    return max(256, min(KEPT, KEPT_ALL // max(1, columns)))


class Frequencies(msgspec.Struct, frozen=True):
    """A table of `value` and `count`, most frequent first, equal ones by value. None: nothing seen yet."""

    table: pl.DataFrame | None = None
    error: int = 0

    @property
    def exact(self) -> bool:
        return self.error == 0

    @property
    def distinct(self) -> int:
        """Distinct values kept: all there are, if exact."""
        return 0 if self.table is None else self.table.height

    def top(self, most: int) -> list[tuple[object, int]]:
        """The most frequent values and their counts."""
        return [] if self.table is None else [(value, count) for value, count in self.table.head(most).iter_rows()]

    def physical_mode(self) -> int | None:
        """The most frequent value of a time, as its number of days or of its unit since 1970."""
        return None if self.table is None else int(self.table.get_column("value").to_physical()[0])

    @property
    def mode_is_certain(self) -> bool:
        counts = [count for _, count in self.top(2)]
        return self.exact or (len(counts) > 0 and counts[0] > (counts[1] if len(counts) > 1 else 0) + self.error)


def count(series: pl.Series, most: int) -> Frequencies:
    """The values of one batch. Null and NaN are left out; categories become their text; -0.0 becomes 0.0."""
    counter = Counter(most)
    counter.take(plain(series))
    return counter.seen()


class Counter:
    """Counts batch after batch. Tables wait until they are large: joining and sorting them is most of the work.

    `on_loss` gets the values so far, perhaps more than once each, when they are too many to be kept.
    """

    def __init__(self, most: int, on_loss: Callable[[pl.Series], None] | None = None) -> None:
        self._most = most
        self._on_loss = on_loss
        self._tables: list[pl.DataFrame] = []
        self._height = 0
        self.error = 0

    def take(self, series: pl.Series) -> None:
        """One more batch, as `plain` gives it."""
        present = there(series)
        if present.dtype.is_float():
            present = present.drop_nans() + 0.0
        if present.is_empty():
            return
        if len(present) > self._most and _rising(present):
            self._add(present.alias("value").to_frame().with_columns(pl.lit(1, pl.Int64).alias("count")))
            return
        self._add(present.alias("value").value_counts(name="count").with_columns(pl.col("count").cast(pl.Int64)))
        if self._height > WAITING * self._most:
            self._join()

    def seen(self) -> Frequencies:
        """All that was counted, in order."""
        if len(self._tables) > 1:
            self._join()
        table = self._tables[0] if self._tables else None
        return Frequencies(None if table is None else _sorted(table), self.error)

    def _join(self) -> None:
        joined = pl.concat(self._tables).group_by("value").agg(pl.col("count").sum())
        self._tables, self._height = [], 0
        self._add(joined)

    def _add(self, table: pl.DataFrame) -> None:
        kept, cut = _cut(table, self._most)
        if cut and not self.error and self._on_loss is not None:
            for lost in (*self._tables, table):
                self._on_loss(lost.get_column("value"))
        self.error += cut
        self._tables.append(kept)
        self._height += kept.height


def plain(series: pl.Series) -> pl.Series:
    """The series under the name `x`, categories as text."""
    renamed = series.alias("x")
    return renamed.cast(pl.String) if isinstance(series.dtype, pl.Categorical | pl.Enum) else renamed


def _rising(series: pl.Series) -> bool:
    """Whether each value is above the one before, as of a clock: then each came once, and none has to be counted."""
    if not series.dtype.is_temporal():
        return False
    values = series.to_physical().to_numpy()
    return bool((values[1:] > values[:-1]).all())


def merge(parts: Sequence[Frequencies], most: int) -> Frequencies:
    tables = [part.table for part in parts if part.table is not None]
    if not tables:
        return Frequencies()
    error = sum(part.error for part in parts)
    if len(tables) == 1:
        return Frequencies(tables[0], error)
    kept, cut = _cut(pl.concat(tables).group_by("value").agg(pl.col("count").sum()), most)
    return Frequencies(_sorted(kept), error + cut)


def _cut(table: pl.DataFrame, most: int) -> tuple[pl.DataFrame, int]:
    """Under the cap as it is; else those that came more often than the first of those that can't stay."""
    if table.height <= most:
        return table, 0
    counts = table.get_column("count").to_numpy()
    highest = _highest(counts, most // 2)
    return table.filter(pl.col("count") > highest), highest


def _highest(counts: npt.NDArray[np.int64], place: int) -> int:
    """The count at a place in falling order. Of very many most are small, and small ones are counted by their size."""
    sizes = np.bincount(np.minimum(counts, SMALL))
    above = np.cumsum(sizes[::-1])
    found = len(sizes) - 1 - int(np.searchsorted(above, place, side="right"))
    return found if found < SMALL else int(-np.partition(-counts, place)[place])


def _sorted(table: pl.DataFrame) -> pl.DataFrame:
    return table.sort("count", "value", descending=[True, False])
