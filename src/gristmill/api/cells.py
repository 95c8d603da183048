"""Values of a table as JSON and CSV have them: nothing is lost, and nothing is there that a parser would refuse.

| type | in JSON |
|---|---|
| integers | a number up to ±(2^53 - 1), beyond that a string of digits (RFC 7493, 2.2) |
| floats | a number; `"NaN"`, `"Infinity"`, `"-Infinity"` as strings |
| decimals | a string with all digits of the scale: `"12.30"` |
| dates and times | strings of ISO 8601, as fine as stored; with a time zone in UTC with `Z`, without one as they are |
| durations | strings of ISO 8601: `"PT1.5S"` |
| bytes | base64 |
| lists and structs | arrays and objects of these |

A moment outside of the years 1 to 9999 is the number of units since 1970, as it is stored.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import polars as pl

SAFE = 2**53 - 1
INT64 = 2**63 - 1
FORMULA = ("=", "+", "-", "@", "\t", "\r")
DAY_LIMITS = (-719_162, 2_932_896)  # 0001-01-01 and 9999-12-31, in days since 1970-01-01
DAY_UNITS = {"ms": 86_400 * 10**3, "us": 86_400 * 10**6, "ns": 86_400 * 10**9}
NAMES = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}


def cells(column: pl.Series) -> list[Any]:
    """The values of a column, ready for JSON; null is None."""
    kind = column.dtype
    if kind.is_integer():
        return _integers(column)
    if kind.is_float():
        return [value if value is None or math.isfinite(value) else NAMES[str(value)] for value in column.to_list()]
    if kind.is_temporal():
        return _moments(column)
    if isinstance(kind, pl.List | pl.Array):
        return _lists(column)
    if isinstance(kind, pl.Struct):
        return _structs(column)
    return _text_forms(column).to_list()


def csv_column(column: pl.Series, *, guard: bool) -> pl.Series:
    """The column as it is to be written to CSV: as in JSON, and lists and structs as JSON texts.

    `guard` puts an apostrophe before texts that spreadsheets take for formulas (OWASP, CSV injection).
    """
    kind = column.dtype
    if kind == pl.Boolean or kind.is_integer():
        return column
    if kind.is_nested():
        values = [None if value is None else msgspec.json.encode(value).decode() for value in cells(column)]
    else:
        values = [value if value is None or isinstance(value, str) else str(value) for value in cells(column)]
    if guard and not (kind.is_numeric() or kind.is_temporal()):
        values = [None if value is None else guarded(value) for value in values]
    return pl.Series(column.name, values, dtype=pl.String)


def guarded(text: str) -> str:
    """The text, with an apostrophe before it where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _integers(column: pl.Series) -> list[Any]:
    values = column.to_list()
    low, high = column.min(), column.max()
    if low is None or (low >= -SAFE and high <= SAFE):  # type: ignore[operator]  # of integers they are integers
        return values
    return [value if value is None or -SAFE <= value <= SAFE else str(value) for value in values]


def _text_forms(column: pl.Series) -> pl.Series:
    match column.dtype:
        case pl.Binary():
            return column.bin.encode("base64")
        case pl.Decimal() | pl.Categorical() | pl.Enum():
            return column.cast(pl.String)
        case _:
            return column


def _moments(column: pl.Series) -> list[Any]:
    """What no calendar has would end the formatting with a panic (Polars 2.1), so it is told as it is stored."""
    stored = column.to_physical()
    low, high, shown = _limits(column)
    strange = stored.is_not_null() & ~stored.is_between(low, high)
    texts = shown(column.set(strange, None) if strange.any() else column).to_list()
    if not strange.any():
        return texts
    numbers = _integers(stored)
    return [number if odd else text for text, number, odd in zip(texts, numbers, strange.to_list(), strict=True)]


def _limits(column: pl.Series) -> tuple[int, int, Callable[[pl.Series], pl.Series]]:
    """The least and the greatest stored value that has a text, and how it is written."""
    match column.dtype:
        case pl.Date():
            return (*DAY_LIMITS, lambda days: days.dt.to_string("%Y-%m-%d"))
        case pl.Datetime(time_unit=unit, time_zone=zone):
            day = DAY_UNITS[unit]
            ending = "" if zone is None else "Z"
            return (
                max(DAY_LIMITS[0] * day, -INT64),
                min((DAY_LIMITS[1] + 1) * day - 1, INT64),
                # Stored is UTC in any case; the zone would only change how it is shown.
                lambda moments: (
                    moments.to_physical().cast(pl.Datetime(unit)).dt.to_string(f"%Y-%m-%dT%H:%M:%S%.f{ending}")
                ),
            )
        case pl.Duration():
            return -INT64, INT64, lambda durations: durations.dt.to_string("iso")
        case _:
            return 0, DAY_UNITS["ns"] - 1, lambda times: times.dt.to_string("%H:%M:%S%.f")


def _lists(column: pl.Series) -> list[Any]:
    lists = column.arr.to_list() if isinstance(column.dtype, pl.Array) else column
    inner = cells(lists.explode(empty_as_null=False, keep_nulls=False))
    lengths = lists.list.len().to_list()
    ends = [0]
    for length in lengths:
        ends.append(ends[-1] + (length or 0))
    return [
        None if length is None else inner[start:end]
        for length, (start, end) in zip(lengths, pairwise(ends), strict=True)
    ]


def _structs(column: pl.Series) -> list[Any]:
    names: Sequence[str] = column.struct.fields
    values = zip(*(cells(column.struct.field(name)) for name in names), strict=True)
    missing = column.is_null().to_list()
    if not names:
        return [None if gone else {} for gone in missing]
    return [None if gone else dict(zip(names, row, strict=True)) for gone, row in zip(missing, values, strict=True)]
