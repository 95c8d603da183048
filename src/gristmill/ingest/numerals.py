"""Numbers as people write them: grouped thousands, a decimal comma, a currency sign, a percent sign, `+5`, `(5)`, `5-`.

`1.234,56` and `1,234.56` tell which sign is which; `1,234` alone does not. A column that can be read both ways is read
as the rest of the file is, if that is clear, and else stays text with a warning. Beyond 15 digits it stays text.
"""

import re
from typing import Final, Literal

import polars as pl

from gristmill.ingest.kinds import FLOAT, Kind, never

Decimal = Literal[".", ","]

CURRENCIES: Final = (
    r"(?:R|US|CA|AU|NZ|HK|A|C)?\$|€|£|¥|₹|₽|₺|₩|₪|₴|₫|฿|₱|kr|zł|Kč|Ft|lei"
    r"|AED|AUD|BRL|CAD|CHF|CNY|CZK|DKK|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KRW|MXN|NOK|NZD|PLN|RON|RUB|SAR|SEK|SGD|THB|TRY"
    r"|UAH|USD|ZAR"
)
SHARES: Final = "%|‰"
SIGN: Final = rf"({CURRENCIES}|{SHARES})"
MINUS: Final = r"\-−–"
"""A hyphen, the minus sign, and the dash that editors put in its place."""
# Groups by spaces (also those that don't break) and apostrophes are of either style, but of one sign in a number.
_GROUPS: Final = r"(?:(?:'\d{3})+|(?:’\d{3})+|(?:[ \x{a0}\x{202f}\x{2009}]\d{3})+"
_AROUND: Final = r"[ \x{a0}\x{202f}]?"
MAX_DIGITS: Final = 15
SPACED: Final = r"^[1-9]\d{0,2}(?: \d{3}){2,}$"
"""What may be a telephone number as well."""
DIGIT: Final = re.compile(r"\d")
MARKS: Final = {".": ",", ",": "."}


def _pattern(decimal: Decimal) -> str:
    point, mark = f"[{decimal}]", f"[{MARKS[decimal]}]"
    grouped = rf"[1-9]\d{{0,2}}{_GROUPS}|(?:{mark}\d{{3}})+)(?:{point}\d+)?"
    # As in India: 12,34,567.
    grouped += rf"|[1-9]\d?(?:{mark}\d\d)+{mark}\d{{3}}(?:{point}\d+)?"
    number = rf"(?:{grouped}|(?:0|[1-9]\d*)(?:{point}\d+)?|{point}\d+)"
    # More digits after a plus sign are a telephone number.
    plus = rf"\+(?:(?:0|[1-9]\d{{0,5}}|[1-9]\d{{0,2}}(?:{mark}\d{{3}})+)(?:{point}\d+)?|{point}\d+)"
    signed = rf"(?:[{MINUS}]?{number}|{plus})"
    money = rf"[{MINUS}+]?(?:{CURRENCIES}){_AROUND}[{MINUS}]?{number}|{signed}{_AROUND}(?:{CURRENCIES}|{SHARES})"
    books = rf"(?:{CURRENCIES})?\((?:(?:{CURRENCIES}){_AROUND})?{number}{_AROUND}(?:{CURRENCIES}|{SHARES})?\)|{number}-"
    return rf"^(?:{signed}|{money}|{books})$"


def _plain(cell: pl.Expr, decimal: Decimal) -> pl.Expr:
    books = cell.str.replace(r"^[^(\d]*\((.*)\)$", "-$1").str.replace(r"^(.*\d)-$", "-$1")
    bare = books.str.replace_all(rf"[^0-9{decimal}{MINUS}]", "").str.replace(f"[{MINUS}]", "-")
    return bare if decimal == "." else bare.str.replace(",", ".", literal=True)


def _powers(cell: pl.Expr) -> pl.Expr:
    """Numbers with an exponent after a decimal comma: 1,5e3."""
    number = cell.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    written = cell.str.contains(r"^[+-]?[1-9](?:,\d+)?[eE][+-]?\d{1,3}$")
    return pl.when(written & number.is_finite()).then(number)


def numeral(decimal: Decimal) -> Kind:
    """Numbers with this decimal sign. A sign of currency or percent is dropped: `12 %` is 12."""
    pattern = _pattern(decimal)

    def cast(cell: pl.Expr) -> pl.Expr:
        plain = _plain(cell, decimal)
        exact = plain.str.count_matches(r"\d") <= MAX_DIGITS
        return pl.when(cell.str.contains(pattern) & exact).then(plain.cast(pl.Float64, strict=False))

    if decimal == ",":
        comma = "number with a decimal comma"
        return Kind(comma, lambda cell: pl.coalesce(cast(cell), _powers(cell)), never, never, DIGIT)
    # All that is a plain number is one of these too, so that a block of those needs no second look.
    return Kind(
        "number with grouped thousands or a sign",
        lambda cell: pl.coalesce(cast(cell), FLOAT.cast(cell)),
        FLOAT.suspect,
        lambda cell: FLOAT.refused(cell) & cast(cell).is_null(),
    )


def whole(kind: Kind) -> Kind:
    """The same for numbers that have no decimals."""
    return Kind(kind.name, lambda cell: kind.cast(cell).cast(pl.Int64), never, never)


POINT = numeral(".")
COMMA = numeral(",")
