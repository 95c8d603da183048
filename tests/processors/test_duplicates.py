"""`drop_duplicates` keeps what Polars' own `unique` keeps, also where one pass can hold few of the rows."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gristmill.processors import duplicates
from gristmill.processors.duplicates import Keep
from tests.processors.folder import process

ROWS = 20_000


@pytest.mark.parametrize("keep", [Keep.FIRST, Keep.LAST, Keep.NONE])
@pytest.mark.parametrize("kept_rows", [500, ROWS])
def test_beside_polars(keep: Keep, kept_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "KEPT_ROWS", kept_rows)
    rng = np.random.default_rng(7)
    frame = pl.DataFrame({"a": rng.integers(0, 3000, ROWS), "b": rng.integers(0, 3, ROWS)})
    finished, folder = process(
        "normalize", frame, {"steps": [{"op": "drop_duplicates", "keep": keep.value}]}, tmp_path, parts=7
    )
    expected = frame.unique(keep=keep.value, maintain_order=True)
    assert folder.rows.equals(expected)
    assert finished.rows_dropped == ROWS - expected.height > 0
    assert folder.report["steps"][0]["rows_dropped"] == finished.rows_dropped


@pytest.mark.parametrize("keep", list(Keep))
def test_a_wide_table_is_hashed_group_by_group(keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows that differ in a single column of 70, whichever it is, are different; in batches and parts, too."""
    monkeypatch.setattr(duplicates, "HASHED_ROWS", 30)
    first = {f"c{place:02}": ["x", None, "x", "y"] if place % 2 else [1, None, 1, 2] for place in range(70)}
    alike = pl.DataFrame(first)
    others = [
        alike.head(1).with_columns(pl.lit("other" if place % 2 else 7).cast(kind).alias(name))
        for place, (name, kind) in enumerate(alike.schema.items())
    ]
    frame = pl.concat([alike, *others, alike])
    finished, folder = process(
        "normalize", frame, {"steps": [{"op": "drop_duplicates", "keep": keep.value}]}, tmp_path, parts=2
    )
    assert folder.rows.equals(frame.unique(keep=keep.value, maintain_order=True))
    assert finished.rows_out == {Keep.FIRST: 73, Keep.LAST: 73, Keep.NONE: 70}[keep]
