"""Columns by family, by exact name, and as arrays of numbers."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Meta
from polars import selectors as cs

from gristmill.domain.column import Column
from gristmill.errors import Fault, InvalidRequest
from gristmill.processors.contract import ROW

Floats = npt.NDArray[np.float64]

BATCH_ROWS = 131_072
BATCH_CELLS = 4_194_304
LEAST_ROWS = 1024
"""Rows of a batch at the least, where rows are looked at whole."""
WIDTH = 32
"""Columns of numbers that are looked at together with the usual memory: 32 MiB of a batch."""
MIB = 1024 * 1024
RESTING = 128 * MIB
"""What an executor takes before it looks at anything."""
COPIES = 12
"""Batches in the memory that is left: those on their way from the store, and what is made of them."""
TEXT_WIDTH = 6
"""A text takes the room of so many numbers, about."""


class Matching(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Columns whose name matches a regular expression (Rust's syntax, which takes linear time), anywhere in it."""

    regex: Annotated[str, Meta(min_length=1, max_length=1000, description="Rust's syntax, such as `^price_`.")]


Names = Annotated[tuple[str, ...], Meta(min_length=1)]
Chosen = Names | Matching
"""Columns by their exact names, or by a regular expression."""


class Family(StrEnum):
    """What can be done with a column."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "text"
    TIME = "time"
    OTHER = "other"


_FAMILIES = {
    "Float": Family.NUMBER,
    "Int": Family.NUMBER,
    "UInt": Family.NUMBER,
    "Decimal": Family.NUMBER,
    "Boolean": Family.BOOLEAN,
    "String": Family.TEXT,
    "Categorical": Family.TEXT,
    "Enum": Family.TEXT,
    "Date": Family.TIME,
    "Datetime": Family.TIME,
    "Time": Family.TIME,
    "Duration": Family.TIME,
}


_FIXED = frozenset({Family.NUMBER, Family.BOOLEAN, Family.TIME})


def family(column: Column) -> Family:
    """The family of a type as Polars writes it: `Datetime(time_unit='us', time_zone=None)` is a time."""
    base = column.type.split("(", 1)[0].rstrip("0123456789")
    return _FAMILIES.get(base, Family.OTHER)


def is_integer(column: Column) -> bool:
    return column.type.startswith(("Int", "UInt"))


def exactly(name: str) -> pl.Expr:
    """The column of that very name. `pl.col` would read `^x$` as a pattern and `*` as all."""
    return cs.by_name(name).as_expr()


def floating(names: set[str], columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns, those named as Float64."""
    return tuple(Column(column.name, "Float64") if column.name in names else column for column in columns)


def resolve(
    columns: Sequence[Column], names: Sequence[str] | Matching | None, *, pointer: str, families: frozenset[Family]
) -> tuple[Column, ...]:
    """The columns named (None: all that fit), each of one of the families. A pattern picks among those that fit.

    Raises InvalidRequest with a fault for every name that is unknown, doubled, or of another family, and for a
    pattern that is not one.
    """
    if names is None:
        return tuple(column for column in columns if family(column) in families)
    if isinstance(names, Matching):
        return _matching(columns, names, pointer=pointer, families=families)
    known = {column.name: column for column in columns}
    faults: list[Fault] = []
    seen: set[str] = set()
    for place, name in enumerate(names):
        column = known.get(name)
        if column is None:
            faults.append(Fault(f"{pointer}/{place}", "The dataset has no such column."))
        elif name in seen:
            faults.append(Fault(f"{pointer}/{place}", "The column is named twice."))
        elif family(column) not in families:
            wanted = " or ".join(sorted(families))
            faults.append(Fault(f"{pointer}/{place}", f"A {wanted} column is needed, this one is {column.type}."))
        seen.add(name)
    if faults:
        raise InvalidRequest("Columns do not fit.", errors=tuple(faults))
    return tuple(known[name] for name in names)


def _matching(
    columns: Sequence[Column], pattern: Matching, *, pointer: str, families: frozenset[Family]
) -> tuple[Column, ...]:
    fitting = [column for column in columns if family(column) in families]
    try:
        hits = pl.Series([column.name for column in fitting], dtype=pl.String).str.contains(pattern.regex)
        # Of no names, Polars does not look at the pattern.
        pl.Series([""]).str.contains(pattern.regex)
    except pl.exceptions.ComputeError:
        fault = Fault(f"{pointer}/regex", "This is no regular expression.")
        raise InvalidRequest("Columns do not fit.", errors=(fault,)) from None
    return tuple(column for column, hit in zip(fitting, hits, strict=True) if hit)


def batches(frame: pl.LazyFrame, names: Sequence[str], rows: int | None = None) -> Iterator[pl.DataFrame]:
    """The named columns and `ROW`, in order, as frames of a bounded number of cells, or of so many rows.

    Every batch but the last has the same height, whatever the threads do: sums come out the same each time.
    """
    rows = rows or max(LEAST_ROWS, min(BATCH_ROWS, BATCH_CELLS // (len(names) + 1)))
    chosen = frame.select(cs.by_name(*dict.fromkeys([*names, ROW])))
    for batch in chosen.collect_batches(chunk_size=rows, maintain_order=True, engine="streaming"):
        yield batch.rechunk()


def width_of(memory: int) -> int:
    """How many columns of numbers can be looked at together in so many bytes of an executor."""
    return max(1, (memory - RESTING) // (COPIES * BATCH_ROWS * 8))


def together(columns: Sequence[Column], width: int) -> list[tuple[Column, ...]]:
    """The columns in groups that are looked at together, in their order. No columns are one group: of no columns."""
    groups: list[list[Column]] = [[]]
    room = width
    for column in columns:
        taken = 1 if family(column) in _FIXED else TEXT_WIDTH
        if groups[-1] and taken > room:
            groups.append([])
            room = width
        groups[-1].append(column)
        room -= taken
    return [tuple(group) for group in groups]


def strips(frame: pl.LazyFrame, names: Sequence[str]) -> Iterator[pl.DataFrame]:
    """As `batches`, with `BATCH_ROWS` rows whatever the columns are: a column's sums are the same beside any others.

    Whoever has many columns looks at them group by group (`together`).
    """
    return batches(frame, names, BATCH_ROWS)


class Numbers(msgspec.Struct, frozen=True):
    """The finite values of a column's batch in float64, and the count of all others."""

    finite: Floats
    nulls: int
    nans: int
    infinities: int


def there(series: pl.Series) -> pl.Series:
    """Without the nulls. Polars asks its query engine even where there are none: half of the time of a small job."""
    return series.drop_nulls() if series.null_count() else series


def numbers(series: pl.Series) -> Numbers:
    """Nulls, NaN and infinities are counted and left out; -0.0 becomes 0.0."""
    # Polars runs some methods of a Series as a select by its name, and would read `^x$` as a pattern.
    series = series.alias("x")
    nulls = series.null_count()
    present = there(series).cast(pl.Float64).to_numpy()
    if not series.dtype.is_float():
        return Numbers(present + 0.0, nulls, 0, 0)
    nans = int(np.count_nonzero(np.isnan(present)))
    kept = present[np.isfinite(present)] + 0.0
    return Numbers(kept, nulls, nans, len(present) - nans - len(kept))
