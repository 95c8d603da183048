"""Some rows of a table in many Parquet files, read without the others. Blocking: for a thread, not for the loop."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from gristmill.domain.manifest import StoredFile
from gristmill.domain.output import Extent
from gristmill.errors import TooLarge
from gristmill.objects.compute import scan
from gristmill.objects.faults import classify
from gristmill.settings import MIB, Settings
from gristmill.writing import row_group_rows

# Columns of a row group are fetched together up to so many (compressed) bytes, and one after the other beyond.
FETCHED_BYTES = 32 * MIB
MAX_FETCHED_BYTES = 256 * MIB
MAX_FOOTER_BYTES = 32 * MIB
# What a footer has for one column of one row group, with its statistics: 83 to 115 bytes with Polars 2.1. Reading one
# takes about five times its size.
FOOTER_BYTES_PER_CHUNK = 110
FIRST_ROWS = 64
_ROW = "\0row"
GROWTH = 8
# How much larger rows are likely to be in memory than in a file.
EXPANSION = 4


class Slice(NamedTuple):
    """Rows `first` to `first + rows` of one file."""

    file: StoredFile
    first: int
    rows: int


def slices(files: Sequence[StoredFile], *, first_row: int, rows: int) -> list[Slice]:
    """The files that hold rows `first_row` to `first_row + rows` of all rows, by the rows that each says it has."""
    found = []
    start = 0
    for file in files:
        end = start + (file.rows or 0)
        low, high = max(first_row, start), min(first_row + rows, end)
        if low < high:
            found.append(Slice(file, low - start, high - low))
        start = end
    return found


def read_rows(
    settings: Settings,
    bucket: str,
    files: Sequence[StoredFile],
    *,
    columns: Sequence[str],
    width: int,
    first_row: int,
    rows: int,
    max_bytes: int,
) -> pl.DataFrame:
    """Up to `rows` rows from `first_row` on, of these columns in this order; fewer once they have `max_bytes` bytes.

    At least one row comes where there is one, so whoever goes on gets all of them. `width` is how many columns the
    files have. Read in steps that grow as the rows turn out to be small, so one page of long texts is not held whole.

    Raises:
        NotFound, StoreUnavailable: as `ObjectStore.stream`.
        TooLarge: one page would need more memory than a reader may have.
    """
    _check_cost(files, columns=len(columns), width=width)
    frames: list[pl.DataFrame] = []
    height = size = 0
    step = min(rows, _first_step(files, max_bytes))
    for _ in range(rows):
        frame = _read(settings, bucket, files, columns=columns, width=width, first_row=first_row + height, rows=step)
        frames.append(frame)
        height += frame.height
        size += int(frame.estimated_size())
        if frame.height < step or height >= rows or size >= max_bytes:
            break
        fitting = (max_bytes - size) * height // max(size, 1)
        step = max(1, min(rows - height, fitting, step * GROWTH))
    *before, last = frames
    kept = int(sum(frame.estimated_size() for frame in before))
    return pl.concat([*before, _fitted(last, max_bytes - kept, least=0 if before else 1)])


def read_matching(
    settings: Settings,
    bucket: str,
    file: StoredFile,
    *,
    columns: Sequence[str],
    matching: tuple[str, str],
    first_row: int,
    rows: int,
    max_bytes: int,
) -> tuple[pl.DataFrame, int | None]:
    """Up to `rows` rows, from row `first_row` of the file on, whose (column, value) is that.

    Answers also the row to go on at; None at the end. For rows that are known to be small: they are held before they
    are measured. Raises as `read_rows`.
    """
    _check_cost([file], columns=len(columns), width=len(columns))
    name, value = matching
    whole = scan(settings, bucket, file)
    numbered = whole.select(columns).with_row_index(_ROW)
    wanted = (pl.col(_ROW) >= first_row) & (pl.col(name) == value)
    found = _collected(numbered.filter(wanted).head(rows + 1))
    page = _fitted(found.head(rows), max_bytes, least=1)
    end = int(found[_ROW][page.height]) if page.height < found.height else None
    return page.select(columns), end


def _read(
    settings: Settings,
    bucket: str,
    files: Sequence[StoredFile],
    *,
    columns: Sequence[str],
    width: int,
    first_row: int,
    rows: int,
) -> pl.DataFrame:
    touched = slices(files, first_row=first_row, rows=rows) or [Slice(files[0], 0, 0)]
    found = []
    for file, first, count in touched:
        whole = scan(settings, bucket, file)
        part = whole.slice(first, count)
        batches = [_collected(part.select(names)) for names in _batches(file, columns, width)]
        found.append(pl.concat(batches, how="horizontal"))
    return pl.concat(found)


def _collected(frame: pl.LazyFrame) -> pl.DataFrame:
    try:
        return frame.collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise classify(error) from error


def _batches(file: StoredFile, columns: Sequence[str], width: int) -> list[Sequence[str]]:
    """The columns in groups whose part of a row group is small enough to be fetched at once."""
    share = _group_bytes(file, width) * len(columns) // max(width, 1)
    at_once = max(1, len(columns) // (1 + share // FETCHED_BYTES))
    return [columns[start : start + at_once] for start in range(0, len(columns), at_once)]


def _group_bytes(file: StoredFile, width: int) -> int:
    """About how large a row group of the file is; never said larger than the file."""
    rows = max(file.rows or 0, 1)
    return file.size_bytes * min(rows, row_group_rows(width, _extent(file))) // rows


def _extent(file: StoredFile) -> Extent:
    return Extent(file.rows or 0, file.text_bytes)


def _check_cost(files: Sequence[StoredFile], *, columns: int, width: int) -> None:
    for file in files:
        groups = -(-(file.rows or 0) // row_group_rows(width, _extent(file)))
        footer = groups * width * FOOTER_BYTES_PER_CHUNK
        column = _group_bytes(file, width) // max(width, 1)
        if footer > MAX_FOOTER_BYTES or column > MAX_FETCHED_BYTES:
            raise TooLarge(
                "A page of this table would take more memory than the server gives to one: download the files instead."
            )


def _first_step(files: Sequence[StoredFile], max_bytes: int) -> int:
    rows = max(sum(file.rows or 0 for file in files), 1)
    row_bytes = EXPANSION * sum(file.size_bytes for file in files) // rows
    return max(1, min(FIRST_ROWS, max_bytes // (1 + row_bytes)))


def _fitted(frame: pl.DataFrame, max_bytes: int, *, least: int) -> pl.DataFrame:
    while frame.height > least and (size := frame.estimated_size()) > max_bytes:
        frame = frame.head(max(least, min(frame.height - 1, int(frame.height * max_bytes / size))))
    return frame
