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
