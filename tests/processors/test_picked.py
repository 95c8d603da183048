"""Rows that are picked out of many keep nothing of those they were picked from."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest

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


@pytest.mark.parametrize(
    "made",
    [
        pl.col("text"),
        pl.col("text").cast(pl.Binary),
        pl.concat_list("text"),
        pl.concat_list("text").cast(pl.Array(pl.String, 1)),
        pl.struct("text"),
    ],
    ids=["text", "bytes", "list", "array", "struct"],
)
def test_what_is_picked_holds_nothing_else(made: pl.Expr, tmp_path: Path) -> None:
    """20 MB of texts, one in a hundred picked. Within a struct, Polars writes all of the buffers that a text is in."""
    texts = pl.select(
        pl.int_range(200_000, dtype=pl.UInt64).alias(ROW),
        pl.int_range(200_000).cast(pl.String).str.pad_start(100, "0").alias("text"),
    )
    texts.select(ROW, made.alias("made")).write_parquet(tmp_path / "texts.parquet")
    found = picked(pl.scan_parquet(tmp_path / "texts.parquet"), np.arange(0, 200_000, 100, dtype=np.uint64))
    written = io.BytesIO()
    found.collect(engine="streaming").select(pl.struct("made")).write_ipc_stream(written)
    assert 200_000 < len(written.getvalue()) < 2_000_000
