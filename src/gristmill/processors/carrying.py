"""Carrying the last value on: the strategy `forward` of the step `fill_nulls`.

A part does not know what lies before it, so the fit notes the last values of each part and the row it begins with.
Apply fills within a part, and what is missing at its beginning from the note. The parts of both must begin with the
same rows.
"""

from collections.abc import Sequence

import polars as pl
from polars import selectors as cs

from gristmill.processors.columns import batches, exactly
from gristmill.processors.contract import ROW


def look(frame: pl.LazyFrame, names: Sequence[str]) -> tuple[pl.DataFrame, int]:
    """The first row (`ROW`) of a part and the last value of each column in it, null where there is none; and its rows.

    A part without rows makes an empty frame.
    """
    seen: list[pl.DataFrame] = []
    rows = 0
    for batch in batches(frame, names):
        if batch.height:
            rows += batch.height
            last = batch.select(present(exactly(name), batch.schema[name]).drop_nulls().last() for name in names)
            seen.append(pl.concat([batch.select(cs.by_name(ROW)).head(1), last], how="horizontal"))
    if not seen:
        return frame.select(cs.by_name(ROW, *names)).head(0).collect(), 0
    return pl.concat(seen).select(exactly(ROW).first(), *(exactly(name).drop_nulls().last() for name in names)), rows


def carried(parts: pl.DataFrame) -> pl.DataFrame:
    """Of the notes of all parts, in their order: what each part begins with, by its first row."""
    return parts.select(exactly(ROW), cs.exclude(ROW).forward_fill().shift(1))


def fill(frame: pl.LazyFrame, names: Sequence[str], begins: pl.DataFrame) -> pl.LazyFrame:
    """The frame of one part filled; at the very beginning of the data stays what has no value before it."""
    schema = frame.collect_schema()
    filled = frame.with_columns(present(exactly(name), schema[name]).forward_fill().alias(name) for name in names)
    starts = begins.get_column(ROW)

    def begin(morsel: pl.DataFrame) -> pl.DataFrame:
        place = int(starts.search_sorted(morsel.get_column(ROW)[0], side="right")) - 1 if morsel.height else -1
        if place < 0:
            return morsel
        # What is still missing in a part misses since the part's beginning.
        return morsel.with_columns(
            exactly(name).fill_null(pl.lit(begins.get_column(name).slice(place, 1)).first()) for name in names
        )

    return filled.map_batches(begin, streamable=True)


def present(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The column with NaN as null."""
    return column.fill_nan(None) if dtype.is_float() else column
