"""Every record of a CSV text is loaded as Python's csv reads it, or rejected; both readers agree; nothing is lost."""

import csv
import dataclasses
import io
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.errors import BadData
from gristmill.ingest.csv_blocks import find_records, keep, parse
from gristmill.ingest.csv_records import Dialect, Record, records
from gristmill.ingest.options import Limits
from tests.ingest.folder import Load

HEADER = b"a,b,c\n"
DIALECT = Dialect(b",", b'"', 1024)
FRAGMENTS = [
    "a",
    "1",
    ",",
    ",",
    "\n",
    "\n",
    "\r\n",
    '"',
    '"',
    '""',
    " ",
    "é",
    "\ufeff",
    "\f",
    ",,",
    '"x",',
    '"y\nz"',
    "1,2,3\n",
]

ragged_text = st.lists(st.sampled_from(FRAGMENTS), max_size=60).map("".join).map(str.encode)
cell = st.text(alphabet='ab1é," \n', max_size=6)
regular_rows = st.lists(st.lists(cell, min_size=3, max_size=3), max_size=20)


def _good(record: Record) -> bool:
    return record.cells is not None and bool(record.cells)


@settings(max_examples=300, deadline=None)
@given(ragged_text)
def test_records_cover_the_text_and_read_as_csv_does(text: bytes) -> None:
    found = list(records(text, 0, DIALECT, final=True))
    assert b"".join(text[record.start : record.end] for record in found) == text
    for record in filter(_good, found):
        raw = text[record.start : record.end].decode()
        assert list(csv.reader(io.StringIO(raw, newline=""))) == [record.cells]


@settings(max_examples=150, deadline=None)
@given(text=ragged_text, block=st.integers(1, 40))
def test_rows_are_conserved_whatever_the_blocks(load: Load, text: bytes, block: int) -> None:
    good = b"1,2,3\n"  # one row that is never rejected, so that the dataset does not fail
    options: dict[str, Any] = {"header": True, "delimiter": ",", "types": "text", "skip_footer": 0}
    whole = load(HEADER + good + text, **options)
    in_blocks = load(HEADER + good + text, limits=Limits(block_bytes=block), **options)
    assert whole.frame.equals(in_blocks.frame)
    assert whole.rejected.equals(in_blocks.rejected)
    padded = any(told.startswith("Quotes stand after a space") for told in whole.ingested.warnings)
    dialect = dataclasses.replace(DIALECT, padded=padded)
    rows = [record for record in records(good + text, 0, dialect, final=True) if not record.blank]
    assert whole.ingested.rows_read == len(rows)
    expected = [_padded(record.cells) for record in rows if record.cells is not None and not any(record.cells[3:])]
    assert whole.frame.rows() == expected


def test_a_mark_after_a_blank_line_is_data_in_any_block(load: Load) -> None:
    """Polars drops a byte order mark from the beginning of what it is given."""
    text = HEADER + b"a1,2,3\n\n\xef\xbb\xbf1,2,3\n"
    for block in (13, 1000):
        loaded = load(text, header=True, delimiter=",", types="text", limits=Limits(block_bytes=block))
        assert loaded.frame["a"].to_list() == ["a1", "\ufeff1"]


def _padded(cells: list[str]) -> tuple[str | None, ...]:
    filled = [value or None for value in cells[:3]]
    return tuple(filled + [None] * (3 - len(filled)))


@settings(max_examples=150, deadline=None)
@given(
    rows=regular_rows,
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_csv_writes_is_loaded_unchanged(load: Load, rows: list[list[str]], quoting: int, line_end: str) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, quoting=quoting, lineterminator=line_end).writerows([["a", "b", "c"], *rows])  # type: ignore[arg-type]
    loaded = load(file.getvalue().encode(), delimiter=",", header=True, types="text", skip_footer=0)
    assert loaded.rejected.height == 0
    assert loaded.frame.rows() == [_padded(row) for row in rows]


@settings(max_examples=200, deadline=None)
@given(ragged_text)
def test_fast_reader_agrees_with_the_careful_one(text: bytes) -> None:
    layout = find_records(text, DIALECT, 3)
    careful = list(records(text[: layout.end], 0, DIALECT, final=True))
    assert [(record.start, record.end) for record in careful] == list(zip(layout.starts, layout.ends, strict=True))
    regular = ~(layout.blank | layout.careful)
    frame = parse(keep(text, layout), DIALECT, ["a", "b", "c"])
    if frame is not None and not keep(text, layout).startswith("\ufeff".encode()):
        expected = [_padded(record.cells or []) for record, fine in zip(careful, regular, strict=True) if fine]
        assert frame.rows() == expected


def test_a_stray_quote_costs_one_line_of_many(load: Load) -> None:
    lines = [b"%d,x,y" % place for place in range(20_000)]
    lines[7] = b'7,"x,y'
    lines[15_000] = b'15000,"q","z"'
    limits = Limits(max_cell_bytes=1000, block_bytes=50_000)
    loaded = load(HEADER + b"\n".join(lines) + b"\n", limits=limits)
    assert loaded.rejected.rows() == [(9, 2, "unclosed quote", '7,"x,y')]
    assert loaded.frame["a"].to_list() == [place for place in range(20_000) if place != 7]


def test_long_cells_and_rows_are_rejected(load: Load) -> None:
    limits = Limits(max_cell_bytes=100, max_row_bytes=5000, block_bytes=1000)
    long_cell, long_row = b"x" * 101, b"y" * 3_000_000
    text = (
        b"1,2,"
        + long_cell
        + b"\n"
        + b'4,"'
        + long_cell * 3
        + b'",6\n'
        + long_row
        + b"\n7,8,9\n"
        + b'1,"'
        + long_cell[1:]
        + b'",2\n'
    )
    loaded = load(HEADER + text, limits=limits)
    assert loaded.rejected.select("line", "column", "reason").rows() == [
        (2, 3, "cell too long"),
        (3, 2, "cell too long"),
        (4, None, "row too long"),
    ]
    assert loaded.frame["a"].to_list() == [7, 1]


def test_the_last_cell_of_a_long_column_decides_its_type(load: Load) -> None:
    text = b"n\n" + b"".join(b"%d\n" % place for place in range(300_000)) + b"x\n"
    loaded = load(text, limits=Limits(block_bytes=100_000, part_rows=100_000))
    assert loaded.frame.schema == {"n": pl.String}
    assert loaded.frame["n"].null_count() == 0
    assert loaded.frame["n"].to_list() == [str(place) for place in range(300_000)] + ["x"]
    assert loaded.ingested.warnings == ("column 1: 99.9 % of cells are numbers; it is kept as text",)


def test_big_integers_seen_before_the_first_decimal_stay_exact(load: Load) -> None:
    text = b"n\n" + b"9007199254740993\n" * 50_000 + b"0.5\n"
    loaded = load(text, limits=Limits(block_bytes=100_000))
    assert loaded.frame["n"].to_list() == ["9007199254740993"] * 50_000 + ["0.5"]


def test_rejects_are_many_and_kept(load: Load) -> None:
    text = HEADER + b"1,2,3\n" + b"1,2,3,4\n" * 25_000
    loaded = load(text)
    assert loaded.rejected["line"].to_list() == list(range(3, 25_003))
    with pytest.raises(BadData, match="max_rejected"):
        load(text, max_rejected=0.5)
