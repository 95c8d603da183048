"""ISO 8601 as it is written in the wild: `2026-1-4`, a comma before the fraction, nanoseconds, `+01` and ` UTC`.

Nanoseconds make a column of nanoseconds, where Polars can count them (from 1678 to 2261), and nothing is cut off.
"""

import re
from typing import Final, Literal

import polars as pl

from gristmill.ingest.kinds import DATE, DATETIME, ZONED, Kind, refuse, unlike

_DAY: Final = r"\d{4}-\d{1,2}-\d{1,2}"
_COUNTED: Final = r"(?:1[7-9]|20|21)\d{2}-\d{1,2}-\d{1,2}"
YEARS: Final = ("1700", "2200")
"""Texts from the one to before the other have years that can be counted in nanoseconds."""
_ZONE: Final = r" ?(?:[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)"


def _clock(fraction: str) -> str:
    return rf"[T ][0-2]?\d:[0-5]\d(?::[0-5]\d(?:[.,]{fraction})?)?"


_MICROS, _NANOS = _clock(r"\d{1,6}0{0,3}"), _clock(r"\d{1,9}")


def _offset(cell: pl.Expr) -> pl.Expr:
    utc = cell.str.replace(r" ?(?:[Zz]|UTC|GMT)$", "+00:00")
    return utc.str.replace(r" ?([+-]\d{2})$", "${1}:00").str.replace(r" ([+-]\d{2}:?\d{2})$", "$1")


def _free(name: str, pattern: str, unit: Literal["us", "ns"], *, zoned: bool = False) -> Kind:
    zone, sign = ("UTC", "%#z") if zoned else (None, "")

    def cast(cell: pl.Expr) -> pl.Expr:
        plain = _offset(cell) if zoned else cell
        plain = plain.str.replace(r"^([\d-]+)T", "$1 ").str.replace(",", ".", literal=True)
        clock, seconds = plain.str.contains(":", literal=True), plain.str.contains(r":\d\d:")
        forms = (
            (seconds, f"%Y-%m-%d %H:%M:%S%.f{sign}"),
            (clock & ~seconds, f"%Y-%m-%d %H:%M{sign}"),
            (~clock, "%Y-%m-%d"),
        )
        fitting = pl.when(cell.str.contains(pattern)).then(plain)
        return pl.coalesce(
            *(
                pl.when(is_so).then(fitting).str.to_datetime(form, time_unit=unit, time_zone=zone, strict=False)
                for is_so, form in (forms[:2] if zoned else forms)
            )
        )

    return Kind(name, cast, unlike(pattern), refuse(pattern), re.compile(pattern))


LOOSE_DAY: Final = Kind(
    "date without zeros", DATE.cast, unlike(f"^{_DAY}$"), refuse(f"^{_DAY}$"), re.compile(f"^{_DAY}$")
)
FREE: Final = _free("datetime, written freely", f"^{_DAY}{_MICROS}$", "us")
FREE_ZONED: Final = _free("datetime with zone, written freely", f"^{_DAY}{_MICROS}{_ZONE}$", "us", zoned=True)
NANO: Final = _free("datetime in nanoseconds", f"^{_COUNTED}{_NANOS}$", "ns")
NANO_ZONED: Final = _free("datetime with zone in nanoseconds", f"^{_COUNTED}{_NANOS}{_ZONE}$", "ns", zoned=True)
MIXED: Final = _free("dates and datetimes", f"^{_DAY}(?:{_MICROS})?$", "us")

MOMENTS: Final = (LOOSE_DAY, FREE, FREE_ZONED, NANO, NANO_ZONED, MIXED)
BESIDE: Final = {
    DATE: (LOOSE_DAY, MIXED),
    LOOSE_DAY: (MIXED,),
    DATETIME: (FREE, NANO, MIXED),
    FREE: (NANO, MIXED),
    ZONED: (FREE_ZONED, NANO_ZONED),
    FREE_ZONED: (NANO_ZONED,),
}
"""What may live on beside each, as what fits the one fits the others; nanoseconds where the year allows."""


def implied(first: Kind, cells: pl.Series) -> tuple[Kind, ...]:
    """The kinds that all cells of this kind fit too, without a look at each."""
    low, high = str(cells.min()), str(cells.max())
    counted = YEARS[0] <= low and high < YEARS[1]
    return tuple(kind for kind in BESIDE.get(first, ()) if counted or kind not in (NANO, NANO_ZONED))
