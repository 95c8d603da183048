"""Carrying the last value on: the strategy `forward` of the step `fill_nulls`.

A part does not know what lies before it, so the fit notes the last values of each part and the row it begins with.
Apply fills within a part, and what is missing at its beginning from the note. The parts of both must begin with the
same rows.
"""

from collections.abc import Sequence

import polars as pl
from polars import selectors as cs

from gristmill.domain.column import Column
from gristmill.errors import MemoryLimit
from gristmill.processors.columns import MIB, RESTING, exactly, memory_of, strips, together
from gristmill.processors.contract import ROW

FILLED_BYTES = MIB
ROW_BYTES = 64
"""What filling a column takes at most, and of a short table for each row: 300 columns took 275 MiB, 500 over 384."""


def look(frame: pl.LazyFrame, columns: Sequence[Column], width: int) -> tuple[pl.DataFrame, int, tuple[int, ...]]:
    """The first row (`ROW`) of a part and the last value of each column in it, null where there is none; the part's
    rows; and how many values each column misses. So many columns are looked at together.

    A part without rows makes an empty frame.
    """
    found: list[pl.DataFrame] = []
    missing: list[int] = []
    rows = 0
    for group in together(columns, width):
        names = [column.name for column in group]
        seen, rows, gaps = _look(frame, names)
        found.append(seen.drop(ROW) if found else seen)
        missing += gaps
    return pl.concat(found, how="horizontal"), rows, tuple(missing)


def _look(frame: pl.LazyFrame, names: Sequence[str]) -> tuple[pl.DataFrame, int, list[int]]:
    seen: list[pl.DataFrame] = []
    gaps = [0] * len(names)
    rows = 0
    for batch in strips(frame, names):
        if batch.height:
            rows += batch.height
            held = batch.select(present(exactly(name), batch.schema[name]) for name in names)
            gaps = [before + held.get_column(name).null_count() for before, name in zip(gaps, names, strict=True)]
            last = held.select(exactly(name).drop_nulls().last() for name in names)
            seen.append(pl.concat([batch.select(cs.by_name(ROW)).head(1), last], how="horizontal"))
    if not seen:
        return frame.select(cs.by_name(ROW, *names)).head(0).collect(), 0, gaps
    last = pl.concat(seen).select(exactly(ROW).first(), *(exactly(name).drop_nulls().last() for name in names))
    return last, rows, gaps


def check_memory(columns: int, *, rows: int, width: int) -> None:
    """Raises MemoryLimit where so many columns with gaps can't be filled side by side in this process.

    Polars fills each on a way of its own, with some thousand rows before and behind it.
    """
    budget = memory_of(width)
    need = RESTING + columns * min(FILLED_BYTES, rows * ROW_BYTES)
    if need > budget:
        raise MemoryLimit(
            f"To fill {columns} columns that miss values forward takes about {need // MIB} MiB, and a job may take "
            f"about {budget // MIB}. What helps: fewer `columns` in each of more jobs, or a larger EXECUTOR_MEMORY_MB"
        )


def carried(parts: pl.DataFrame) -> pl.DataFrame:
    """Of the notes of all parts, in their order: what each part begins with, by its first row."""
    return parts.select(exactly(ROW), cs.exclude(ROW).forward_fill().shift(1))


def fill(frame: pl.LazyFrame, begins: pl.DataFrame) -> pl.LazyFrame:
    """The frame of one part filled, in the columns that miss values; at the very beginning of the data stays what has
    no value before it.
    """
    names = begins.columns[1:]
    if not names:
        return frame
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
