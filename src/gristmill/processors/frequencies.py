"""How often each value of a column of any type comes, in bounded memory.

Exact while the distinct values fit under a cap. Beyond, the rarest are cut off and the highest count cut is added to
`error`: a value's true count is its count here or up to `error` more, and a value not here came `error` times at most.
Misra and Gries (1982), "Finding repeated elements"; merging after Agarwal et al. (2012), "Mergeable summaries".
"""

from collections.abc import Sequence

import msgspec
import polars as pl

KEPT = 65_536
KEPT_ALL = 1_048_576


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
    present = plain(series).drop_nulls()
    if present.dtype.is_float():
        present = present.drop_nans() + 0.0
    if present.is_empty():
        return Frequencies()
    return _cut(present.value_counts().rename({"x": "value"}), 0, most)


def plain(series: pl.Series) -> pl.Series:
    """The series under the name `x`, categories as text."""
    renamed = series.alias("x")
    return renamed.cast(pl.String) if isinstance(series.dtype, pl.Categorical | pl.Enum) else renamed


def merge(parts: Sequence[Frequencies], most: int) -> Frequencies:
    tables = [part.table for part in parts if part.table is not None]
    if not tables:
        return Frequencies()
    error = sum(part.error for part in parts)
    if len(tables) == 1:
        return Frequencies(tables[0], error)
    joined = pl.concat(tables).group_by("value").agg(pl.col("count").sum())
    return _cut(joined, error, most)


def _cut(table: pl.DataFrame, error: int, most: int) -> Frequencies:
    ordered = table.with_columns(pl.col("count").cast(pl.Int64)).sort("count", "value", descending=[True, False])
    if ordered.height <= most:
        return Frequencies(ordered, error)
    kept = most // 2
    return Frequencies(ordered.head(kept), error + int(ordered["count"][kept]))
