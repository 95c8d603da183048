"""Detectors find labelled outliers as well as published, and equal formulas written independently."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pytest
from scipy import stats
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from gristmill.processors import values
from tests.processors.folder import by_name, process

Floats = npt.NDArray[np.float64]
ALL = {"threshold": 1e-12, "limit_rows": 1_000_000}
"""Every row whose score is above 0."""


def scores_of(method: str, frame: pl.DataFrame, path: Path, *, parts: int = 3, **params: object) -> Floats:
    """The score of every row; 0 for rows that are not flagged."""
    rows = process("anomalies", frame, ALL | {"method": method} | params, path, parts=parts)[1].rows
    found = np.zeros(frame.height)
    found[rows["row_number"].to_numpy()] = rows["score"].to_numpy()
    return found


@pytest.fixture(scope="module")
def shuttle() -> tuple[pl.DataFrame, Floats]:
    """Statlog shuttle as in ODDS: 49,097 rows, 3,511 of them anomalies."""
    spec = find_spec("river")
    assert spec is not None
    assert spec.origin is not None
    frame = pl.read_csv(Path(spec.origin).parent / "datasets" / "shuttle.csv.gz")
    return frame.drop("anomaly"), frame["anomaly"].to_numpy().astype(np.float64)


@pytest.mark.parametrize("method", ["hbos", "copod", "ecod", "modified_zscore"])
def test_shuttle(method: str, shuttle: tuple[pl.DataFrame, Floats], tmp_path: Path) -> None:
    frame, labels = shuttle
    assert (frame.height, labels.sum()) == (49_097, 3_511)
    assert roc_auc_score(labels, scores_of(method, frame, tmp_path)) >= 0.98


@pytest.mark.parametrize("method", ["hbos", "copod", "ecod"])
def test_breast_cancer(method: str, tmp_path: Path) -> None:
    data: Any = load_breast_cancer()
    chosen = np.concatenate([np.flatnonzero(data.target == 1), np.flatnonzero(data.target == 0)[:21]])
    frame = pl.DataFrame(data.data[chosen], schema=list(data.feature_names))
    assert frame.height == 357 + 21
    assert roc_auc_score(data.target[chosen] == 0, scores_of(method, frame, tmp_path)) >= 0.93


def adversarial() -> dict[str, Floats]:
    """Columns that are easy to get wrong: ties, heavy tails, one giant, few values, missing ones, both skews."""
    rng = np.random.default_rng(8)
    made = {
        "normal": rng.normal(size=3000),
        "right": rng.lognormal(2, 1, size=3000),
        "left": -rng.lognormal(2, 1, size=3000),
        "ties": rng.integers(0, 6, 3000).astype(np.float64),
        "one giant": np.where(np.arange(3000) == 17, 1e12, rng.normal(size=3000)),
        "huge": rng.normal(size=3000) * 1e70,
    }
    missing = rng.normal(size=3000)
    missing[rng.uniform(size=3000) < 0.3] = np.nan
    return made | {"missing": missing}


def hbos(column: Floats) -> Floats:
    seen = column[~np.isnan(column)]
    bins = round(len(seen) ** 0.5)
    counts, edges = np.histogram(seen, bins)
    places = np.clip(np.searchsorted(edges, column, side="right") - 1, 0, bins - 1)
    return np.where(np.isnan(column), np.nan, np.log(counts.max() / np.maximum(counts, 0.5)[places]))


def tails(column: Floats) -> tuple[Floats, Floats, Floats]:
    """-log of the left tail, of the right one, and of the one that the skewness points to."""
    seen = column[~np.isnan(column)]
    left = -np.log(stats.rankdata(column, "max", nan_policy="omit") / len(seen))
    right = -np.log(stats.rankdata(-column, "max", nan_policy="omit") / len(seen))
    return left, right, left if stats.skew(seen) < 0 else right


def copod(column: Floats) -> Floats:
    left, right, skewed = tails(column)
    return np.maximum(skewed, (left + right) / 2)


def ecod(column: Floats) -> Floats:
    left, right, skewed = tails(column)
    return np.maximum(skewed, np.maximum(left, right))


@pytest.mark.parametrize("parts", [1, 40])
@pytest.mark.parametrize("formula", [hbos, copod, ecod])
def test_scores_equal_formulas_written_independently(formula: Any, parts: int, tmp_path: Path) -> None:
    columns = adversarial()
    frame = pl.DataFrame(columns).with_columns(pl.col("missing").fill_nan(None))
    found = scores_of(formula.__name__, frame, tmp_path, parts=parts)
    wanted = pd.DataFrame({name: formula(column) for name, column in columns.items()}).mean(axis=1)
    assert np.allclose(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["zscore", "hbos", "ecod"])
@pytest.mark.parametrize("kept", [200_000, 256])
def test_contamination_flags_the_share_with_the_highest_scores(
    method: str, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame(adversarial()).with_columns(pl.col("missing").fill_nan(None))
    whole = scores_of(method, frame, tmp_path / "all")
    monkeypatch.setattr(values, "KEPT_VALUES", kept)
    params = {"method": method, "contamination": 0.02}
    folder = process("anomalies", frame, params, tmp_path / "share", parts=7)[1]
    if method == "ecod" and kept == 256:
        assert folder.report["accuracy"] == "approximate"
        assert 0 < by_name(folder.report)["normal"]["frequency_error"] < 0.1
        assert folder.report["rows_flagged"] <= 60
        return
    limit = np.sort(whole)[frame.height - 60 - 1]
    assert folder.report["threshold"] == pytest.approx(limit, rel=1e-12)
    assert folder.rows["row_number"].to_list() == np.flatnonzero(whole > limit).tolist()
    assert folder.report["rows_flagged"] <= 60
    assert folder.report["accuracy"] == "exact"


def test_infinite_values_are_flagged_and_gaps_are_not_judged(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0, float("inf"), None, float("nan"), 2.0, float("-inf")], "y": [None] * 7})
    frame = frame.with_columns(pl.col("y").cast(pl.Float64))
    for method in ("hbos", "copod", "ecod", "zscore"):
        for share in (0.4, 0.01):
            params = {"method": method, "contamination": share}
            folder = process("anomalies", frame, params, tmp_path / method / str(share), parts=2)[1]
            assert folder.rows["row_number"].to_list() == [2, 6]
            assert folder.report["degenerate_columns"] == ["y"]


def test_each_column_says_what_it_adds(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [*[0] * 50, 500], "b": [*range(51)], "text": ["x"] * 51})
    folder = process("anomalies", frame, {"method": "ecod", "contamination": 0.02}, tmp_path, parts=2)[1]
    row = folder.rows.row(0, named=True)
    assert (row["row_number"], row["bound"], row["text"]) == (50, None, "x")
    assert row["scores"] == pytest.approx({"a": np.log(51), "b": np.log(51)})
    assert row["score"] == pytest.approx(np.log(51))
    assert [entry["highest_in"] for entry in folder.report["columns"]] == [1, 0]


def test_columns_are_chosen_by_a_pattern(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x_1": [1.0, 2.0], "x_2": [1, 2], "x_3": ["a", "b"], "^x": [1.0, 2.0]})
    report = process("anomalies", frame, {"columns": {"regex": "^x_"}}, tmp_path)[1].report
    assert list(by_name(report)) == ["x_1", "x_2"]
