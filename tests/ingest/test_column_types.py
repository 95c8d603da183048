"""Cells as people write them become the values they mean; what can mean two things stays text and is reported."""

import datetime as dt
import functools
import zoneinfo
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.ingest.column_types import ColumnTypes
from gristmill.ingest.options import IngestOptions
from tests.ingest.folder import Load

D, T = dt.date, dt.datetime
U = functools.partial(dt.datetime, tzinfo=zoneinfo.ZoneInfo("UTC"))
EITHER_DECIMAL = "column 1: its numbers may have decimals or thousands; it is kept as text (the option decimal says)"
EITHER_ORDER = "column 1: its dates may have the day or the month first; it is kept as text (date_order says)"
MIXED_SIGNS = "column 1: its numbers have different signs of currency or percent; it is kept as text"
BRACKETS = "column 1: numbers in brackets are read as negative"
SHORT_YEARS = "column 1: its years of two digits are read as 1970 to 2039"
MIDNIGHT = "column 1: its dates without a time are read as midnight"
YEAR_FIRST = (
    "column 1: its years of two digits may stand first or last; it is kept as text (date_order, date_formats say)"
)
HALF = "column 1: 50.0 % of cells are numbers; it is kept as text"
# The cells of a column as they stand, options, the values, the warnings.
CASES: dict[str, tuple[list[str], dict[str, Any], list[Any], list[str]]] = {
    "decimal comma": (["1,5", "2,25", "-3"], {}, [1.5, 2.25, -3.0], []),
    "decimal comma, points between thousands": (
        ["1.234,56", "12", "-1.234.567,8"],
        {},
        [1234.56, 12.0, -1234567.8],
        [],
    ),
    "decimal point, commas between thousands": (
        ["1,234.56", "12", "-1,234,567.8"],
        {},
        [1234.56, 12.0, -1234567.8],
        [],
    ),
    "commas between thousands, twice": (["1,234,567", "1,234"], {}, [1234567, 1234], []),
    "points between thousands, twice": (["1.234.567", "1.234"], {}, [1234567, 1234], []),
    "a comma before three digits": (["1,234", "5,678"], {}, ["1,234", "5,678"], [EITHER_DECIMAL]),
    "the same, decimals told": (["1,234", "5,678"], {"decimal": ","}, [1.234, 5.678], []),
    "the same, thousands told": (["1,234", "5,678"], {"decimal": "."}, [1234, 5678], []),
    "a point before three digits": (["1.234", "5.678"], {}, [1.234, 5.678], []),
    "the same, thousands told ": (["1.234", "5.678"], {"decimal": ","}, [1234, 5678], []),
    "spaces between thousands": (["1 234 567", "1 234", "5"], {}, [1234567, 1234, 5], []),
    "spaces that don't break": (
        ["1\u00a0234,5", "1\u202f234"],
        {},
        [1234.5, 1234.0],
        ["The text has 1 non-breaking spaces"],
    ),
    "apostrophes between thousands": (["1'234.50", "2’345"], {}, [1234.5, 2345.0], []),
    "groups of the wrong size": (["12,34.5", "1"], {}, ["12,34.5", "1"], [HALF]),
    "two separators in one number": (["1,234.567,8", "1"], {}, ["1,234.567,8", "1"], [HALF]),
    "exponents beside groups": (["1e-5", "1,234.5", "-2E3"], {}, [1e-5, 1234.5, -2000.0], []),
    "brackets for negative": (
        ["(1,234.50)", "7", "($2.00)"],
        {},
        ["(1,234.50)", "7", "($2.00)"],
        [MIXED_SIGNS],
    ),
    "brackets for negative, one sign": (["(1,234.50)", "7.00"], {}, [-1234.5, 7.0], [BRACKETS]),
    "brackets alone": (["(1)", "(2)"], {}, ["(1)", "(2)"], []),
    "minus behind": (["5.00-", "3.00", "1,234.5-"], {}, [-5.0, 3.0, -1234.5], []),
    "groups of two, as in India": (["1,23,456.50", "12,34,567"], {}, [123456.5, 1234567.0], []),
    "minus sign": (["−1,5", "2,5"], {}, [-1.5, 2.5], []),
    "plus signs": (["+5", "-3", "0"], {}, [5, -3, 0], []),
    "plus signs and a comma": (["+1,5", "-,5", "2"], {}, [1.5, -0.5, 2.0], []),
    "plus signs and decimals": (["+1.5", "+2.5"], {}, [1.5, 2.5], []),
    "a plus sign alone": (["+5", "+7"], {}, ["+5", "+7"], []),
    "a plus sign before many digits": (["+4930123456", "-5"], {}, ["+4930123456", "-5"], [HALF]),
    "a plus sign before a zero": (["+05", "-5"], {}, ["+05", "-5"], [HALF]),
    "a plus sign before money": (
        ["+$5.00", "-$3.50", "$(12.00)", "$.5"],
        {},
        [5.0, -3.5, -12.0, 0.5],
        ["column 1: the sign $ is taken off its numbers"],
    ),
    "a plus sign behind": (["3,00+", "2,00"], {}, ["3,00+", "2,00"], []),
    "a dash for minus": (["–5", "3", "−7"], {}, [-5, 3, -7], []),
    "a dash between numbers": (["1–5", "6–9"], {}, ["1–5", "6–9"], []),
    "a comma and an exponent": (["1,5e3", "-2,25E-2", "7,5"], {}, [1500.0, -0.0225, 7.5], []),
    "exponents that are codes": (
        ["1E5", "2E7", "A77"],
        {},
        ["1E5", "2E7", "A77"],
        ["column 1: 66.7 % of cells are numbers; it is kept as text"],
    ),
    "nothing before the comma": ([",5", "1,25"], {}, [0.5, 1.25], []),
    "per mille": (["5 ‰", "2,5‰"], {}, [5.0, 2.5], ["column 1: the sign ‰ is taken off its numbers"]),
    "spaces in every number": (
        ["555 123 456", "555 987 654"],
        {},
        [555123456, 555987654],
        ["column 1: spaces in its numbers are read as between thousands"],
    ),
    **{
        f"money in {sign}": (
            [f"5,50 {sign}", f"-7,25 {sign}"],
            {},
            [5.5, -7.25],
            [f"column 1: the sign {sign} is taken off its numbers"],
        )
        for sign in ("kr", "zł", "Kč", "₽", "CAD", "SEK", "₺")
    },
    "real": (["R$ 1.234,50", "-R$2,00"], {}, [1234.5, -2.0], ["column 1: the sign R$ is taken off its numbers"]),
    "dollars of two countries": (["R$ 5.50", "$ 5.50"], {}, ["R$ 5.50", "$ 5.50"], [MIXED_SIGNS]),
    "percent": (["12%", "3.5 %"], {}, [12.0, 3.5], ["column 1: the sign % is taken off its numbers: 12 % is 12"]),
    "euro": (["1.234,50 €", "-2 €"], {}, [1234.5, -2.0], ["column 1: the sign € is taken off its numbers"]),
    "dollar": (
        ["$1,234", "-$2,345,678", "$-5"],
        {},
        [1234, -2345678, -5],
        ["column 1: the sign $ is taken off its numbers"],
    ),
    "dollar, nothing tells": (["$1,234", "$5"], {}, ["$1,234", "$5"], [EITHER_DECIMAL]),
    "two currencies": (["$5", "5 €"], {}, ["$5", "5 €"], [MIXED_SIGNS]),
    "numbers and percents": (["5", "5%"], {}, ["5", "5%"], [MIXED_SIGNS]),
    "more digits than are exact": (["1.234.567.890.123.456,7", "1,5"], {}, ["1.234.567.890.123.456,7", "1,5"], []),
    "leading zeros beside a comma": (["007,5", "1,5"], {}, ["007,5", "1,5"], []),
    "null tokens beside a comma": (["1,5", "n/a", "-", ""], {}, [1.5, None, None, None], []),
    "yes and no": (["yes", "No", "NA"], {}, [True, False, None], []),
    "yes and maybe": (["yes", "maybe"], {}, ["yes", "maybe"], []),
    "own truth": (["ja", "nein"], {"true_values": ["ja"], "false_values": ["nein"]}, [True, False], []),
    "Y and N": (["Y", "n", "", "?"], {}, [True, False, None, None], []),
    "T and F": (["T", " F"], {}, [True, False], []),
    "ja and nein": (["Ja", "nein"], {}, [True, False], []),
    "oui and non": (["oui", "NON"], {}, [True, False], []),
    "wahr and falsch": (["WAHR", "FALSCH"], {}, [True, False], []),
    "on and off": (["on", "off"], {}, [True, False], []),
    "one word of a pair": (["F", "F"], {}, ["F", "F"], []),
    "words of two pairs": (["Y", "N", "T"], {}, ["Y", "N", "T"], []),
    "a word of each of two pairs": (["Y", "F"], {}, ["Y", "F"], []),
    "Y and N beside own truth": (["Y", "N"], {"true_values": ["1"]}, ["Y", "N"], []),
    "what stands for nothing": (
        ["1", "n.a.", "--", "–", "—", "?", ".", "<NA>", "NaT", "\\N", "#DIV/0!", "#VALUE!"],
        {},
        [1, *[None] * 11],
        [],
    ),
    "what stands for nothing beside texts": (["x", "?", "--"], {}, ["x", "?", "--"], []),
    "day first": (["03/04/2024", "31/12/2024"], {}, [D(2024, 4, 3), D(2024, 12, 31)], []),
    "month first": (["03/04/2024", "12/31/2024"], {}, [D(2024, 3, 4), D(2024, 12, 31)], []),
    "either first": (["03/04/2024", "12/11/2024"], {}, ["03/04/2024", "12/11/2024"], [EITHER_ORDER]),
    "both first": (["31/12/2024", "12/31/2024"], {}, ["31/12/2024", "12/31/2024"], []),
    "day told": (["03/04/2024"], {"date_order": "day-first"}, [D(2024, 4, 3)], []),
    "month told": (["03/04/2024"], {"date_order": "month-first"}, [D(2024, 3, 4)], []),
    "dots": (["3.4.2024", "01.02.2024"], {}, [D(2024, 4, 3), D(2024, 2, 1)], []),
    "hyphens": (["03-04-2024", "31-12-2024"], {}, [D(2024, 4, 3), D(2024, 12, 31)], []),
    "no such day": (["30/02/2024", "31/12/2024"], {}, ["30/02/2024", "31/12/2024"], []),
    "day first with time": (
        ["31/12/2024 23:59", "1/2/2024 1:02:03.5"],
        {},
        [T(2024, 12, 31, 23, 59), T(2024, 2, 1, 1, 2, 3, 500000)],
        [],
    ),
    "either first with time": (["3/4/2024 10:00"], {}, ["3/4/2024 10:00"], [EITHER_ORDER]),
    "year first, slashes": (["2024/01/31", "2024/2/1"], {}, [D(2024, 1, 31), D(2024, 2, 1)], []),
    "month in words": (
        ["31-Jan-2024", "1 February 2024", "Mar 5, 2024"],
        {},
        [D(2024, 1, 31), D(2024, 2, 1), D(2024, 3, 5)],
        [],
    ),
    "month in words without a comma": (["Jan 5 2024", "March 12 2024"], {}, [D(2024, 1, 5), D(2024, 3, 12)], []),
    "halves of the day": (
        ["1/2/2024 3:45 PM", "12/31/2024 12:05:10am"],
        {},
        [T(2024, 1, 2, 15, 45), T(2024, 12, 31, 0, 5, 10)],
        [],
    ),
    "no such half": (["1/2/2024 13:45 PM", "12/31/2024 1:05 PM"], {}, ["1/2/2024 13:45 PM", "12/31/2024 1:05 PM"], []),
    "two digits of a year": (["31.12.24", "01.02.70"], {}, [D(2024, 12, 31), D(1970, 2, 1)], [SHORT_YEARS]),
    "two digits of a year, day first": (["03/04/24", "31/12/99"], {}, [D(2024, 4, 3), D(1999, 12, 31)], [SHORT_YEARS]),
    "two digits of a year, month first": (
        ["03/04/24", "12/31/39"],
        {},
        [D(2024, 3, 4), D(2039, 12, 31)],
        [SHORT_YEARS],
    ),
    "two digits of a year, either first": (["03/04/24", "12/11/24"], {}, ["03/04/24", "12/11/24"], [EITHER_ORDER]),
    "two digits of a year, day told": (["03/04/24"], {"date_order": "day-first"}, [D(2024, 4, 3)], [SHORT_YEARS]),
    "two digits of a year with time": (["31/12/24 23:59"], {}, [T(2024, 12, 31, 23, 59)], [SHORT_YEARS]),
    "two digits of a year of any century": (["31/12/24", "31/12/45"], {}, ["31/12/24", "31/12/45"], []),
    "two digits of a year, hyphens": (["31-12-99", "01-02-99"], {}, [D(1999, 12, 31), D(1999, 2, 1)], [SHORT_YEARS]),
    "two digits of a year that may be first": (["24-01-31", "24-02-01"], {}, ["24-01-31", "24-02-01"], [YEAR_FIRST]),
    "two digits of a year that are first": (["99-12-31"], {}, ["99-12-31"], [YEAR_FIRST]),
    "two and four digits of a year": (["31/12/24", "31/12/2024"], {}, ["31/12/24", "31/12/2024"], []),
    "versions": (["1.2.10", "2.1.12"], {}, ["1.2.10", "2.1.12"], []),
    "days without zeros": (["2026-1-4", "2026-11-30"], {}, [D(2026, 1, 4), D(2026, 11, 30)], []),
    "times without zeros": (
        ["2026-1-4 3:05", "2026-11-30T13:05:01"],
        {},
        [T(2026, 1, 4, 3, 5), T(2026, 11, 30, 13, 5, 1)],
        [],
    ),
    "a comma before the fraction": (
        ["2026-01-04 03:05:06,123", "2026-01-04T03:05:06"],
        {},
        [T(2026, 1, 4, 3, 5, 6, 123000), T(2026, 1, 4, 3, 5, 6)],
        [],
    ),
    "nanoseconds that are zeros": (["2026-01-04T03:05:06.123456000"], {}, [T(2026, 1, 4, 3, 5, 6, 123456)], []),
    "days beside times": (
        ["2026-01-04", "2026-01-04 03:05", "2026-1-5"],
        {},
        [T(2026, 1, 4), T(2026, 1, 4, 3, 5), T(2026, 1, 5)],
        [MIDNIGHT],
    ),
    "a zone of hours": (
        ["2026-01-04 03:05:06+01", "2026-01-04T03:05:06.5 -0230"],
        {},
        [U(2026, 1, 4, 2, 5, 6), U(2026, 1, 4, 5, 35, 6, 500000)],
        [],
    ),
    "a zone in letters": (
        ["2026-01-04 03:05 UTC", "2026-01-04T03:05:06,5GMT", "2026-1-4 3:05z"],
        {},
        [U(2026, 1, 4, 3, 5), U(2026, 1, 4, 3, 5, 6, 500000), U(2026, 1, 4, 3, 5)],
        [],
    ),
    "times with and without a zone": (
        ["2026-01-04 03:05 UTC", "2026-01-04 03:05"],
        {},
        ["2026-01-04 03:05 UTC", "2026-01-04 03:05"],
        [],
    ),
    "no such day, without zeros": (["2026-2-30", "2026-2-1"], {}, ["2026-2-30", "2026-2-1"], []),
    "no such time": (["2026-01-04T25:00"], {}, ["2026-01-04T25:00"], []),
    "times of day": (["12:34", "23:59:59"], {}, ["12:34", "23:59:59"], []),
    "months in short": (
        ["4 Sept 2024", "Sept. 5, 2024", "24th March 2024", "March 1st, 2024"],
        {},
        [D(2024, 9, 4), D(2024, 9, 5), D(2024, 3, 24), D(2024, 3, 1)],
        [],
    ),
    "months in German": (
        ["24. März 2024", "1. Jänner 2024", "31-Dez-2024", "1 Mai 2024"],
        {},
        [D(2024, 3, 24), D(2024, 1, 1), D(2024, 12, 31), D(2024, 5, 1)],
        [],
    ),
    "months in French": (
        ["1er août 2024", "14 juil. 2024", "3 FÉVRIER 2024"],
        {},
        [D(2024, 8, 1), D(2024, 7, 14), D(2024, 2, 3)],
        [],
    ),
    "months in Spanish": (
        ["24 de marzo de 2024", "1 ene 2024", "5 de setiembre 2024"],
        {},
        [D(2024, 3, 24), D(2024, 1, 1), D(2024, 9, 5)],
        [],
    ),
    "months in words with time": (
        ["24 März 2024 10:30", "2 mai 2024 3:05:01 PM"],
        {},
        [T(2024, 3, 24, 10, 30), T(2024, 5, 2, 15, 5, 1)],
        [],
    ),
    "months in words, two digits of a year": (
        ["24-MAR-24", "01-DEC-99"],
        {},
        [D(2024, 3, 24), D(1999, 12, 1)],
        [SHORT_YEARS],
    ),
    "no month": (["24 Foo 2024", "1 Mai 2024"], {}, ["24 Foo 2024", "1 Mai 2024"], []),
    "a format told": (["31.12.24", "01.02.99"], {"date_formats": ["%d.%m.%y"]}, [D(2024, 12, 31), D(1999, 2, 1)], []),
    "a format of a time told": (["20240131T1015"], {"date_formats": ["%Y%m%dT%H%M"]}, [T(2024, 1, 31, 10, 15)], []),
    "a format told that does not fit": (["x"], {"date_formats": ["%d.%m.%y"]}, ["x"], []),
    "addresses": (["192.168.0.1", "10.0.0.12"], {}, ["192.168.0.1", "10.0.0.12"], []),
    "telephone": (["030 123 456", "555 1234"], {}, ["030 123 456", "555 1234"], []),
    "text kept": (["1.234,56", "03/04/2024"], {"types": "text"}, ["1.234,56", "03/04/2024"], []),
}


