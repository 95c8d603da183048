"""Fitted steps are a document: applied to other data it does the same, and numbers come back from it."""

import tempfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from sklearn import preprocessing

from tests.processors.folder import Folder, process

METHODS = ("zscore", "minmax", "robust", "maxabs", "quantile", "normal")


def document(folder: Folder) -> dict[str, Any]:
    return dict(msgspec.json.decode((folder.path / "fitted.json").read_bytes()))


def scale(method: str) -> dict[str, object]:
    if method == "normal":
        return {"op": "scale", "method": "quantile", "output": "normal"}
    return {"op": "scale", "method": method} | ({"range": [-3, 7]} if method == "minmax" else {})


def test_a_document_does_the_same_to_the_data_it_was_fitted_on(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "n": [1, 2, None, 2, 9],
            "f": [0.5, float("nan"), 2.0, float("nan"), -1e300],
            "day": [date(2020, 1, 1), None, date(2020, 1, 1), None, date(1960, 1, 1)],
            "at": [datetime(2020, 1, 1, 1, 2, 3, tzinfo=UTC), None, None, None, datetime(1960, 1, 1, tzinfo=UTC)],
            "money": [Decimal("1.10"), None, Decimal("1.10"), None, Decimal("2.00")],
            "flag": [True, None, True, None, False],
            "^.*$": ["a", None, "b", None, "a"],
        }
    )
    steps = [
        {"op": "clean_text", "case": "upper"},
        {"op": "drop_duplicates"},
        {"op": "fill_nulls", "strategy": "median", "columns": ["f"]},
        {"op": "clip", "quantiles": [0.05, 0.95]},
        {"op": "fill_nulls", "strategy": "mode"},
        {"op": "scale", "method": "robust", "columns": ["n", "f"]},
        {"op": "fill_nulls", "strategy": "drop"},
        {"op": "fill_nulls", "strategy": "constant", "value": "?", "columns": ["^.*$"]},
        {"op": "rename_columns"},
    ]
    first = process("normalize", frame, {"steps": steps}, tmp_path / "first", parts=2)
    again = process("normalize", frame, {"fitted": document(first[1])}, tmp_path / "again", parts=2)
    assert_frame_equal(again[1].rows, first[1].rows, check_exact=True)
    assert again[1].contents == first[1].contents
    assert again[0].rows_dropped == first[0].rows_dropped == 1


@pytest.mark.parametrize("method", [*METHODS, "power"])
def test_other_data_is_scaled_as_scikit_learn_does(method: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    train, other = rng.lognormal(3, 2, size=(2, 500, 3))
    peers: dict[str, Any] = {
        "zscore": preprocessing.StandardScaler(),
        "minmax": preprocessing.MinMaxScaler((-3, 7)),
        "robust": preprocessing.RobustScaler(),
        "maxabs": preprocessing.MaxAbsScaler(),
        "quantile": preprocessing.QuantileTransformer(n_quantiles=500),
        "normal": preprocessing.QuantileTransformer(n_quantiles=500, output_distribution="normal"),
        "power": preprocessing.PowerTransformer(),
    }
    peer = peers[method].fit(train)
    fitted = document(process("normalize", pl.DataFrame(train), {"steps": [scale(method)]}, tmp_path / "fit")[1])
    applied = process("normalize", pl.DataFrame(other), {"fitted": fitted}, tmp_path / "apply", parts=3)[1]
    # scikit-learn stops its search for a power, and cuts a normal value off, with an error of its own.
    near = {"power": 1e-6, "normal": 1e-9}.get(method, 1e-12)
    assert np.allclose(applied.rows.to_numpy(), peer.transform(other), rtol=1e-9, atol=near)
    params = {"fitted": fitted, "inverse": True}
    back = process("normalize", applied.rows, params, tmp_path / "back", parts=3)[1]
    if method not in ("quantile", "normal"):  # what lies beyond the fitted ends is cut off there
        assert np.allclose(back.rows.to_numpy(), other, rtol=1e-9)
    wanted = peer.inverse_transform(applied.rows.to_numpy())
    assert np.allclose(back.rows.to_numpy(), wanted, rtol=1e-5 if method == "power" else 1e-9)


NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda x: round(x, 4))
CELLS = st.lists(st.tuples(NUMBERS | st.none(), st.integers(-1000, 1000) | st.none()), min_size=1, max_size=40)


