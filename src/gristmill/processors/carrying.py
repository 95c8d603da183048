"""Carrying the last value on: the strategy `forward` of the step `fill_nulls`.

A part does not know what lies before it, so the fit notes the last values of each part and the row it begins with.
Apply fills within a part, and what is missing at its beginning from the note. The parts of both must begin with the
same rows.
"""

from collections.abc import Iterator, Sequence

import polars as pl
from polars import selectors as cs
from polars.io.plugins import register_io_source

from gristmill.domain.column import Column
from gristmill.processors.columns import BATCH_CELLS, exactly, strips, together
from gristmill.processors.contract import ROW
from gristmill.processors.fresh import fresh

SIDE_BY_SIDE = 32
"""Columns up to which Polars fills them itself: each on a way of its own, for about 1 MiB. 500 took over 384."""


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
    if len(names) > SIDE_BY_SIDE:
        return _carry(frame, begins)
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


def _carry(frame: pl.LazyFrame, begins: pl.DataFrame) -> pl.LazyFrame:
    """As `fill`, batch after batch: what is held beside a batch is one row of the last values."""
    schema = frame.collect_schema()

    def batches(
        wanted: list[str] | None, predicate: pl.Expr | None, rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        chosen = list(schema) if wanted is None else wanted
        for batch in _carried_on(frame.select(cs.by_name(*dict.fromkeys([*chosen, ROW]))), begins, rows):
            asked = batch.select(cs.by_name(*chosen))
            yield asked if predicate is None else asked.filter(predicate)

    return register_io_source(batches, schema=schema)


def _carried_on(frame: pl.LazyFrame, begins: pl.DataFrame, rows: int | None) -> Iterator[pl.DataFrame]:
    schema = frame.collect_schema()
    names = [name for name in begins.columns[1:] if name in schema]
    filled = [present(exactly(name), schema[name]).forward_fill() for name in names]
    held = [fresh(exactly(name), schema[name]).alias(name) for name in names]
    last: pl.DataFrame | None = None
    size = max(1, BATCH_CELLS // 2 // len(schema))
    read = frame if rows is None else frame.head(rows)
    for batch in read.collect_batches(chunk_size=size, maintain_order=True, engine="streaming"):
        if batch.height:
            before = _beginning(batch, begins.select(cs.by_name(ROW, *names))) if last is None else last
            whole = pl.concat([before, batch]).with_columns(filled)
            last = whole.tail(1).with_columns(held)
            yield whole.slice(1)


def _beginning(batch: pl.DataFrame, begins: pl.DataFrame) -> pl.DataFrame:
    """A row of the values before a batch, null in what is not carried on."""
    place = int(begins.get_column(ROW).search_sorted(batch.get_column(ROW)[0], side="right")) - 1
    nothing = pl.DataFrame([pl.Series(name, [None], kind) for name, kind in batch.schema.items()])
    return nothing.with_columns(begins.drop(ROW).slice(place, 1).get_columns()) if place >= 0 else nothing


def present(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The column with NaN as null."""
    return column.fill_nan(None) if dtype.is_float() else column