def _text(*columns: list[str]) -> bytes:
    rows = ["\t".join(cells) for cells in zip(*columns, strict=True)]
    return ("\t".join(f"c{place}" for place in range(len(columns))) + "\n" + "\n".join(rows) + "\n").encode()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_cells_become_what_they_mean(load: Load, case: tuple[list[str], dict[str, Any], list[Any], list[str]]) -> None:
    cells, options, values, warnings = case
    # A second column, so that a row whose first cell is empty is no blank line.
    loaded = load(_text(cells, ["x"] * len(cells)), delimiter="\t", header=True, **options)
    assert repr(loaded.frame["c0"].to_list()) == repr(values)
    assert list(loaded.ingested.warnings) == warnings


def test_nanoseconds_are_kept(load: Load) -> None:
    cells = ["2026-01-04T03:05:06.123456789", "2026-01-04 03:05:06", "2026-01-04T03:05:06.1234567"]
    loaded = load(_text(cells, [f"{cell}Z" for cell in cells], ["1650-01-04T03:05:06.123456789", *cells[1:]]))
    expected = [1767495906123456789, 1767495906000000000, 1767495906123456700]
    assert loaded.frame["c0"].dtype == pl.Datetime("ns")
    assert loaded.frame["c1"].dtype == pl.Datetime("ns", "UTC")
    assert loaded.frame["c0"].to_physical().to_list() == loaded.frame["c1"].to_physical().to_list() == expected
    assert loaded.frame["c2"][0] == "1650-01-04T03:05:06.123456789"


