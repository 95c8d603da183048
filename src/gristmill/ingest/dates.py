"""Dates that are not ISO 8601: day or month first, the year first with slashes or dots, the month as an English word.

Nothing says of `03/04/2024` which is the day. A column is read day first or month first only where one of its dates
says so (a number over 12), where dots part them (nobody writes the month first with dots), or where the user does.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final, Literal

import polars as pl

from gristmill.ingest.kinds import Kind, never, refuse, unlike

DateOrder = Literal["day-first", "month-first"]

CLOCK: Final = r" [0-2]?\d:[0-5]\d(:[0-5]\d(\.\d{1,6})?)?( ?[AaPp][Mm])?"
NUMBERS: Final = r"^(\d{1,2}/\d{1,2}/\d{4}|\d{1,2}-\d{1,2}-\d{4}|\d{1,2}\.\d{1,2}\.\d{4})"
NO_DOTS: Final = r"^\d{1,2}[/-]\d{1,2}[/-]\d{4}"
YEAR_FIRST: Final = r"^(\d{4}/\d{1,2}/\d{1,2}|\d{4}\.\d{1,2}\.\d{1,2})"
WORDS: Final = r"^(\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{4}|[A-Za-z]{3,9} \d{1,2}(, ?| )\d{4})"


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


def _hyphened(cell: pl.Expr) -> pl.Expr:
    return cell.str.replace(r"^(\d+) (\w+) (\d+)", "$1-$2-$3").str.replace(r"^(\w+) (\d+)(?:, ?| )(\d+)", "$2-$1-$3")


DAY_FIRST, DAY_FIRST_TIME = _pair("date, day first", NUMBERS, ("%d/%m/%Y",), _slashed)
MONTH_FIRST, MONTH_FIRST_TIME = _pair("date, month first", NO_DOTS, ("%m/%d/%Y",), _slashed)
YEAR, YEAR_TIME = _pair("date, year first", YEAR_FIRST, ("%Y/%m/%d",), _slashed)
WORD, WORD_TIME = _pair("date with the month in words", WORDS, ("%d-%b-%Y", "%d-%B-%Y"), _hyphened)

ORDERS: Final = {
    "day-first": (DAY_FIRST, DAY_FIRST_TIME),
    "month-first": (MONTH_FIRST, MONTH_FIRST_TIME),
}
EITHER_ORDER: Final = {DAY_FIRST: MONTH_FIRST, DAY_FIRST_TIME: MONTH_FIRST_TIME}
PLAIN_DATES: Final = (YEAR, YEAR_TIME, WORD, WORD_TIME)


def declared(form: str) -> Kind:
    """Dates in a format of the user's own (strftime signs); with a time where it has one."""
    if any(sign in form for sign in ("%H", "%I")):
        return Kind(form, lambda cell: cell.str.to_datetime(form, time_unit="us", strict=False), never, never)
    return Kind(form, lambda cell: cell.str.to_date(form, strict=False), never, never)
