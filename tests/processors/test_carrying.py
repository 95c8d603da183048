"""Filling forward: what parts hand on to each other, and what is too wide for it."""

from pathlib import Path

import polars as pl
import pytest

from gristmill.errors import MemoryLimit
from tests.processors.folder import process

FORWARD = {"steps": [{"op": "fill_nulls", "strategy": "forward"}]}


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_columns_are_filled_group_by_group(tmp_path: Path, parts: int) -> None:
    """More than are looked at together, with and without gaps; a value is carried over parts that have none."""
    columns = {f"c{place}": [1.0, None, float("nan"), None, 2.0] for place in range(70)}
    frame = pl.DataFrame(columns | {"whole": range(5), "text": ["a", None, None, None, None], "none": [None] * 5})
    _, folder = process("normalize", frame, FORWARD, tmp_path, parts=parts)
    assert folder.rows["c0"].to_list() == folder.rows["c69"].to_list() == [1.0, 1.0, 1.0, 1.0, 2.0]
    assert folder.rows["text"].to_list() == ["a"] * 5
    assert folder.rows.select("whole", "none").equals(frame.select("whole", "none"))


def test_too_many_columns_with_gaps_are_refused_by_name_of_what_helps(tmp_path: Path) -> None:
    rows = 20_000
    gaps = pl.Series([None, *([1] * (rows - 1))], dtype=pl.Int8)
    whole = pl.Series([1] * rows, dtype=pl.Int8)
    many = pl.DataFrame({f"c{place}": gaps for place in range(500)})
    with pytest.raises(MemoryLimit, match="EXECUTOR_MEMORY_MB"):
        process("normalize", many, FORWARD, tmp_path / "many")
    # Where few of them miss anything, or rows are few, it goes on.
    process("normalize", many.with_columns(pl.lit(whole).alias(f"c{at}") for at in range(400)), FORWARD, tmp_path / "a")
    process("normalize", many.head(100), FORWARD, tmp_path / "b")
