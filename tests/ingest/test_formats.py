"""JSON arrays, Arrow files and streams, Excel workbooks: the table a reader sees in them, or a clear problem."""

import datetime as dt
import io
import json
import zipfile
from contextlib import suppress
from typing import Any

import openpyxl
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.errors import BadData, GristmillError, TooLarge, UnsupportedFormat
from gristmill.ingest import workbook_marks
from gristmill.ingest.json_array import NOT_CLOSED, JsonArray
from gristmill.ingest.options import Limits
from tests.ingest.folder import Load

AT = dt.datetime.fromisoformat
ARRAYS: dict[str, tuple[str, dict[str, list[Any]]]] = {
    "plain": ('[{"a":1,"b":"x"},{"a":2,"b":"y"}]', {"a": [1, 2], "b": ["x", "y"]}),
    "indented": (json.dumps([{"a": 1}, {"a": 2}], indent=2) + "\n", {"a": [1, 2]}),
    "CRLF": ('[\r\n  {"a": 1},\r\n  {"a": 2}\r\n]\r\n', {"a": [1, 2]}),
    "brackets, commas and quotes in strings": (
        json.dumps([{"a": '],[{"\\'}, {"a": "\\"}, {"a": "x,y"}]),
        {"a": ['],[{"\\', "\\", "x,y"]},
    ),
    "nested": ('[{"a":[1,{"b":2}],"c":{"d":[]}},{"a":[]}]', {"a": ['[1,{"b":2}]', "[]"], "c": ['{"d":[]}', None]}),
    "one element": (' [ {"a": 1} ] ', {"a": [1]}),
}


@pytest.mark.parametrize("block", [3, 8 * 1024 * 1024])
@pytest.mark.parametrize("case", ARRAYS.values(), ids=ARRAYS.keys())
def test_an_array_is_a_table(load: Load, case: tuple[str, dict[str, list[Any]]], block: int) -> None:
    text, columns = case
    loaded = load(text.encode(), "json", limits=Limits(block_bytes=block))
    assert loaded.frame.to_dict(as_series=False) == columns
    assert loaded.ingested.rows_rejected == 0


def test_bad_elements_are_rejected_by_their_number(load: Load) -> None:
    loaded = load(b'[{"a":1},\n{"a":},\n5,\n{"a":"x\ny"},{"a":2}] {"a":3}\n', "json")
    assert loaded.frame["a"].to_list() == [1, 2]
    assert loaded.rejected.select("line", "reason").rows() == [
        (2, "bad JSON"), (3, "not a JSON object"), (4, "bad JSON"), (6, "bad JSON"),
    ]  # fmt: skip
    assert loaded.rejected["raw"].to_list()[-1].strip() == '] {"a":3}'.replace(" ", "")
    assert loaded.ingested.rows_read == 6
    assert loaded.dialect["lines_are"] == "elements"


def test_a_cut_array_is_reported(load: Load) -> None:
    loaded = load(b'[{"a":1},{"a":2},{"a"', "json")
    assert loaded.frame["a"].to_list() == [1, 2]
    assert loaded.rejected["reason"].to_list() == ["bad JSON"]
    assert loaded.ingested.warnings == (NOT_CLOSED,)


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


json_value = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(alphabet='a"\\[]{},\n', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='k"\\', max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(json_value, max_size=6), size=st.integers(1, 9), indent=st.sampled_from([None, 1]))
def test_elements_are_cut_out_wherever_the_pieces_end(rows: list[Any], size: int, indent: int | None) -> None:
    array = JsonArray()
    text = b"".join(array.lines(iter(_pieces(json.dumps(rows, indent=indent).encode(), size))))
    assert [json.loads(line) for line in text.split(b"\n") if line.strip()] == rows
    assert array.closed


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(list('[]{}",\\\n a1')), max_size=40).map("".join), st.integers(1, 9))
def test_pieces_do_not_matter_to_any_text(text: str, size: int) -> None:
    whole, pieces = JsonArray(), JsonArray()
    data = b"[" + text.encode()
    assert b"".join(whole.lines(iter([data]))) == b"".join(pieces.lines(iter(_pieces(data, size))))
    assert whole.closed == pieces.closed


FRAME = pl.DataFrame(
    {
        "n": [1, None, 3],
        "x": [0.5, 1.5, None],
        "s": ["a", "bé", None],
        "d": [dt.date(2024, 1, 2), None, dt.date(2024, 3, 4)],
        "c": pl.Series(["u", "v", "u"], dtype=pl.Enum(["u", "v"])),
    }
)