def test_other_columns_tell_what_a_comma_is(load: Load) -> None:
    open_cells = ["1,234", "2,345"]
    comma = load(_text(open_cells, ["0,5", "1,25"], ["1.234", "5.678"]))
    assert comma.frame.rows() == [(1.234, 0.5, 1234), (2.345, 1.25, 5678)]
    assert comma.dialect["read_as"] == dict.fromkeys("123", "number with a decimal comma")
    point = load(_text(open_cells, ["0.5", "1.25"]))
    assert point.frame.rows() == [(1234, 0.5), (2345, 1.25)]
    both = load(_text(open_cells, ["0.5", "1.25"], ["0,5", "1,25"]))
    assert both.frame.rows() == [("1,234", 0.5, 0.5), ("2,345", 1.25, 1.25)]
    assert both.ingested.warnings == (EITHER_DECIMAL,)


def _in_frames(cells: list[str], size: int) -> tuple[list[Any], str | None]:
    """The values of one column that was seen in frames of a few rows, and the warning."""
    column = pl.Series("0", [cell or None for cell in cells], pl.String)
    types = ColumnTypes(1, IngestOptions())
    for start in range(0, len(cells), size):
        types.observe(column.slice(start, size).to_frame())
    (found,) = types.decide()
    return column.to_frame().select(found.expression(pl.col("0"))).to_series().to_list(), found.warning


