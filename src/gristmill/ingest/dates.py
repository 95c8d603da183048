"""Dates that are not ISO 8601: day or month first, the year first with slashes or dots, the month as a word.

Nothing says of `03/04/2024` which is the day. A column is read day first or month first only where one of its dates
says so (a number over 12), where dots part them (nobody writes the month first with dots), or where the user does.

Years of two digits are those from 1970 to 2039; of 40 to 69 nobody knows, and they stay text. Between hyphens such a
year may stand first as well, and `1.2.10` is rather a version than a day.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final, Literal

import polars as pl

from gristmill.ingest.kinds import Kind, never, refuse, unlike
from gristmill.ingest.months import MONTHS

DateOrder = Literal["day-first", "month-first"]

CLOCK: Final = r" [0-2]?\d:[0-5]\d(:[0-5]\d(\.\d{1,6})?)?( ?[AaPp][Mm])?"
NUMBERS: Final = r"^(\d{1,2}/\d{1,2}/\d{4}|\d{1,2}-\d{1,2}-\d{4}|\d{1,2}\.\d{1,2}\.\d{4})"
NO_DOTS: Final = r"^\d{1,2}[/-]\d{1,2}[/-]\d{4}"
YEAR_FIRST: Final = r"^(\d{4}/\d{1,2}/\d{1,2}|\d{4}\.\d{1,2}\.\d{1,2})"
FULL_YEAR: Final = r"\d{4}"
SHORT_YEAR: Final = r"(?:[0-3]\d|[7-9]\d)"
SHORT: Final = rf"^(?:\d{{1,2}}/\d{{1,2}}/{SHORT_YEAR}|\d{{1,2}}-\d{{1,2}}-{SHORT_YEAR}|\d\d\.\d\d\.{SHORT_YEAR})"
SHORT_NO_DOTS: Final = rf"^\d{{1,2}}[/-]\d{{1,2}}[/-]{SHORT_YEAR}"
SHORT_YEAR_FIRST: Final = rf"^{SHORT_YEAR}-\d{{1,2}}-\d{{1,2}}"
WORD_SIGNS: Final = r"[^\W\d_]{3,10}"


def _word_forms(year: str) -> tuple[str, str]:
    """Day, month and year in groups, in this order and with the month first."""
    return (
        rf"^(\d{{1,2}})(?:st|nd|rd|th|er|\.|º)?[ -](?:de )?({WORD_SIGNS})\.?[ -](?:de )?({year})",
        rf"^({WORD_SIGNS})\.? (\d{{1,2}})(?:st|nd|rd|th)?(?:, ?| )({year})",
    )


def _days(cell: pl.Expr, formats: Sequence[str]) -> pl.Expr:
    return pl.coalesce(*(cell.str.to_date(form, strict=False) for form in formats))


def _moments(cell: pl.Expr, formats: Sequence[str]) -> pl.Expr:
    half = cell.str.contains("(?i)[ap]m$")
    clocks = ((~half, "%H:%M:%S%.f"), (~half, "%H:%M"), (half, "%I:%M:%S %p"), (half, "%I:%M %p"))
    spaced = cell.str.replace("(?i)(\\d)([ap]m)$", "$1 $2")
    return pl.coalesce(
        *(
            pl.when(is_so).then(spaced).str.to_datetime(f"{form} {clock}", time_unit="us", strict=False)
            for form in formats
            for is_so, clock in clocks
        )
    )


def _pair(name: str, pattern: str, formats: Sequence[str], slashed: Callable[[pl.Expr], pl.Expr]) -> tuple[Kind, Kind]:
    """The kinds of dates and of dates with a time."""
    day, moment = f"{pattern}$", f"{pattern}{CLOCK}$"
    return (
        Kind(name, lambda cell: _days(slashed(cell), formats), unlike(day), refuse(day), re.compile(day)),
        Kind(
            f"{name} with time",
            lambda cell: _moments(slashed(cell), formats),
            unlike(moment),
            refuse(moment),
            re.compile(moment),
        ),
    )


def _slashed(cell: pl.Expr) -> pl.Expr:
    """One separator for all: of the date alone, the seconds keep their point."""
    return cell.str.replace(r"^(\d+)[./-](\d+)[./-](\d+)", "$1/$2/$3")


def _in_full(cell: pl.Expr) -> pl.Expr:
    """As `_slashed`, with the century of a year of two digits."""
    return (
        _slashed(cell)
        .str.replace(r"^(\d+/\d+/)([0-3]\d)", "${1}20${2}")
        .str.replace(r"^(\d+/\d+/)([7-9]\d)", "${1}19${2}")
    )


def _numbered(year: str) -> Callable[[pl.Expr], pl.Expr]:
    """Day, month and year with slashes, of dates with a month in words; what follows them is kept."""
    day_first, month_first = _word_forms(year)

    def slashed(cell: pl.Expr) -> pl.Expr:
        one, other = cell.str.extract_groups(day_first), cell.str.extract_groups(month_first)
        groups = [(1, 2), (2, 1), (3, 3)]
        day, word, years = (pl.coalesce(one.struct.field(str(a)), other.struct.field(str(b))) for a, b in groups)
        month = word.str.to_lowercase().replace_strict(MONTHS, default=None, return_dtype=pl.String)
        rest = cell.str.replace(day_first, "").str.replace(month_first, "")
        return pl.concat_str(day, pl.lit("/"), month, pl.lit("/"), years, rest)

    return slashed


DAY_FIRST, DAY_FIRST_TIME = _pair("date, day first", NUMBERS, ("%d/%m/%Y",), _slashed)
MONTH_FIRST, MONTH_FIRST_TIME = _pair("date, month first", NO_DOTS, ("%m/%d/%Y",), _slashed)
YEAR, YEAR_TIME = _pair("date, year first", YEAR_FIRST, ("%Y/%m/%d",), _slashed)
WORD, WORD_TIME = _pair(
    "date with the month in words", f"(?:{'|'.join(_word_forms(FULL_YEAR))})", ("%d/%m/%Y",), _numbered(FULL_YEAR)
)
SHORT_WORD, SHORT_WORD_TIME = _pair(
    "date with the month in words, years of two digits",
    _word_forms(SHORT_YEAR)[0],
    ("%d/%m/%Y",),
    lambda cell: _in_full(_numbered(SHORT_YEAR)(cell)),
)
SHORT_DAY_FIRST, SHORT_DAY_FIRST_TIME = _pair("date, day first, years of two digits", SHORT, ("%d/%m/%Y",), _in_full)
SHORT_MONTH_FIRST, SHORT_MONTH_FIRST_TIME = _pair(
    "date, month first, years of two digits", SHORT_NO_DOTS, ("%m/%d/%Y",), _in_full
)
SHORT_YEAR_DATE, SHORT_YEAR_TIME = _pair("date, year of two digits first", SHORT_YEAR_FIRST, ("%y/%m/%d",), _slashed)

ORDERS: Final = {
    "day-first": (DAY_FIRST, DAY_FIRST_TIME, SHORT_DAY_FIRST, SHORT_DAY_FIRST_TIME),
    "month-first": (MONTH_FIRST, MONTH_FIRST_TIME, SHORT_MONTH_FIRST, SHORT_MONTH_FIRST_TIME),
}
NEVER: Final = (SHORT_YEAR_DATE, SHORT_YEAR_TIME)
"""What no column is read as, but what may be meant."""
RIVALS: Final = {
    DAY_FIRST: (MONTH_FIRST,),
    DAY_FIRST_TIME: (MONTH_FIRST_TIME,),
    SHORT_DAY_FIRST: (SHORT_MONTH_FIRST, SHORT_YEAR_DATE),
    SHORT_DAY_FIRST_TIME: (SHORT_MONTH_FIRST_TIME, SHORT_YEAR_TIME),
    SHORT_MONTH_FIRST: (SHORT_YEAR_DATE,),
    SHORT_MONTH_FIRST_TIME: (SHORT_YEAR_TIME,),
}
"""What would read the same dates as others."""
SHORT_YEARS: Final = frozenset(
    (SHORT_WORD, SHORT_WORD_TIME, SHORT_DAY_FIRST, SHORT_DAY_FIRST_TIME, SHORT_MONTH_FIRST, SHORT_MONTH_FIRST_TIME)
)
PLAIN_DATES: Final = (YEAR, YEAR_TIME, WORD, WORD_TIME, SHORT_WORD, SHORT_WORD_TIME)


def declared(form: str) -> Kind:
    """Dates in a format of the user's own (strftime signs); with a time where it has one."""
    if any(sign in form for sign in ("%H", "%I")):
        return Kind(form, lambda cell: cell.str.to_datetime(form, time_unit="us", strict=False), never, never)
    return Kind(form, lambda cell: cell.str.to_date(form, strict=False), never, never)