def _arrow(frame: pl.DataFrame, *, stream: bool, **options: Any) -> bytes:
    file = io.BytesIO()
    if stream:
        frame.write_ipc_stream(file, **options)
    else:
        frame.write_ipc(file, **options)
    return file.getvalue()


@pytest.mark.parametrize("stream", [False, True], ids=["file", "stream"])
@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_arrow_is_a_table(load: Load, compression: str, stream: bool) -> None:
    loaded = load(_arrow(FRAME, stream=stream, compression=compression), "arrow")
    assert loaded.frame.rows() == FRAME.rows()
    assert loaded.frame.columns == FRAME.columns
    assert loaded.left_in_scratch == []


@pytest.mark.parametrize("stream", [False, True], ids=["file", "stream"])
def test_arrow_of_many_batches_and_parts(load: Load, stream: bool) -> None:
    frame = pl.concat([pl.DataFrame({"n": range(at, at + 100)}) for at in range(0, 1000, 100)], rechunk=False)
    loaded = load(_arrow(frame, stream=stream), "arrow", limits=Limits(part_rows=300))
    assert loaded.frame["n"].to_list() == list(range(1000))
    assert len(loaded.names) == 4


@pytest.mark.parametrize("stream", [False, True], ids=["file", "stream"])
def test_arrow_without_rows(load: Load, stream: bool) -> None:
    loaded = load(_arrow(FRAME.clear(), stream=stream), "arrow")
    assert loaded.frame.columns == FRAME.columns
    assert loaded.ingested.rows_read == 0


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 2000), stream=st.booleans(), flipped=st.integers(0, 255))
def test_a_damaged_arrow_file_is_a_clear_problem(load: Load, cut: int, stream: bool, flipped: int) -> None:
    data = bytearray(_arrow(FRAME, stream=stream, compression="uncompressed"))
    data[cut % len(data)] ^= flipped
    for damaged in (bytes(data), bytes(data[: cut % len(data)])):
        # What is damaged but still a table loads; all else is one of these.
        with suppress(BadData, TooLarge, UnsupportedFormat):
            load(damaged, "arrow")


def _book(*sheets: tuple[str, list[list[Any]]], merged: tuple[str, ...] = ()) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets:
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
        for place in merged:
            sheet.merge_cells(place)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


PEOPLE: list[list[Any]] = [
    ["id", "name", "x", "ok", "day", "at"],
    [1, "ada, a", 0.5, True, dt.date(2024, 1, 2), AT("2024-01-02T03:04:05")],
    [2, None, 3, False, dt.date(2024, 1, 3), AT("2024-01-03")],
]
BOOKS: dict[str, tuple[bytes, dict[str, Any], dict[str, list[Any]], list[str]]] = {
    "plain": (
        _book(("S", PEOPLE)),
        {},
        {
            "id": [1, 2],
            "name": ["ada, a", None],
            "x": [0.5, 3.0],
            "ok": [True, False],
            "day": [dt.date(2024, 1, 2), dt.date(2024, 1, 3)],
            "at": [AT("2024-01-02T03:04:05"), AT("2024-01-03")],
        },
        [],
    ),
    "title and blank rows": (
        _book(("S", [["Sales"], [], ["a", "b"], [1, 2], [], [3, 4]])),
        {},
        {"a": [1, 3], "b": [2, 4]},
        ["1 lines before the table (a title, notes) are left out"],
    ),
    "leading zeros": (
        _book(("S", [["zip"], ["00501"], ["10001"]])),
        {},
        {"zip": ["00501", "10001"]},
        ["column 1: 50.0 % of cells are numbers; it is kept as text"],
    ),
    "quotes and lines in cells": (_book(("S", [["a"], ['x "y"\nz'], ["w"]])), {}, {"a": ['x "y"\nz', "w"]}, []),
    "two sheets": (
        _book(("S", [["a"], [1]]), ("T", [["b"], [2]])),
        {},
        {"a": [1]},
        ["The workbook has 2 sheets: the first is read (sheet names another)"],
    ),
    "a sheet told": (_book(("S", [["a"], [1]]), ("T", [["b"], [2]])), {"sheet": "T"}, {"b": [2]}, []),
    "formulas that nobody computed": (
        _book(("S", [["a", "b"], [1, "=A2*2"], [3, "=A3*2"]])),
        {},
        {"a": [1, 3], "b": [None, None]},
        [
            "2 formulas have no stored value and are read as null (the first: B2): open the workbook in a spreadsheet "
            "program and save it"
        ],
    ),
    "cells merged downwards": (
        _book(("S", [["a", "b"], ["x", 1], [None, 2], [None, 3], ["y", 4]]), merged=("A2:A4",)),
        {},
        {"a": ["x", None, None, "y"], "b": [1, 2, 3, 4]},
        [
            "2 cells are merged with one above them and are read as null (the first: A2:A4): fill_nulls with the "
            "strategy forward fills them"
        ],
    ),
    "durations": (
        _book(("S", [["a"], [dt.timedelta(hours=25, minutes=30)], [dt.timedelta(seconds=1.5)]])),
        {},
        {"a": ["25:30:00", "0:00:01.500000"]},
        [],
    ),
    "an empty last cell": (_book(("S", [["a", "b"], [1, None], [3, 4]])), {}, {"a": [1, 3], "b": [None, 4]}, []),
}


