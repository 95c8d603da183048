"""Data at the edges gives figures or nulls, never a crash, a NaN in JSON, or a figure of something else."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from gristmill.processors import duplicates, frequencies, hashes
from tests.processors.folder import KINDS, by_name, columns_of, process

PARAMS: list[tuple[str, dict[str, Any]]] = [
    ("metrics", {}),
    ("anomalies", {"method": "modified_zscore"}),
    ("anomalies", {"method": "iqr", "contamination": 0.1}),
    ("anomalies", {"method": "hbos"}),
    ("anomalies", {"method": "zscore", "by": ["Größe 📏", "flag", "day"]}),
    ("anomalies", {"method": "seasonal", "time_column": "zoned", "season": "hour_of_week"}),
    ("anomalies", {"method": "rolling", "time_column": "zoned", "window": 2, "by": ["*"]}),
    ("anomalies", {"method": "rolling", "time_column": "day", "window": "3d", "contamination": 0.1}),
    ("anomalies", {"method": "isolation_forest", "trees": 7}),
    ("anomalies", {"method": "copod"}),
    ("anomalies", {"method": "ecod", "threshold": 0.5}),
    ("normalize", {"steps": [{"op": "drop_duplicates"}, {"op": "scale", "method": "quantile"}]}),
    (
        "normalize",
        {
            "steps": [
                {"op": "drop_duplicates"},
                {"op": "fill_nulls", "strategy": "median"},
                {"op": "fill_nulls", "strategy": "mode"},
                {"op": "clip", "quantiles": [0.05, 0.95]},
                {"op": "clean_text", "unicode": "NFC", "trim": True, "null_tokens": [""]},
                {"op": "scale", "method": "robust"},
            ]
        },
    ),
]
EACH = pytest.mark.parametrize(("kind", "params"), PARAMS)
MIXED = pl.DataFrame(
    {
        "x": [1.5, float("inf"), float("nan"), None, -2.0],
        "n": [2**63 - 1, -(2**63), 0, None, 1],
        "u": pl.Series([2**64 - 1, 0, 1, None, 5], dtype=pl.UInt64),
        "money": [Decimal("1.10"), Decimal("2.25"), None, Decimal("1.10"), Decimal("0.00")],
        "zoned": [datetime(2020, 1, 1, tzinfo=UTC)] * 4 + [None],
        "clock": [time(1), None, time(2), time(1), time(3)],
        "span": [timedelta(days=1), None, timedelta(0), timedelta(0), timedelta(-1)],
        "day": [date(2020, 2, 29), None, date(1, 1, 1), None, date(9999, 12, 31)],
        "category": pl.Series(["a", "b", None, "a", "b"], dtype=pl.Categorical),
        "flag": [True, None, False, True, True],
        "list": [[1], [2], None, [1, 2], []],
        "struct": [{"a": 1}, None, {"a": 2}, {"a": 1}, {"a": None}],
        "binary": [b"a", b"", None, b"\xff", b"a"],
        "empty": pl.Series([None] * 5, dtype=pl.Null),
        "Größe 📏": ["ä", "ö", None, "日本", ""],
        "^.*$": [1, 1, 1, 2, 3],
        "*": ["a", "a", "b", "b", None],
        "": [0.0, -0.0, 1.0, 2.0, None],
    },
    strict=False,
)


@EACH
@pytest.mark.parametrize("rows", [0, 1, 2, 5])
@pytest.mark.parametrize("parts", [1, 4])
def test_every_type_and_any_height(kind: str, params: dict[str, Any], rows: int, parts: int, tmp_path: Path) -> None:
    finished, folder = process(kind, MIXED.head(rows), params, tmp_path, parts=parts)
    assert finished.rows_in == rows == finished.rows_out + finished.rows_dropped
    if kind == "normalize":
        assert folder.rows.columns == MIXED.columns
        assert folder.rows.height == finished.rows_out


@EACH
def test_all_null_columns(kind: str, params: dict[str, Any], tmp_path: Path) -> None:
    frame = MIXED.clear(7)
    finished, folder = process(kind, frame, params, tmp_path, parts=2)
    assert finished.rows_in == 7
    assert folder.report["warnings"]


def test_whole_numbers_are_not_rounded(tmp_path: Path) -> None:
    frame = pl.DataFrame({"n": [2**63 - 1, 2**63 - 1, 2**63 - 3], "u": pl.Series([2**64 - 1] * 3, dtype=pl.UInt64)})
    _, folder = process("metrics", frame, {}, tmp_path, parts=3)
    entries = by_name(folder.report)
    assert entries["n"]["sum"] == 3 * 2**63 - 5
    assert (entries["n"]["min"], entries["n"]["max"]) == (2**63 - 3, 2**63 - 1)
    assert entries["u"]["sum"] == 3 * (2**64 - 1)


def test_figures_beyond_float64_are_null(tmp_path: Path) -> None:
    frame = pl.DataFrame({"wide": [-1.7e308, 1.7e308, 0.0], "tiny": [1e-150, 2e-150, 4e-150]})
    _, folder = process("metrics", frame, {}, tmp_path)
    entries = by_name(folder.report)
    assert entries["wide"]["std"] is None
    assert entries["wide"]["histogram"] is None
    assert entries["wide"]["quantiles"]["50%"] == 0.0
    assert entries["tiny"]["kurtosis"] is None
    assert entries["tiny"]["std"] == pytest.approx(1.5275252316519468e-150)


def test_a_tiny_spread_is_scaled_and_a_spread_beyond_float64_is_left_and_told(tmp_path: Path) -> None:
    frame = pl.DataFrame({"wide": [-1.7e308, 1.7e308], "tiny": [1e-150, 3e-150]})
    _, folder = process("normalize", frame, {"steps": [{"op": "scale", "method": "minmax"}]}, tmp_path)
    assert folder.rows["tiny"].to_list() == [0.0, 1.0]
    assert folder.rows["wide"].to_list() == [-1.7e308, 1.7e308]
    assert any("wide" in warning for warning in folder.report["warnings"])


def test_infinite_values_are_anomalies_and_no_part_of_the_fit(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0, 3.0, float("inf"), 2.0, float("-inf")]})
    _, folder = process("anomalies", frame, {"method": "zscore"}, tmp_path)
    assert folder.rows["row_number"].to_list() == [3, 5]
    assert folder.report["columns"][0]["values"] == 4


@EACH
def test_two_thousand_columns(kind: str, params: dict[str, Any], tmp_path: Path) -> None:
    frame = pl.DataFrame(np.random.default_rng(1).normal(size=(40, 2000)))
    frame = frame.with_columns(MIXED["zoned", "Größe 📏", "flag", "day", "*"][[0] * 40])
    finished, _ = process(kind, frame, params, tmp_path, parts=2)
    assert finished.rows_in == 40


def test_planning_thousands_of_columns_reads_no_data() -> None:
    columns = columns_of(pl.DataFrame(schema={f"c{place}": pl.Float64 for place in range(20_000)}))
    processor = KINDS["anomalies"]
    plan = processor.plan(columns, processor.Params(columns=tuple(column.name for column in columns)))
    assert len(plan.columns) == 20_000


def test_duplicates_that_do_not_fit_take_more_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    frame = pl.DataFrame({"n": range(5000), "a": rng.integers(0, 3000, 5000)})
    params = {"steps": [{"op": "drop_duplicates", "subset": ["a"]}]}
    whole = process("normalize", frame, params, tmp_path / "whole", parts=3)[1].rows
    monkeypatch.setattr(duplicates, "KEPT_ROWS", 300)
    _, folder = process("normalize", frame, params, tmp_path / "passes", parts=3)
    assert folder.rows.equals(whole)
    assert (folder.progress[-1].total or 0) == 5000
    assert max(seen.total or 0 for seen in folder.progress if seen.stage == "fit") > 5 * 5000


def test_many_values_are_approximate_and_labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frequencies, "KEPT", 512)
    monkeypatch.setattr(hashes, "KEPT", 1024)
    monkeypatch.setattr(hashes, "KEPT_ROWS", 1024)
    texts = [f"t{place % 4000}" for place in range(8000)] + ["often"] * 2000
    _, folder = process("metrics", pl.DataFrame({"s": texts}), {}, tmp_path, parts=7)
    entry = by_name(folder.report)["s"]
    error = entry["accuracy"]["distinct"]["relative_standard_error"]
    assert entry["distinct"] == pytest.approx(4001, rel=5 * error)
    assert entry["top_values"][0]["value"] == "often"
    short = entry["accuracy"]["top_values"]["too_low_by_at_most"]
    assert entry["top_values"][0]["count"] <= 2000 <= entry["top_values"][0]["count"] + short
    duplicates_found = folder.report["dataset"]["duplicate_rows"]
    assert duplicates_found["label"] == "sampled"
    assert duplicates_found["value"] == pytest.approx(5999, rel=0.3)


@EACH
@pytest.mark.parametrize("rows", [1, 30])
def test_constant_columns(kind: str, params: dict[str, Any], rows: int, tmp_path: Path) -> None:
    """Nothing stands out of a constant column, and it is scaled to 0."""
    frame = MIXED[[0] * rows].with_columns(pl.lit(0.1).alias("x"), pl.lit(2**53 + 1).alias("n"))
    finished, folder = process(kind, frame, params, tmp_path, parts=3)
    if kind == "anomalies":
        assert finished.rows_out == 0
        assert set(folder.report["degenerate_columns"]) >= {"x", "n", "u", "money"}
    if kind == "normalize":
        assert folder.rows["x"].to_list() == [0.0]
        assert folder.rows["n"].to_list() == [0.0]


def test_every_kind_is_tried_at_the_edges() -> None:
    assert {kind for kind, _ in PARAMS} == set(KINDS)
