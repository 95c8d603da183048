"""NDJSON: the union of keys, types over all rows, exact numbers; a bad line is rejected where it stands."""

import gzip
import math
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.errors import BadData
from gristmill.ingest.options import Limits
from tests.ingest.folder import Load

CASES: dict[str, tuple[str, dict[str, list[Any]], dict[str, str]]] = {
    "plain": ('{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n', {"a": [1, 2], "b": ["x", "y"]}, {"a": "Int64", "b": "String"}),
    "no line end at the end": ('{"a":1}\n{"a":2}', {"a": [1, 2]}, {}),
    "CRLF and blank lines": ('{"a":1}\r\n\r\n{"a":2}\r\n\n', {"a": [1, 2]}, {}),
    "missing keys": ('{"a":1}\n{"b":true}\n', {"a": [1, None], "b": [None, True]}, {"b": "Boolean"}),
    "integers and floats": ('{"a":1}\n{"a":2.5}\n', {"a": [1.0, 2.5]}, {"a": "Float64"}),
    "exact integers": ('{"a":9007199254740993}\n{"a":0.5}\n', {"a": ["9007199254740993", "0.5"]}, {"a": "String"}),
    "big integers": ('{"a":1}\n{"a":9223372036854775808}\n', {"a": ["1", "9223372036854775808"]}, {}),
    "mixed": ('{"a":1}\n{"a":"x"}\n{"a":true}\n', {"a": ["1", "x", "true"]}, {}),
    "nested": ('{"a":{"b":[1]}}\n{"a":[2]}\n', {"a": ['{"b":[1]}', "[2]"]}, {}),
    "only nulls": ('{"a":null,"b":1}\n', {"a": [None], "b": [1]}, {"a": "String"}),
    "strings stay strings": ('{"a":"1"}\n{"a":""}\n', {"a": ["1", ""]}, {}),
    "reserved name": ('{"__gristmill_row__":1}\n', {"column_1": [1]}, {}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("block", [1, 8 * 1024 * 1024])
def test_table(load: Load, case: tuple[str, dict[str, list[Any]], dict[str, str]], block: int) -> None:
    text, columns, types = case
    loaded = load(text.encode(), "ndjson", limits=Limits(block_bytes=block))
    assert repr(loaded.frame.to_dict(as_series=False)) == repr(columns)
    found = {column.name: column.type for column in loaded.ingested.columns}
    assert {name: found[name] for name in types} == types
    assert loaded.ingested.rows_rejected == 0


def test_bad_lines_are_rejected_where_they_stand(load: Load) -> None:
    lines = [b'{"a":1}', b'{"a":', b"[1]", b'{"a":"\xff"}', b'{"a":NaN}', b"", b'{"a":1} x', b'{"a":1e999}', b'{"a":2}']
    loaded = load(b"\n".join(lines), "ndjson")
    assert loaded.rejected.select("line", "reason").rows() == [
        (2, "bad JSON"), (3, "not a JSON object"), (4, "bad encoding"), (5, "bad JSON"), (7, "bad JSON"),
        (8, "bad JSON"),
    ]  # fmt: skip
    assert loaded.rejected["raw"][0] == '{"a":'
    assert loaded.frame["a"].to_list() == [1, 2]


def test_deep_nesting_is_a_bad_line(load: Load) -> None:
    loaded = load(b'{"a":1}\n{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "ndjson")
    assert loaded.rejected["reason"].to_list() == ["bad JSON"]


def test_long_cells_and_rows_are_rejected(load: Load) -> None:
    limits = Limits(max_cell_bytes=100, max_row_bytes=1000, block_bytes=500)
    text = b'{"a":1}\n{"a":"' + b"x" * 101 + b'"}\n{"a":"' + b"y" * 3_000_000 + b'"}\n{"a":2}\n'
    loaded = load(text, "ndjson", limits=limits)
    assert loaded.rejected.select("line", "reason").rows() == [(2, "cell too long"), (3, "row too long")]
    assert loaded.frame["a"].to_list() == [1, 2]


def test_objects_without_keys_are_rows_but_no_table(load: Load) -> None:
    assert load(b'{}\n{"a":1}\n', "ndjson").frame.rows() == [(None,), (1,)]
    with pytest.raises(BadData, match="no columns"):
        load(b"{}\n{}\n", "ndjson")


def test_everything_text_and_compressed(load: Load) -> None:
    loaded = load(gzip.compress(b'{"a":1,"b":[1]}\n{"a":2.5}\n'), "ndjson", types="text")
    assert loaded.frame.schema == {"a": pl.String, "b": pl.String}
    assert loaded.ingested.warnings == ()


value = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
)
row = st.dictionaries(st.sampled_from(["a", "b", "c"]), value, max_size=3)
bad_line = st.sampled_from([b"{", b"[]", b"1", b'{"a":\xff}', b'{"a" 1}'])


@settings(max_examples=150, deadline=None)
@given(lines=st.lists(row.map(msgspec.json.encode) | bad_line, max_size=20), block=st.integers(1, 60))
def test_no_row_and_no_value_is_lost(load: Load, lines: list[bytes], block: int) -> None:
    lines = [b'{"a":null,"b":null,"c":null}', *lines]
    loaded = load(b"\n".join(lines), "ndjson", limits=Limits(block_bytes=block))
    assert loaded.ingested.rows_read == len(lines)
    good = [_object(line) for line in lines]
    expected = [found for found in good if found is not None]
    assert loaded.frame.height == len(expected)
    for loaded_row, sent in zip(loaded.frame.to_dicts(), expected, strict=True):
        for name in ("a", "b", "c"):
            assert _same(loaded_row[name], sent.get(name))


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) else None


def _same(loaded: Any, sent: Any) -> bool:
    """Equal, or the text of it."""
    if isinstance(loaded, str) and not isinstance(sent, str):
        as_json = msgspec.json.decode(loaded)
        return bool(as_json == sent) and math.copysign(1, as_json) == math.copysign(1, sent)
    return bool(loaded == sent) and (loaded is None) == (sent is None)