@pytest.mark.parametrize("case", BOOKS.values(), ids=BOOKS.keys())
def test_a_workbook_is_a_table(load: Load, case: tuple[bytes, dict[str, Any], dict[str, list[Any]], list[str]]) -> None:
    data, options, columns, warnings = case
    loaded = load(data, "xlsx", **options)
    assert repr(loaded.frame.to_dict(as_series=False)) == repr(columns)
    assert list(loaded.ingested.warnings) == warnings
    assert loaded.ingested.rows_repaired == 0
    assert loaded.left_in_scratch == []


def _zip(**entries: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("__", "/"), content)
    return file.getvalue()


PLAIN = _book(("S", [["a"], [1]]))
BAD: dict[str, tuple[bytes, str, type[GristmillError], str]] = {
    "an object": (b'{"a": 1}\n', "json", UnsupportedFormat, "no array"),
    "a number": (b"5\n", "json", UnsupportedFormat, "does not begin with an array"),
    "an empty array": (b"[]", "json", BadData, "no columns"),
    "array declared ndjson": (b'[{"a": 1}]', "ndjson", UnsupportedFormat, "declare it json"),
    "workbook declared json": (PLAIN, "json", UnsupportedFormat, "Excel"),
    "workbook declared csv": (PLAIN, "csv", UnsupportedFormat, "Excel"),
    "text declared xlsx": (b"a,b\n1,2\n", "xlsx", UnsupportedFormat, "text"),
    "text declared arrow": (b"a,b\n1,2\n", "arrow", UnsupportedFormat, "text"),
    "Arrow declared parquet": (_arrow(FRAME, stream=False), "parquet", UnsupportedFormat, "Arrow IPC file"),
    "stream declared csv": (_arrow(FRAME, stream=True), "csv", UnsupportedFormat, "Arrow IPC stream"),
    "cut Arrow file": (_arrow(FRAME, stream=False)[:-3], "arrow", BadData, "truncated"),
    "cut Arrow stream": (_arrow(FRAME, stream=True)[:-30], "arrow", BadData, "truncated"),
    "cut workbook": (PLAIN[:-30], "xlsx", BadData, "corrupt"),
    "another archive": (_zip(readme=b"x"), "xlsx", BadData, "no Excel workbook"),
    "a workbook of nothing": (
        _zip(**{"[Content_Types].xml": b"<a/>", "xl__workbook.xml": b"<a/>"}),
        "xlsx",
        BadData,
        "corrupt",
    ),
    "a bomb": (
        _zip(**{"[Content_Types].xml": b"<a/>", "xl__worksheets__sheet1.xml": b" " * 80_000_000}),
        "xlsx",
        TooLarge,
        "max_expansion_ratio",
    ),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_a_clear_problem(load: Load, case: tuple[bytes, str, type[GristmillError], str]) -> None:
    data, declared, error, words = case
    with pytest.raises(error) as caught:
        load(data, declared)
    assert type(caught.value) is error
    assert words in caught.value.detail


def test_a_sheet_that_is_not_there(load: Load) -> None:
    with pytest.raises(BadData, match="no such sheet"):
        load(PLAIN, "xlsx", sheet="other")


@pytest.mark.parametrize("window", [64, 100, 1000])
def test_marks_of_a_sheet_are_found_across_windows(monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    monkeypatch.setattr(workbook_marks, "WINDOW_BYTES", window)
    cells = '<row><c r="A1"><v>1</v></c><c r="B1"><f>A1</f><v>1</v></c>'
    open_cells = '<c r="C1" s="1"><f t="shared" si="0"/></c><x:c r="D1"><x:f>A1</x:f><x:v /></x:c></row>'
    merged = '<mergeCells><mergeCell ref="A1:B1"/><mergeCell ref="C1:AA3"/></mergeCells>'
    marks = workbook_marks.find_marks(io.BytesIO((cells * 50 + open_cells * 50 + merged).encode()))
    assert marks == (100, "C1", 50, "C1:AA3")
