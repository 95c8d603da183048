"""The types a text may have and how each is read: plain numbers, ISO dates, truth; see also numerals and dates."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

# A leading zero or plus sign says identifier (postcode, telephone), not number; 007.5 and 01.10 too.
IDENTIFIER_LIKE: Final = r"^[+-]?0[0-9]|^\+[0-9]+$"
LONG_INTEGER: Final = r"^[+-]?[0-9]{16,}$"
EXACT_DIGITS: Final = 15
EXACT_INTEGERS: Final = 2.0**53
WHOLE_SECONDS: Final = len("2000-01-01 00:00:00")
DAY: Final = r"^\d{4}-\d{2}-\d{2}$"
MOMENT: Final = r"^\d{4}-\d{2}-\d{2}[T ][0-2]\d:[0-5]\d(:[0-5]\d(\.\d{1,6})?)?"
ZONE: Final = r"([Zz]|[+-]\d{2}:?\d{2})$"


@dataclass(frozen=True, slots=True)
class Kind:
    """A type a text may have: how it is cast, which castable texts it must not take, in the order it is preferred.

    `suspect(cell, cast)` is a cheap condition that holds wherever `refused(cell)` does, which then decides. `form` is
    found in all cells of the kind: it saves a look at cells that are clearly of another.
    """

    name: str
    cast: Callable[[pl.Expr], pl.Expr]
    suspect: Callable[[pl.Expr, pl.Expr], pl.Expr]
    refused: Callable[[pl.Expr], pl.Expr]
    form: re.Pattern[str] | None = None


def never(cell: pl.Expr, *_: pl.Expr) -> pl.Expr:
    """No cell is refused: the cast alone decides."""
    return cell != cell  # noqa: PLR0124 (false, and null where the cell is)


def unlike(pattern: str) -> Callable[[pl.Expr, pl.Expr], pl.Expr]:
    return lambda cell, _: ~cell.str.contains(pattern)


def refuse(pattern: str) -> Callable[[pl.Expr], pl.Expr]:
    """All but what has this form."""
    return lambda cell: ~cell.str.contains(pattern)


def truth(true_values: Iterable[str], false_values: Iterable[str]) -> Kind:
    """Truth in words, whatever their case. One word of each pair makes a column: `yes` and `no`, `true` and `false`."""
    yes, no = [word.lower() for word in true_values], [word.lower() for word in false_values]

    def cast(cell: pl.Expr) -> pl.Expr:
        lower = cell.str.to_lowercase()
        return pl.when(lower.is_in(yes)).then(True).when(lower.is_in(no)).then(False)  # noqa: FBT003 (values)

    return Kind("truth value", cast, never, never)


PAIRS: Final = (
    ("y", "n"),
    ("t", "f"),
    ("on", "off"),
    ("ja", "nein"),
    ("wahr", "falsch"),
    ("oui", "non"),
    ("vrai", "faux"),
    ("si", "no"),
    ("sí", "no"),
)
"""Words for true and false of other languages, or short ones. One alone is no truth: F may be a sex, ON a province."""


def is_pair(words: set[str]) -> bool:
    """Whether words (in small letters) are the two of one pair."""
    return any(words == set(pair) for pair in PAIRS)


def _signs(cell: pl.Expr, _: pl.Expr) -> pl.Expr:
    zero = cell.str.starts_with("0") & ~cell.str.starts_with("0.") & (cell.str.len_bytes() > 1)
    return zero | (cell.str.starts_with("-0") & ~cell.str.starts_with("-0.")) | cell.str.starts_with("+")


def _float_refused(cell: pl.Expr) -> pl.Expr:
    number = cell.cast(pl.Float64, strict=False)
    overflow = number.is_infinite() & cell.str.contains("[0-9]")
    inexact = cell.str.contains(LONG_INTEGER) & (number.abs() >= EXACT_INTEGERS)
    return cell.str.contains(IDENTIFIER_LIKE) | overflow | inexact


def _float_suspect(cell: pl.Expr, value: pl.Expr) -> pl.Expr:
    # Few are long: only they are searched for a point.
    long = ~pl.when(cell.str.len_bytes() > EXACT_DIGITS).then(cell).str.contains(".", literal=True).fill_null(
        value=True
    )
    return _signs(cell, value) | long | value.is_infinite()


def _day(cell: pl.Expr) -> pl.Expr:
    return cell.str.to_date("%Y-%m-%d", strict=False)


def _moment(cell: pl.Expr) -> pl.Expr:
    """By its length the form is known, where it is of this kind; one without a fraction is read five times as fast."""
    spaced, size = cell.str.replace("T", " ", literal=True), cell.str.len_bytes()
    forms = (
        (size == WHOLE_SECONDS, "%Y-%m-%d %H:%M:%S"),
        (size > WHOLE_SECONDS, "%Y-%m-%d %H:%M:%S%.f"),
        (size < WHOLE_SECONDS, "%Y-%m-%d %H:%M"),
    )
    return pl.coalesce(
        *(pl.when(is_so).then(spaced).str.to_datetime(form, time_unit="us", strict=False) for is_so, form in forms)
    )


def _zoned(cell: pl.Expr) -> pl.Expr:
    spaced = cell.str.replace("T", " ", literal=True)
    seconds = cell.str.slice(len("2000-01-01 00:00"), 1) == ":"
    forms = ((seconds, "%Y-%m-%d %H:%M:%S%.f%#z"), (~seconds, "%Y-%m-%d %H:%M%#z"))
    return pl.coalesce(
        *(
            pl.when(is_so).then(spaced).str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
            for is_so, form in forms
        )
    )


INTEGER = Kind(
    "integer",
    lambda cell: cell.cast(pl.Int64, strict=False),
    _signs,
    lambda cell: cell.str.contains(IDENTIFIER_LIKE + r"|^-0$"),
)
FLOAT = Kind("float", lambda cell: cell.cast(pl.Float64, strict=False), _float_suspect, _float_refused)
DATE = Kind("date", _day, unlike(DAY), refuse(DAY), re.compile(DAY))
DATETIME = Kind("datetime", _moment, unlike(MOMENT + "$"), refuse(MOMENT + "$"), re.compile(MOMENT))
ZONED = Kind("datetime with zone", _zoned, unlike(MOMENT + ZONE), refuse(MOMENT + ZONE), re.compile(MOMENT))
WORDS = replace(
    truth(*zip(*PAIRS, strict=True)),
    name="truth value in other words",
    form=re.compile(rf"^(?:{'|'.join(word for pair in PAIRS for word in pair)})$", re.IGNORECASE),
)