def test_what_the_first_rows_say_is_not_the_last_word() -> None:
    """Numbers that grow: whole ones, then decimals, then the first with thousands, each in frames of their own."""
    cells = [str(n) for n in range(200)] + [f"{n}.5" for n in range(99)] + ["1,000.5", "2,000,000"]
    assert _in_frames(cells, 10) == ([float(cell.replace(",", "")) for cell in cells], None)
    days = [f"{day:02}/01/2024" for day in range(1, 13)] * 20 + ["13/01/2024"]
    expected = [dt.datetime.strptime(day, "%d/%m/%Y").date() for day in days]  # noqa: DTZ007
    assert _in_frames(days, 10) == (expected, None)


@settings(max_examples=100, deadline=None)
@given(
    numbers=st.lists(st.integers(-(10**10), 10**10), min_size=1, max_size=20),
    decimals=st.integers(1, 4).filter(lambda places: places != 3),
    style=st.sampled_from([",.", ".,", " ,", "'."]),
    sign=st.sampled_from(["", " €", "%"]),
)
def test_formatted_numbers_come_back(load: Load, numbers: list[int], decimals: int, style: str, sign: str) -> None:
    values = [number / 10**decimals for number in numbers]
    swap = str.maketrans(",.", style)
    cells = [f"{value:,.{decimals}f}".translate(swap) + sign for value in values]
    loaded = load(_text(cells), delimiter="\t", header=True)
    assert loaded.frame["c0"].to_list() == pytest.approx(values, rel=1e-12)
    assert loaded.frame.schema["c0"] == pl.Float64


