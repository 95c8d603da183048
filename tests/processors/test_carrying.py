"""Filling forward: what parts hand on to each other, and how the columns of a wide table are filled."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from polars import selectors as cs
from polars.testing import assert_frame_equal

from gristmill.processors import carrying
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


KINDS: dict[str, list[object]] = {
    "text": [None, "a" * 20, None, None, "é", None],
    "float": [1.5, float("nan"), None, float("inf"), None, None],
    "decimal": [None, Decimal("1.10"), None, None, Decimal("2.25"), None],
    "time": [None, None, dt.datetime(2026, 1, 1), None, None, None],  # noqa: DTZ001
    "truth": [True, None, False, None, None, None],
    "list": [None, ["x"], None, [], None, None],
    "struct": [None, {"a": "b", "n": 1}, None, None, None, None],
    "^odd$": [None, 1, None, 2, None, None],
    "none": [None] * 6,
}


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("batch", [1, 2, 100])
def test_a_row_of_last_values_does_as_polars_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int, batch: int
) -> None:
    """The way for many columns, on columns of all types, in batches of so many rows."""
    frame = pl.DataFrame(KINDS).with_columns(pl.int_range(pl.len()).alias("whole"))
    monkeypatch.setattr(carrying, "SIDE_BY_SIDE", 0)
    monkeypatch.setattr(carrying, "BATCH_CELLS", 2 * batch * (frame.width + 1))
    _, folder = process("normalize", frame, FORWARD, tmp_path / "one", parts=parts)
    expected = frame.with_columns(cs.float().fill_nan(None)).select(pl.all().forward_fill())
    assert_frame_equal(folder.rows, expected)
    # What comes before drops rows, and what comes after looks at some columns alone.
    steps = [{"op": "drop_duplicates", "subset": ["truth"]}, *FORWARD["steps"], {"op": "scale", "method": "minmax"}]
    _, folder = process("normalize", frame, {"steps": steps}, tmp_path / "two", parts=parts)
    left = frame.unique("truth", keep="first", maintain_order=True).with_columns(cs.float().fill_nan(None))
    assert folder.rows["text"].to_list() == left.get_column("text").forward_fill().to_list()
    assert folder.rows["whole"].to_list() == [0.0, 0.5, 1.0]


def test_all_columns_of_a_wide_table_may_have_gaps(tmp_path: Path) -> None:
    frame = pl.DataFrame({f"c{place}": [None, place, None, -place, None] for place in range(500)})
    _, folder = process("normalize", frame, FORWARD, tmp_path, parts=2)
    assert_frame_equal(folder.rows, frame.select(pl.all().forward_fill()))
