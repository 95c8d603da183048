"""Promise: the type of a page is the one that `Accept` likes best, and every reader reads it."""

import csv
import io

import polars as pl
import pytest

from gristmill.api.tables import TableType, encoded, wanted_type
from gristmill.errors import NotAcceptable


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, TableType.JSON),
        ("", TableType.JSON),
        ("*/*", TableType.JSON),
        ("text/csv", TableType.CSV),
        ("TEXT/CSV; charset=utf-8", TableType.CSV),
        ("application/*", TableType.JSON),
        ("application/*;q=0.5, text/csv;q=0.4", TableType.JSON),
        ("application/json;q=0.1, */*", TableType.NDJSON),
        ("text/html, */*;q=0.1", TableType.JSON),
        ("application/json; q=0, */*", TableType.NDJSON),
        ("application/vnd.apache.arrow.stream, text/csv;q=0.9", TableType.ARROW),
        ("application/x-ndjson,,", TableType.NDJSON),
    ],
)
def test_the_best_liked_type_is_told(accept: str | None, kind: TableType) -> None:
    assert wanted_type(accept) is kind


@pytest.mark.parametrize("accept", ["text/html", "*/*;q=0", "json", "text/csv;q=0.000", "application/jsonl"])
def test_a_type_that_is_not_ours_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="text/csv"):
        wanted_type(accept)


def test_csv_keeps_its_rows_and_fields_apart() -> None:
    frame = pl.DataFrame({'a"b': ["x,y", "two\nlines", 'say "so"', "", None], "": [None, "", "z", "\r", " "]})
    found = list(csv.reader(io.StringIO(encoded(frame, TableType.CSV).decode(), newline="")))
    assert found == [list(frame.columns), *([value or "" for value in row] for row in frame.rows())]
    lone = list(csv.reader(io.StringIO(encoded(pl.DataFrame({"a": [1, None]}), TableType.CSV).decode(), newline="")))
    assert lone == [["a"], ["1"], [""]]
    assert encoded(frame.clear(), TableType.CSV) == b'"a""b",""\r\n'
    assert encoded(frame.clear(), TableType.NDJSON) == b""