WRITTEN = st.text(alphabet="0123456789.,-+/:% €$eENa'\u00a0", min_size=1, max_size=12)
PLAUSIBLE = st.sampled_from(
    [
        "1",
        "1,5",
        "1.5",
        "1.234",
        "1,234",
        "1,234.5",
        "1.234,5",
        "5%",
        "1/2/2024",
        "13/2/2024",
        "1/2/24",
        "13/2/99",
        "24-02-03",
        "2024-01-02",
        "2024-1-2",
        "2024-01-02 03:04",
        "2024-01-02 03:04:05.123456789",
        "1650-01-02 03:04:05",
        "2024-01-02 03:04Z",
        "2 mars 2024",
        "1e5",
        "+5",
        "+1,5",
        "(7)",
        ",5",
        "–3",
        "1,5e3",
        "1 234 567",
        "Y",
        "n",
        "NaN",
        "",
        "-",
        " 7",
    ]
)


@settings(max_examples=300, deadline=None)
@given(cells=st.lists(PLAUSIBLE | WRITTEN, min_size=1, max_size=8), size=st.integers(1, 4))
def test_frames_do_not_matter_to_types_and_nothing_turns_null(cells: list[str], size: int) -> None:
    tokens = {*IngestOptions().null_tokens, ""}
    values, warning = _in_frames(cells, len(cells))
    in_parts, _ = _in_frames(cells, size)
    assert repr(values) == repr(in_parts)
    assert warning is None or values == [cell or None for cell in cells] or "sign" in warning or "read as" in warning
    for cell, value in zip(cells, values, strict=True):
        assert (value is not None) or cell.strip("\u00a0 ") in tokens


@pytest.mark.parametrize(
    "wrong",
    [
        {"decimal": ";"},
        {"date_order": "year-first"},
        {"date_formats": ["%d.%m"]},
        {"date_formats": ["%d%q%m%Y"]},
        {"date_formats": ["%d.%m.%Y"] * 11},
        {"true_values": ["x"], "false_values": ["X"]},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, IngestOptions)