@settings(deadline=None, max_examples=25)
@given(CELLS, st.lists(st.sampled_from(METHODS), min_size=1, max_size=3), st.integers(1, 4))
def test_scaling_there_and_back_changes_nothing(
    rows: list[tuple[float | None, int | None]], methods: list[str], parts: int
) -> None:
    frame = pl.DataFrame(rows, schema={"f": pl.Float64, "n": pl.Int64}, orient="row")
    with tempfile.TemporaryDirectory() as folder:
        steps = [scale(method) for method in methods]
        there, made = process("normalize", frame, {"steps": steps}, Path(folder) / "there", parts=parts)
        params = {"fitted": document(made), "inverse": True}
        back, undone = process("normalize", made.rows, params, Path(folder) / "back", parts=parts)
        assert there.rows_out == back.rows_out == frame.height
        for name in ("f", "n"):
            wanted = frame.get_column(name).cast(pl.Float64)
            size = float(wanted.drop_nulls().abs().max() or 0.0)  # type: ignore[arg-type]
            for found, value in zip(undone.rows.get_column(name), wanted, strict=True):
                assert found == (None if value is None else pytest.approx(value, rel=1e-9, abs=1e-9 * size))


@settings(deadline=None, max_examples=25)
@given(CELLS, st.integers(1, 4))
def test_a_power_comes_back_unless_the_report_says_that_it_does_not(
    rows: list[tuple[float | None, int | None]], parts: int
) -> None:
    frame = pl.DataFrame(rows, schema={"f": pl.Float64, "n": pl.Int64}, orient="row")
    with tempfile.TemporaryDirectory() as folder:
        made = process("normalize", frame, {"steps": [scale("power")]}, Path(folder) / "there", parts=parts)[1]
        params = {"fitted": document(made), "inverse": True}
        undone = process("normalize", made.rows, params, Path(folder) / "back", parts=parts)[1]
        for fitted in made.report["steps"][0]["columns"]:
            if fitted["note"] in (None, "constant"):
                wanted, found = frame.get_column(fitted["column"]), undone.rows.get_column(fitted["column"])
                for one, other in zip(found, wanted, strict=True):
                    assert one == (None if other is None else pytest.approx(other, rel=1e-5, abs=1e-6))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 3) | st.none(), max_size=40), st.integers(1, 9))
def test_carrying_on_does_not_see_where_the_rows_are_cut(rows: list[int | None], parts: int) -> None:
    frame = pl.DataFrame({"n": pl.Series(rows, dtype=pl.Int64), "t": [None if n is None else f"t{n}" for n in rows]})
    frame = frame.cast({"t": pl.String})
    with tempfile.TemporaryDirectory() as folder:
        steps = [{"op": "fill_nulls", "strategy": "forward"}]
        made = process("normalize", frame, {"steps": steps}, Path(folder) / "one", parts=parts)[1]
        assert_frame_equal(made.rows, frame.select(pl.all().forward_fill()))
        # Other data has other last values: the document says what to do, not what to put in.
        other = process("normalize", frame.reverse(), {"fitted": document(made)}, Path(folder) / "two", parts=parts)[1]
        assert_frame_equal(other.rows, frame.reverse().select(pl.all().forward_fill()))


@settings(deadline=None, max_examples=25)
@given(CELLS, st.permutations(["drop_duplicates", "fill", "drop"]), st.integers(1, 4))
def test_rows_balance_step_by_step(rows: list[tuple[float | None, int | None]], order: list[str], parts: int) -> None:
    frame = pl.DataFrame(rows, schema={"f": pl.Float64, "n": pl.Int64}, orient="row")
    known: dict[str, dict[str, object]] = {
        "drop_duplicates": {"op": "drop_duplicates"},
        "fill": {"op": "fill_nulls", "strategy": "median", "columns": ["n"]},
        "drop": {"op": "fill_nulls", "strategy": "drop", "columns": ["f"]},
    }
    with tempfile.TemporaryDirectory() as folder:
        steps = [known[name] for name in order]
        finished, made = process("normalize", frame, {"steps": steps}, Path(folder), parts=parts)
        entries = made.report["steps"]
    assert finished.rows_in == frame.height == finished.rows_out + finished.rows_dropped
    left = frame.height
    for step in entries:
        assert step["rows_in"] == left == step["rows_out"] + step["rows_dropped"]
        left = step["rows_out"]
    assert left == finished.rows_out


def test_undoing_tells_what_it_leaves(tmp_path: Path) -> None:
    frame = pl.DataFrame({"X": [1.0, 1.0, 3.0, None]})
    steps = [{"op": "drop_duplicates"}, {"op": "fill_nulls", "strategy": "mean"}, {"op": "scale", "method": "zscore"}]
    steps.append({"op": "rename_columns"})
    made = process("normalize", frame, {"steps": steps}, tmp_path / "there")[1]
    params = {"fitted": document(made), "inverse": True}
    back = process("normalize", made.rows, params, tmp_path / "back")[1]
    assert back.rows["X"].to_list() == pytest.approx([1.0, 3.0, 2.0])
    assert [warning.split(" is ")[0] for warning in back.report["warnings"]] == [
        "Step 1 (fill_nulls)",
        "Step 0 (drop_duplicates)",
    ]
    assert "fitted.json" not in back.contents
