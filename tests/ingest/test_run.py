"""Every input becomes the table a reader of it expects, or a clear problem; no row is lost on the way."""

import datetime as dt
import gzip
import io
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
import zstandard

from gristmill.errors import BadData, GristmillError, TooLarge, UnsupportedFormat
from gristmill.ingest.options import Limits
from gristmill.processors.contract import ROW
from tests.ingest.folder import Load


@dataclass(frozen=True)
class Case:
    """Input and options ─▶ columns, rejected rows (line, column, reason, raw), and parts of the dialect."""

    data: bytes | str
    columns: dict[str, list[Any]]
    options: dict[str, Any] = field(default_factory=dict)
    rejected: list[tuple[int, int | None, str, str]] = field(default_factory=list)
    dialect: dict[str, Any] = field(default_factory=dict)
    repaired: int = 0
    types: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    declared: str = "csv"


UTC = ZoneInfo("UTC")
CASES = {
    "plain": Case("id,name\n1,ada\n2,bob\n", {"id": [1, 2], "name": ["ada", "bob"]}, dialect={"delimiter": ","}),
    "no line end at the end": Case("id,name\n1,ada\n2,bob", {"id": [1, 2], "name": ["ada", "bob"]}),
    "CRLF": Case(
        "id,name\r\n1,ada\r\n2,bob\r\n", {"id": [1, 2], "name": ["ada", "bob"]}, dialect={"line_ends": "CRLF"}
    ),
    "CR alone": Case("id,name\r1,ada\r2,bob\r", {"id": [1, 2], "name": ["ada", "bob"]}, dialect={"line_ends": "CR"}),
    "byte order mark": Case("\ufeffid\n1\n", {"id": [1]}, dialect={"bom": True, "encoding": "utf-8"}),
    "UTF-16 with mark": Case(
        "id,ä\n1,ö\n".encode("utf-16"), {"id": [1], "ä": ["ö"]}, dialect={"encoding": "utf-16-le"}
    ),
    "UTF-16 BE, no mark": Case(
        "id,name\n1,ada\n".encode("utf-16-be"), {"id": [1], "name": ["ada"]}, dialect={"encoding": "utf-16-be"}
    ),
    "Windows-1252": Case(
        "id,näme\n1,Zoë €\n2,b\n".encode("cp1252"),
        {"id": [1, 2], "näme": ["Zoë €", "b"]},
        dialect={"encoding": "windows-1252"},
        warnings=[
            "The text is not UTF-8: it was read as windows-1252; "
            "it may also be cp850, windows-1250, windows-1257 (encoding says)"
        ],
    ),
    "declared Latin-1": Case("a,b\n1,\xe9\n".encode("latin-1"), {"a": [1], "b": ["é"]}, {"encoding": "latin-1"}),
    "semicolons, decimal comma": Case("a;b\n1,5;x\n2,5;y\n", {"a": [1.5, 2.5], "b": ["x", "y"]}),
    "tabs": Case("a\tb\n1\tx, y\n", {"a": [1], "b": ["x, y"]}, dialect={"delimiter": "\t"}),
    "pipes": Case("a|b\n1|x\n2|y\n", {"a": [1, 2], "b": ["x", "y"]}, dialect={"delimiter": "|"}),
    "one column with commas": Case(
        "name\nSmith, J\nDoe, A\n", {"name": ["Smith, J", "Doe, A"]}, dialect={"delimiter": None}
    ),
    "a given delimiter": Case("a:b\n1:2\n", {"a": [1], "b": [2]}, {"delimiter": ":"}),
    "no header": Case("1,2\n3,4\n", {"column_1": [1, 3], "column_2": [2, 4]}, dialect={"header": False}),
    "header of years": Case("id,1990,1991\n1,5,6\n2,7,8\n", {"id": [1, 2], "1990": [5, 7], "1991": [6, 8]}),
    "header denied": Case("a,b\nc,d\n", {"column_1": ["a", "c"], "column_2": ["b", "d"]}, {"header": False}),
    "quoted": Case(
        'a,b\n"x, y","he said ""hi"""\n"two\nlines",z\n', {"a": ["x, y", "two\nlines"], "b": ['he said "hi"', "z"]}
    ),
    "a quote inside a cell is a character": Case(
        'a,b\n5" pipe,1\n6" pipe,2\n', {"a": ['5" pipe', '6" pipe'], "b": [1, 2]}
    ),
    "no quoting": Case('a,b\n"x,1\n', {"a": ['"x'], "b": [1]}, {"quote": ""}),
    "blank lines are no rows": Case(
        "a,b\n\n1,2\n\r\n\n3,4\n\n", {"a": [1, 3], "b": [2, 4]}, dialect={"blank_lines": 4}
    ),
    "empty cells are null": Case('a,b\n1,\n,x\n3,""\n', {"a": [1, None, 3], "b": [None, "x", None]}),
    "short row is padded": Case("a,b,c\n1,2\n3,4,5\n", {"a": [1, 3], "b": [2, 4], "c": [None, 5]}, repaired=1),
    "extra empty cells are dropped": Case("a,b\n1,2,,\n3,4\n", {"a": [1, 3], "b": [2, 4]}, repaired=1),
    "extra cells are rejected": Case(
        "a,b\n1,2\n3,4,5\n6,7\n", {"a": [1, 6], "b": [2, 7]}, rejected=[(3, 3, "extra cells", "3,4,5")]
    ),
    "strict": Case(
        "a,b\n1\n2,3,\n4,5\n",
        {"a": [4], "b": [5]},
        {"strict": True},
        rejected=[(2, 2, "missing cells", "1"), (3, 3, "extra cells", "2,3,")],
    ),
    "unclosed quote costs its line": Case(
        'a,b\n1,"x\n2,y\n3,z\n', {"a": [2, 3], "b": ["y", "z"]}, rejected=[(2, 2, "unclosed quote", '1,"x')]
    ),
    "stray quote before quoted cells": Case(
        'a,b\n1,"x\n2,"y"\n3,"z"\n', {"a": [2, 3], "b": ["y", "z"]}, rejected=[(2, 2, "unclosed quote", '1,"x')]
    ),
    "text after a closing quote": Case(
        'a,b\n1,"x"y\n2,z\n', {"a": [2], "b": ["z"]}, rejected=[(2, 2, "text after a closing quote", '1,"x"y')]
    ),
    "bad encoding costs its line": Case(
        "a,b\n1,é\n2,".encode() + b"\xff\n3,\xc3\xa9\n",
        {"a": [1, 3], "b": ["é", "é"]},
        rejected=[(3, 2, "bad encoding", "2,\ufffd")],
    ),
    "line numbers count lines within cells": Case(
        'a,b\n"x\ny",1\n\n2,3,4\n', {"a": ["x\ny"], "b": [1]}, rejected=[(5, 3, "extra cells", "2,3,4")]
    ),
    "header only": Case("a,b\n", {"a": [], "b": []}, warnings=["The file has a header and no rows"]),
    "repeated and empty names": Case("a,a,,a_2\n1,2,3,4\n", {"a": [1], "a_3": [2], "column_3": [3], "a_2": [4]}),
    "reserved name": Case(f"{ROW},b\n1,2\n", {"column_1": [1], "b": [2]}),
    "leading zeros stay text": Case("zip,n\n00501,0\n10001,10\n", {"zip": ["00501", "10001"], "n": [0, 10]}),
    "telephone numbers stay text": Case("tel\n+4912345\n+4967890\n", {"tel": ["+4912345", "+4967890"]}),
    "decimals": Case("x\n1\n2.5\n-1e3\n.5\n", {"x": [1.0, 2.5, -1000.0, 0.5]}, types={"x": "Float64"}),
    "truth values": Case("x,y\ntrue,TRUE\nFalse,\n", {"x": [True, False], "y": [True, None]}, types={"x": "Boolean"}),
    "dates": Case("d\n2024-02-29\n2023-01-01\n", {"d": [dt.date(2024, 2, 29), dt.date(2023, 1, 1)]}),
    "impossible date stays text": Case("d\n2023-02-29\n", {"d": ["2023-02-29"]}),
    "datetimes": Case(
        "t\n2024-01-02T03:04:05\n2024-01-02 03:04:05.25\n",
        {"t": [dt.datetime.fromisoformat("2024-01-02T03:04:05"), dt.datetime.fromisoformat("2024-01-02T03:04:05.25")]},
    ),
    "datetimes with zone": Case(
        "t\n2024-01-02T03:04:05Z\n2024-01-02T03:04:05+02:00\n",
        {"t": [dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), dt.datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC)]},
        types={"t": "Datetime(time_unit='us', time_zone='UTC')"},
    ),
    "integers beyond 64 bits stay exact": Case(
        "n\n1\n9223372036854775808\n",
        {"n": ["1", "9223372036854775808"]},
        warnings=["column 1: it has integers too big for an exact number; it is kept as text"],
    ),
    "long integers beside decimals stay exact": Case("n\n9007199254740993\n0.5\n", {"n": ["9007199254740993", "0.5"]}),
    "the last 64-bit integer": Case("n\n9223372036854775807\n", {"n": [2**63 - 1]}, types={"n": "Int64"}),
    "overflowing floats stay text": Case("x\n1.5\n1e999\n", {"x": ["1.5", "1e999"]}),
    "null tokens in numbers": Case("x,y\n1,a\nNA,NA\nnull,None\n", {"x": [1, None, None], "y": ["a", "NA", "None"]}),
    "a category called None": Case("x\nNone\nSubstantial\n", {"x": ["None", "Substantial"]}),
    "NaN is a float": Case("x,y\n1,NaN\nnan,NaN\n", {"x": [1.0, float("nan")], "y": ["NaN", "NaN"]}),
    "own null token that is a number": Case("x\n1\n-999\n", {"x": [1, None]}, {"null_tokens": ("-999",)}),
    "white space around numbers": Case("a, b\n1, 2\n3, 4\n", {"a": [1, 3], " b": [2, 4]}),
    "mixed column": Case(
        "a\n" + "1\n" * 99 + "x\n",
        {"a": ["1"] * 99 + ["x"]},
        warnings=["column 1: 99.0 % of cells are numbers; it is kept as text"],
    ),
    "everything text": Case("a,b\n007,\n1, x\n", {"a": ["007", "1"], "b": [None, " x"]}, {"types": "text"}),
    "NUL in a cell": Case("a,b\n" + "x,1\n" * 999 + "y\0,2\n", {"a": ["x"] * 999 + ["y\0"], "b": [1] * 999 + [2]}),
    "gzip": Case(gzip.compress(b"a\n1\n"), {"a": [1]}, dialect={"compression": "gzip"}),
    "gzip of many members": Case(gzip.compress(b"a\n1\n") + gzip.compress(b"2\n"), {"a": [1, 2]}),
    "zstd": Case(
        zstandard.compress(b"a\n1\n") + zstandard.compress(b"2\n"), {"a": [1, 2]}, dialect={"compression": "zstd"}
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_table(load: Load, case: Case) -> None:
    data = case.data.encode() if isinstance(case.data, str) else case.data
    loaded = load(data, case.declared, **case.options)
    got = loaded.frame.to_dict(as_series=False)
    assert list(got) == list(case.columns)
    # repr, so that NaN is equal to NaN and 1 is not equal to 1.0
    assert repr(got) == repr(case.columns)
    assert loaded.rejected.rows() == case.rejected
    assert loaded.ingested.rows_repaired == case.repaired
    assert {name: loaded.dialect[name] for name in case.dialect} == case.dialect
    types = {column.name: column.type for column in loaded.ingested.columns}
    assert {name: types[name] for name in case.types} == case.types
    if case.warnings:
        assert list(loaded.ingested.warnings) == case.warnings
    assert ("rejected.parquet" in loaded.names) == bool(case.rejected)
    assert loaded.left_in_scratch == []


PARQUET = pl.DataFrame({"a": range(1000)})


def _parquet() -> bytes:
    file = io.BytesIO()
    PARQUET.write_parquet(file)
    return file.getvalue()


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 4
BINARY = bytes(range(256)) * 64
BAD: dict[str, tuple[bytes, str, dict[str, Any], type[GristmillError], str]] = {
    "empty": (b"", "csv", {}, BadData, "The file is empty"),
    "empty ndjson": (b"", "ndjson", {}, BadData, "The file is empty"),
    "empty parquet": (b"", "parquet", {}, BadData, "The file is empty"),
    "empty gzip": (gzip.compress(b""), "csv", {}, BadData, "The file is empty"),
    "white space": (b" \n\n  \n", "csv", {}, BadData, "empty"),
    "binary named csv": (BINARY, "csv", {}, UnsupportedFormat, "binary data"),
    "binary named ndjson": (BINARY, "ndjson", {}, UnsupportedFormat, "binary data"),
    "gzip of binary": (gzip.compress(BINARY), "csv", {}, UnsupportedFormat, "binary data"),
    "picture": (PNG, "csv", {}, UnsupportedFormat, "a PNG picture"),
    "workbook": (b"PK\x03\x04" + BINARY, "csv", {}, UnsupportedFormat, "Excel"),
    "Parquet declared csv": (_parquet(), "csv", {}, UnsupportedFormat, "a Parquet file"),
    "gzip of Parquet declared csv": (gzip.compress(_parquet()), "csv", {}, UnsupportedFormat, "a Parquet file"),
    "csv declared Parquet": (b"a,b\n1,2\n", "parquet", {}, UnsupportedFormat, "text"),
    "json declared csv": (b'{"a": 1}\n{"a": 2}\n', "csv", {}, UnsupportedFormat, "JSON"),
    "array declared csv": (b'[{"a": 1},\n {"a": 2}]\n', "csv", {}, UnsupportedFormat, "JSON array"),
    "array declared ndjson": (b'[{"a": 1}]\n', "ndjson", {}, UnsupportedFormat, "JSON array"),
    "csv declared ndjson": (b"a,b\n1,2\n", "ndjson", {}, UnsupportedFormat, "no line begins a JSON object"),
    "web page": (b"<!DOCTYPE html>\n<p>1,2</p>\n", "csv", {}, UnsupportedFormat, "web page"),
    "truncated gzip": (gzip.compress(b"a,b\n" + b"1,2\n" * 9999)[:-20], "csv", {}, BadData, "gzip data is truncated"),
    "corrupt gzip": (gzip.compress(b"a\n1\n")[:10] + b"\xff" * 20, "csv", {}, BadData, "gzip data is corrupt"),
    "truncated zstd": (
        zstandard.compress(b"a,b\n" + b"1,2\n" * 9999)[:-5],
        "csv",
        {},
        BadData,
        "zstd data is truncated",
    ),
    "corrupt zstd": (zstandard.compress(b"a\n1\n")[:5] + b"\xff" * 20, "csv", {}, BadData, "zstd data is corrupt"),
    "truncated Parquet": (_parquet()[:-9], "parquet", {}, BadData, "truncated"),
    "Parquet of twelve bytes": (b"PAR1\0\0\0\0PAR1", "parquet", {}, BadData, "Parquet"),
    "all rows rejected": (b"a,b\n1,2,3\n4,5,6\n", "csv", {}, BadData, "All 2 rows were rejected: 2 for extra cells"),
    "too many rejected": (b"a,b\n1,2,3\n4,5,6\n7,8\n", "csv", {"max_rejected": 1}, BadData, "max_rejected=1"),
    "too large a share": (b"a,b\n1,2,3\n4,5\n", "csv", {"max_rejected": 0.4}, BadData, "max_rejected=0.4"),
    "first row not closed": (b'"a,b\n1,2\n', "csv", {}, BadData, "first row can't be read: unclosed quote"),
    "all lines bad": (b'{"a": \n{x}\n', "ndjson", {}, BadData, "All 2 rows were rejected: 2 for bad JSON"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_bad_input_is_a_clear_problem(
    load: Load, case: tuple[bytes, str, dict[str, Any], type[GristmillError], str]
) -> None:
    data, declared, options, error, words = case
    with pytest.raises(error) as caught:
        load(data, declared, **options)
    assert type(caught.value) is error
    assert words in caught.value.detail


def test_limits_are_named(load: Load) -> None:
    wide = ",".join(f"c{place}" for place in range(11)) + "\n" + ",".join("1" * 11) + "\n"
    with pytest.raises(TooLarge, match="max_columns"):
        load(wide.encode(), limits=Limits(max_columns=10))
    with pytest.raises(TooLarge, match="max_columns"):
        load(b'{"a": 1, "b": 2, "c": 3}\n', "ndjson", limits=Limits(max_columns=2))
    with pytest.raises(TooLarge, match="max_columns"):
        load(_parquet(), "parquet", limits=Limits(max_columns=0))
    with pytest.raises(TooLarge, match="max_expanded_bytes"):
        load(gzip.compress(b"a\n" + b"1\n" * 1000), limits=Limits(max_expanded_bytes=1000))


def test_parts_have_at_most_part_rows_and_keep_their_order(load: Load) -> None:
    text = "id\n" + "".join(f"{place}\n" for place in range(2500))
    loaded = load(text.encode(), limits=Limits(part_rows=1000, block_bytes=700))
    assert loaded.names == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert loaded.frame["id"].to_list() == list(range(2500))


def test_progress_counts_bytes_then_rows(load: Load) -> None:
    data = b"a\n" + b"1\n" * 1000
    loaded = load(data)
    stages = [step.stage for step in loaded.progress]
    assert stages == sorted(stages, key=["read", "type", "profile"].index)
    last = {step.stage: (step.done, step.total, step.unit) for step in loaded.progress}
    assert last == {
        "read": (len(data), len(data), "bytes"),
        "type": (1000, 1000, "rows"),
        "profile": (1000, 1000, "rows"),
    }


def test_profile_is_of_all_rows(load: Load) -> None:
    loaded = load(b"x,w\n1,a\n2,bcd\n,\n6,e\n", limits=Limits(part_rows=2))
    x, word = loaded.profile["columns"]
    assert loaded.profile["rows"] == 4
    assert {name: x[name] for name in ("type", "count", "nulls", "min", "max", "mean")} == {
        "type": "Int64", "count": 3, "nulls": 1, "min": 1, "max": 6, "mean": 3.0,
    }  # fmt: skip
    assert x["std"] == pytest.approx(pl.Series([1, 2, 6]).std(), rel=1e-12)
    assert (word["lengths"]["min"], word["lengths"]["max"], word["nulls"]) == (1, 3, 1)
