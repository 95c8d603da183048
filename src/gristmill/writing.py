"""How a table becomes bytes: the same bytes in the object store and in a file of this machine."""

from typing import IO, assert_never

import polars as pl
from polars import selectors as cs

from gristmill.domain.output import UNKNOWN, Extent, OutputFormat

ROW_GROUP_ROWS = 122_880
ROW_GROUP_CELLS = 2 * 1024 * 1024
MIN_ROW_GROUP_ROWS = 512
ZSTD_LEVEL = 2
"""Of 2 M rows of four numbers, a time and two texts: 58 MB in 0.85 CPU s; level 3, Polars' own choice, 58 MB in 1.2."""
ROW_GROUP_TEXT_BYTES = 8 * 1024 * 1024
"""Half of what the cells of a group take when they are numbers: whoever changes texts holds the old and the new."""
ROW_GROUP_CHUNKS = 8192
"""Of texts, a file has so many chunks (a column's values in one row group) at the most, whatever they take."""
VIEW_BYTES = 16
_TEXTS = (pl.String, pl.Binary, pl.List, pl.Array, pl.Struct, pl.Object)


def row_group_rows(columns: int, extent: Extent = UNKNOWN) -> int:
    """Rows of a row group: 122,880, fewer for wide tables and long texts, as a group is held in memory while it is
    written or read.
    """
    columns = max(1, columns)
    rows = max(MIN_ROW_GROUP_ROWS, min(ROW_GROUP_ROWS, ROW_GROUP_CELLS // columns))
    if not extent.text_bytes:
        return rows
    fitting = ROW_GROUP_TEXT_BYTES * extent.rows // extent.text_bytes
    return max(1, min(rows, max(fitting, extent.rows * columns // ROW_GROUP_CHUNKS)))


def write_table(frame: pl.LazyFrame, target: IO[bytes], form: OutputFormat, extent: Extent = UNKNOWN) -> None:
    """Stream a frame into a file. The same frame gives the same bytes, wherever they go."""
    rows = row_group_rows(sum(map(_leaves, frame.collect_schema().dtypes())), extent)
    match form:
        case OutputFormat.PARQUET:
            frame.sink_parquet(
                target,
                engine="streaming",
                compression="zstd",
                compression_level=ZSTD_LEVEL,
                statistics=True,
                row_group_size=rows,
                maintain_order=True,
            )
        case OutputFormat.CSV:
            frame.sink_csv(target, engine="streaming", maintain_order=True)
        case OutputFormat.NDJSON:
            frame.sink_ndjson(target, engine="streaming", maintain_order=True)
        case OutputFormat.ARROW:
            frame.sink_ipc(target, engine="streaming", compression="zstd", record_batch_size=rows, maintain_order=True)
        case _:
            assert_never(form)


def _leaves(dtype: object) -> int:
    """The columns that a column takes in a file: a struct's fields are written side by side."""
    return sum(_leaves(field.dtype) for field in dtype.fields) if isinstance(dtype, pl.Struct) else 1


def is_text(kind: pl.DataType) -> bool:
    """Whether values of a type may be of any size."""
    return isinstance(kind, _TEXTS)


def text_bytes(frame: pl.DataFrame) -> int:
    """What the texts and nested values of some rows take in memory."""
    texts = [column for column in frame.get_columns() if is_text(column.dtype)]
    return sum(int(column.estimated_size()) + VIEW_BYTES * len(column) for column in texts)


def extent_of(frame: pl.LazyFrame) -> Extent:
    """What is to be written, counted by a look at its columns of texts, if there are any."""
    texts = [name for name, kind in frame.collect_schema().items() if is_text(kind)]
    if not texts:
        return UNKNOWN
    seen, counts = with_counted(frame.select(cs.by_name(*texts)))
    seen.select(pl.len()).collect(engine="streaming")
    return Extent(counts.rows, counts.text_bytes)


class Counts:
    """What has passed: right once all did."""

    def __init__(self) -> None:
        self._found: list[tuple[int, int]] = []

    def take(self, morsel: pl.DataFrame) -> pl.DataFrame:
        # To append is atomic, unlike a sum: several threads call it.
        self._found.append((morsel.height, text_bytes(morsel)))
        return morsel

    @property
    def rows(self) -> int:
        return sum(rows for rows, _ in self._found)

    @property
    def text_bytes(self) -> int:
        return sum(size for _, size in self._found)


def with_counted(frame: pl.LazyFrame) -> tuple[pl.LazyFrame, Counts]:
    """The frame, and what its pieces had, which is there once it was written."""
    counts = Counts()
    return frame.map_batches(counts.take, streamable=True, projection_pushdown=False), counts
