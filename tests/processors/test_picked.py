"""Rows that are picked out of many keep nothing of those they were picked from."""

import numpy as np
import polars as pl

from gristmill.processors.contract import ROW
from gristmill.processors.flagging import picked


def test_texts_are_as_they_were() -> None:
    texts = ["", "a", "not a short text, which has its place elsewhere", None, "ü" * 20, "\0"]
    frame = pl.DataFrame({ROW: pl.Series(range(6), dtype=pl.UInt64), "text": texts, "^.*$": texts, "*": range(6)})
    found = picked(frame.lazy(), np.array([1, 3, 4], dtype=np.uint64)).collect()
    assert found.equals(frame[[1, 3, 4]])
    assert found.schema == frame.schema


def test_bytes_and_nested_texts_are_as_they_were() -> None:
    texts = ["", "a", None, "not a short text, which has its place elsewhere", "ü" * 20, "\0"]
    raw = [None if text is None else text.encode() + b"\xff" for text in texts]
    frame = pl.DataFrame({ROW: pl.Series(range(6), dtype=pl.UInt64), "raw": raw}).with_columns(
        pl.Series("lists", [None if text is None else [text, None, text] for text in texts]),
        pl.Series("empty", [[]] * 6, dtype=pl.List(pl.Binary)),
        pl.Series("arrays", [None if text is None else [text, "b"] for text in texts], dtype=pl.Array(pl.String, 2)),
        pl.Series("deep", [[[text], None] for text in texts], dtype=pl.List(pl.List(pl.String))),
        pl.Series("structs", [None if text is None else {"*": text, "^n$": 1, "r": [text]} for text in texts]),
        pl.Series("inside", [[{"a": item}] for item in raw]),
    )
    for numbers in ([0, 2, 3, 4, 5], [], [2]):
        found = picked(frame.lazy(), np.array(numbers, dtype=np.uint64)).collect()
        assert found.equals(frame[numbers])
        assert found.schema == frame.schema


def test_what_is_picked_holds_nothing_else() -> None:
    """Measured by what the frame takes with all that its buffers hold, written as they are."""
    long = [f"{place:06d}" * 100 for place in range(2000)]
    texts = pl.DataFrame({ROW: pl.Series(range(2000), dtype=pl.UInt64), "text": long})
    frame = texts.with_columns(
        pl.col("text").cast(pl.Binary).alias("raw"),
        pl.concat_list("text", "text").alias("list"),
        pl.struct("text").alias("struct"),
    )
    found = picked(frame.lazy(), np.array([7, 900], dtype=np.uint64)).collect()
    assert found.estimated_size() < 20_000
