"""How rows are judged: by a score for each column's value, piece by piece, and what becomes of a row's scores.

Columns are judged group by group, so a wide table takes no more memory than a narrow one; what is kept of a row
meanwhile is its score so far.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from gristmill.domain.column import Column
from gristmill.processors import densities
from gristmill.processors.bounds import Bounds
from gristmill.processors.columns import Floats, strips, together
from gristmill.processors.contract import ROW
from gristmill.processors.crew import Crew
from gristmill.processors.densities import Density
from gristmill.processors.grouping import GROUP, Grouped, Grouping, Places

PIECE_ROWS = 32_768
"""Rows that one thread judges at a time: what is made of a column of them stays in the cache."""
SAMPLED = 65_536
SAMPLED_ALL = 2_097_152
"""Values of one column, and of all, from which masking is told: 16 MiB."""

Judge = Bounds | Grouped | Density


class Look(msgspec.Struct, frozen=True):
    """How rows are judged: by whom, and whether a row's score is the mean of its columns', not the highest.

    `width` columns are looked at together. One row of `stride` is taken for the sample of values; 0: none is. With
    `whole`, pieces have the rows as they are, all of these columns.
    """

    judges: tuple[Judge, ...]
    columns: tuple[Column, ...]
    grouping: Grouping | None
    mean: bool
    width: int
    stride: int = 0
    whole: tuple[str, ...] = ()

    @property
    def groups(self) -> list[tuple[Column, ...]]:
        judged = {judge.column for judge in self.judges if judge.judged}
        return together([column for column in self.columns if column.name in judged], self.width)


class Totals:
    """The scores of some rows while column after column is judged: the highest and whose it is, and their sum."""

    def __init__(self, rows: int, *, mean: bool) -> None:
        self._highest = np.full(rows, -np.inf)
        self.lead = np.zeros(rows, dtype=np.int32)
        self._sum = np.zeros(rows) if mean else None
        self._there = np.zeros(rows) if mean else None

    def add(self, place: int, scores: Floats) -> None:
        """NaN: the value is not judged. Of equal scores the first leads."""
        higher = scores > self._highest
        np.copyto(self._highest, scores, where=higher)
        self.lead[higher] = place
        if self._sum is not None and self._there is not None:
            there = ~np.isnan(scores)
            np.add(self._sum, scores, out=self._sum, where=there)
            self._there += there

    def best(self) -> Floats:
        """The rows' scores; NaN where nothing was judged."""
        if self._sum is None or self._there is None:
            return np.where(self._highest == -np.inf, np.nan, self._highest)
        with np.errstate(invalid="ignore"):
            return np.asarray(self._sum / self._there)


class Piece:
    """Some neighbouring rows, judged on one thread at a time."""

    def __init__(self, look: Look, first: int, start: int, height: int, limit: float | None) -> None:
        self._look = look
        self._limit = limit
        self.first = first + start
        self._start = start
        self._height = height
        self.totals = Totals(height, mean=look.mean)
        self.low = np.zeros(len(look.judges), dtype=np.int64)
        self.high = np.zeros(len(look.judges), dtype=np.int64)
        self.sample: list[Floats] = [np.empty(0)] * len(look.judges)
        self.rows: pl.DataFrame | None = None
        self._chosen = _chosen(self.first, height, look.stride) if look.stride > 1 else None

    def take(self, batch: pl.DataFrame, places: Sequence[int]) -> None:
        """Judge the columns of these judges."""
        rows = batch[self._start : self._start + self._height]
        group = groups_of(rows, self._look)
        if self._look.whole:
            self.rows = rows
        for place in places:
            judge = self._look.judges[place]
            values = values_of(rows, judge)
            if self._look.stride:
                some = values if self._chosen is None else values[self._chosen]
                self.sample[place] = some[np.isfinite(some)]
            found = rated(judge, values, group)
            self.totals.add(place, found)
            if self._limit is not None and isinstance(judge, Bounds | Grouped):
                outside = np.flatnonzero(found > self._limit)
                beneath = _beneath(judge, values[outside], group[outside]) if len(outside) else outside
                self.low[place] = np.count_nonzero(beneath)
                self.high[place] = len(outside) - self.low[place]


def values_of(rows: pl.DataFrame, judge: Judge) -> Floats:
    """NaN for a null."""
    return rows.get_column(judge.column).alias("x").cast(pl.Float64).to_numpy()


def groups_of(rows: pl.DataFrame, look: Look) -> Places:
    if look.grouping is None:
        return np.zeros(rows.height, dtype=np.uint32)
    return rows.select(look.grouping.number()).get_column(GROUP).fill_null(0).to_numpy()


def _beneath(judge: Bounds | Grouped, values: Floats, group: Places) -> npt.NDArray[np.bool_]:
    return judge.beneath(values) if isinstance(judge, Bounds) else judge.beneath(values, group)


def rated(judge: Judge, values: Floats, group: Places) -> Floats:
    if isinstance(judge, Bounds):
        return judge.rate(values)
    if isinstance(judge, Grouped):
        return judge.rate(values, group)
    return densities.scores(judge, values)


def _chosen(first: int, height: int, stride: int) -> npt.NDArray[np.intp]:
    """Of so many rows from a number on, the places of one of `stride`, by a hash of their numbers (SplitMix64)."""
    with np.errstate(over="ignore"):
        mixed = np.arange(first + 1, first + height + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.flatnonzero((mixed ^ (mixed >> np.uint64(31))) % np.uint64(stride) == 0)


def stride_of(rows: int, columns: int) -> int:
    """One row of so many is sampled, of a dataset of so many rows and columns that are judged."""
    most = max(256, min(SAMPLED, SAMPLED_ALL // max(1, columns)))
    return max(1, -(-rows // most))


def pieces(frame: pl.LazyFrame, look: Look, limit: float | None = None) -> Iterator[Piece]:
    """The rows of a part, judged, in their order."""
    places = {judge.column: place for place, judge in enumerate(look.judges)}
    groups, by = look.groups, look.grouping.names if look.grouping is not None else ()
    held: list[list[Piece]] = []
    with Crew() as crew:
        for at, group in enumerate(groups):
            chosen = [places[column.name] for column in group]
            names = look.whole or [*(column.name for column in group), *by]
            for ordinal, batch in enumerate(strips(frame, names)):
                if not at:
                    held.append(_cut(batch, look, limit))
                pieces = held[ordinal]
                crew.do([partial(piece.take, batch, chosen) for piece in pieces], rows=batch.height)
                if at == len(groups) - 1:
                    held[ordinal] = []
                    yield from pieces


def _cut(batch: pl.DataFrame, look: Look, limit: float | None) -> list[Piece]:
    first = int(batch.get_column(ROW)[0]) if batch.height else 0
    starts = range(0, batch.height, PIECE_ROWS)
    return [Piece(look, first, start, min(PIECE_ROWS, batch.height - start), limit) for start in starts]
