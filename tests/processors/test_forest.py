"""The isolation forest ranks as scikit-learn's does, is the same for the same seed, and says which columns it was."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from gristmill.processors import forest
from tests.processors.folder import by_name, process
from tests.processors.test_detectors import shuttle

__all__ = ["shuttle"]
Floats = npt.NDArray[np.float64]
EVERY = {"method": "isolation_forest", "threshold": 1e-12, "limit_rows": 1_000_000}


def breast_cancer() -> tuple[pl.DataFrame, Floats]:
    """Benign and the first 21 malignant, as in Goldstein and Uchida (2016)."""
    data: Any = load_breast_cancer()
    chosen = np.concatenate([np.flatnonzero(data.target == 1), np.flatnonzero(data.target == 0)[:21]])
    return pl.DataFrame(data.data[chosen], schema=list(data.feature_names)), data.target[chosen] == 0


def scores(frame: pl.DataFrame, path: Path, parts: int = 3, **params: object) -> Floats:
    rows = process("anomalies", frame, EVERY | params, path, parts=parts)[1].rows
    assert rows.height == frame.height
    found: Floats = rows["score"].to_numpy()
    return found


def peers(frame: pl.DataFrame) -> Floats:
    """The mean score of scikit-learn's forests over seeds."""
    values = frame.to_numpy()
    made = [IsolationForest(random_state=seed).fit(values).score_samples(values) for seed in range(3)]
    found: Floats = -np.mean(made, axis=0)
    return found


def test_breast_cancer(tmp_path: Path) -> None:
    frame, labels = breast_cancer()
    peer = peers(frame)
    for seed in range(3):
        own = scores(frame, tmp_path / str(seed), seed=seed)
        assert roc_auc_score(labels, own) >= roc_auc_score(labels, peer) - 0.015
        # Forests of one library and different seeds differ as much.
        assert np.corrcoef(own, peer)[0, 1] > 0.97
        assert own.mean() == pytest.approx(peer.mean(), abs=0.01)


def test_shuttle(shuttle: tuple[pl.DataFrame, Floats], tmp_path: Path) -> None:
    frame, labels = shuttle
    assert roc_auc_score(labels, scores(frame, tmp_path)) >= 0.99


def test_the_parts_do_not_matter_and_the_seed_does(tmp_path: Path) -> None:
    frame, _ = breast_cancer()
    own = scores(frame, tmp_path / "one", parts=1)
    assert np.array_equal(own, scores(frame, tmp_path / "many", parts=9))
    assert not np.array_equal(own, scores(frame, tmp_path / "other", seed=1))


def test_the_path_length_of_the_paper() -> None:
    assert [forest.path_length(size) for size in (0, 1, 2)] == [0, 0, 1]
    assert forest.path_length(256) == pytest.approx(10.244770920116851, rel=1e-12)


@pytest.mark.parametrize("columns", [2, 9])
def test_contributions_add_up_to_the_score(columns: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    frame = pl.DataFrame(rng.normal(size=(2000, columns)), schema=[f"c{place}" for place in range(columns)])
    frame = frame.with_columns(c1=pl.when(pl.int_range(pl.len()) == 77).then(40.0).otherwise("c1"))
    folder = process("anomalies", frame, EVERY, tmp_path, parts=3)[1]
    added = folder.rows["scores"].struct.unnest().sum_horizontal().to_numpy()
    start = folder.report["contributions_start_from"]
    assert np.allclose(start + added, np.log2(folder.rows["score"].to_numpy()), rtol=1e-9)
    assert folder.rows.row(77, named=True)["column"] == "c1"
    highest = [entry["highest_in"] for entry in folder.report["columns"]]
    assert sum(highest) == 2000


def test_gaps_infinities_and_constants(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    frame = pl.DataFrame({"a": rng.normal(size=500), "b": rng.normal(size=500), "flat": [7] * 500})
    number = pl.int_range(pl.len())
    frame = frame.with_columns(
        a=pl.when(number == 5).then(None).when(number == 6).then(float("nan")).otherwise("a"),
        b=pl.when(number == 9).then(float("-inf")).otherwise("b"),
    )
    folder = process("anomalies", frame, {"method": "isolation_forest", "contamination": 0.01}, tmp_path, parts=2)[1]
    report, rows = folder.report, folder.rows
    assert report["accuracy"] == "sampled"
    assert report["sample"] == {"rows": 497, "rows_of_a_tree": 256, "trees": 100, "seed": 0}
    assert report["degenerate_columns"] == ["flat"]
    assert report["rows_not_judged"] == 2
    assert any(warning.startswith("2 rows miss a value") for warning in report["warnings"])
    assert rows.height == 4
    infinite = rows.filter(pl.col("row_number") == 9).row(0, named=True)
    assert (infinite["score"], infinite["column"], infinite["bound"]) == (float("inf"), "b", None)
    assert by_name(report)["flat"]["highest_in"] == 0


def test_the_sample_is_capped_by_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forest, "MOST_CELLS", 600)
    frame = pl.DataFrame({"a": np.random.default_rng(4).normal(size=5000)})
    one = process("anomalies", frame, EVERY, tmp_path / "one", parts=1)[1]
    many = process("anomalies", frame, EVERY, tmp_path / "many", parts=11)[1]
    assert one.report["sample"]["rows"] == 600
    assert one.contents == many.contents
