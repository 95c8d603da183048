"""Promise: JSON and CSV have each value whole, and nothing that a strict parser refuses."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl
import pytest

from gristmill.api.cells import cells, csv_column

MOST, LEAST = 2**63 - 1, -(2**63)

CASES: dict[str, tuple[pl.Series, list[Any]]] = {
    "integers that a double holds are numbers": (
        pl.Series([2**53 - 1, None, 1 - 2**53, 2**53, LEAST]),
        [2**53 - 1, None, 1 - 2**53, str(2**53), str(LEAST)],
    ),
    "unsigned": (pl.Series([2**64 - 1, 7], dtype=pl.UInt64), ["18446744073709551615", 7]),
    "128 bits": (pl.Series([-(2**100)], dtype=pl.Int128), [str(-(2**100))]),
    "floats": (
        pl.Series([0.1, -0.0, 1e300, None, float("nan"), float("inf"), float("-inf")]),
        [0.1, -0.0, 1e300, None, "NaN", "Infinity", "-Infinity"],
    ),
    "decimals keep their scale": (
        pl.Series([Decimal("12.30"), Decimal("-0.01"), None], dtype=pl.Decimal(38, 2)),
        ["12.30", "-0.01", None],
    ),
    "dates": (
        pl.Series([dt.date(1, 1, 1), dt.date(9999, 12, 31), None]),
        ["0001-01-01", "9999-12-31", None],
    ),
    "nanoseconds": (
        pl.Series([1, MOST]).cast(pl.Datetime("ns")),
        ["1970-01-01T00:00:00.000000001", "2262-04-11T23:47:16.854775807"],
    ),
    "a zone is told in UTC": (
        pl.Series([dt.datetime(2024, 7, 1, 10, 0, 0, 5000, dt.UTC)]).dt.convert_time_zone("Europe/Berlin"),
        ["2024-07-01T10:00:00.005Z"],
    ),
    "moments that no calendar has": (
        pl.Series([0, MOST, LEAST]).cast(pl.Datetime("us")),
        ["1970-01-01T00:00:00", str(MOST), str(LEAST)],
    ),
    "days that no calendar has": (
        pl.Series([0, 2**31 - 1, -(2**31)], dtype=pl.Int32).cast(pl.Date),
        ["1970-01-01", 2**31 - 1, -(2**31)],
    ),
    "times": (pl.Series([1, None, 86_399 * 10**9]).cast(pl.Time), ["00:00:00.000000001", None, "23:59:59"]),
    "durations": (pl.Series([1500, -1, LEAST]).cast(pl.Duration("ms")), ["PT1.5S", "-PT0.001S", str(LEAST)]),
    "bytes": (pl.Series([b"\xff\x00", b"", None]), ["/wA=", "", None]),
    "categories": (pl.Series(["a", None], dtype=pl.Categorical), ["a", None]),
    "truth": (pl.Series([True, False, None]), [True, False, None]),
    "nothing": (pl.Series([None, None]), [None, None]),
    "lists": (pl.Series([[2**60, None], [], None, [1]]), [[str(2**60), None], [], None, [1]]),
    "lists of lists": (
        pl.Series([[[1.5], []], None, [None]], dtype=pl.List(pl.List(pl.Float64))),
        [[[1.5], []], None, [None]],
    ),
    "arrays": (pl.Series([[1.0, float("nan")], None], dtype=pl.Array(pl.Float64, 2)), [[1.0, "NaN"], None]),
    "structs": (
        pl.Series([{"d": Decimal("1.50"), "t": [dt.date(2024, 1, 2)]}, None, {"d": None, "t": None}]),
        [{"d": "1.50", "t": ["2024-01-02"]}, None, {"d": None, "t": None}],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_value_is_told_whole(case: str) -> None:
    column, expected = CASES[case]
    found = cells(column)
    assert [repr(value) for value in found] == [repr(value) for value in expected]
    text = msgspec.json.encode(found).decode()
    assert json.loads(text, parse_constant=pytest.fail) == expected
    # A page is a slice: what lies before and behind it must not show.
    assert cells(pl.concat([column, column]).slice(1, len(column))) == [*expected[1:], expected[0]]
    assert cells(column.clear()) == []


@pytest.mark.parametrize("case", CASES)
def test_csv_has_the_same_value_as_a_text(case: str) -> None:
    column, expected = CASES[case]
    told = csv_column(column, guard=False)
    if column.dtype.is_nested():
        assert [text and json.loads(text) for text in told] == expected
    else:
        shown = {True: "true", False: "false"} if column.dtype == pl.Boolean else {}
        plain = [None if value is None else shown.get(value, str(value)) for value in expected]
        assert told.cast(pl.String).to_list() == plain


def test_the_guard_marks_texts_that_would_be_formulas_and_no_numbers() -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "a=1", " =1", "", None]
    guarded = csv_column(pl.Series(texts), guard=True).to_list()
    assert guarded == ["'=1+1", "'+1", "'-1", "'@x", "'\t=1", "'\r=1", "a=1", " =1", "", None]
    assert csv_column(pl.Series([-1.5]), guard=True).to_list() == ["-1.5"]
    assert csv_column(pl.Series([-1]), guard=True).to_list() == [-1]
    assert csv_column(pl.Series(["=1"], dtype=pl.Categorical), guard=True).to_list() == ["'=1"]
