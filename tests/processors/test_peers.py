"""Figures equal those of pandas, SciPy and scikit-learn to 1e-9, on random and adversarial columns, however cut."""

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pytest
from scipy import stats
from sklearn import preprocessing

from gristmill.processors import normal, ranks, values
from tests.processors.folder import by_name, process

ROWS = 6000
FRACTIONS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
Floats = npt.NDArray[np.float64]


def columns() -> dict[str, Floats]:
    """Columns that are easy to get wrong: far from 0, heavy tails, ties, few values, sorted, one giant, missing."""
    rng = np.random.default_rng(20)
    made = {
        "normal": rng.normal(size=ROWS),
        "far from 0": 1e5 + rng.normal(size=ROWS),
        "heavy tails": rng.standard_cauchy(size=ROWS),
        "lognormal": rng.lognormal(3, 2, size=ROWS),
        "ties": rng.integers(0, 5, ROWS).astype(np.float64),
        "nearly constant": np.where(np.arange(ROWS) == 4321, 1.0, 0.0),
        "sorted": np.sort(rng.uniform(size=ROWS)),
        "reversed": -np.arange(ROWS, dtype=np.float64),
        "one giant": np.where(np.arange(ROWS) == 17, 1e12, rng.normal(size=ROWS)),
        "tiny": rng.normal(size=ROWS) * 1e-70,
        "huge": rng.normal(size=ROWS) * 1e70,
        "two clusters": np.where(np.arange(ROWS) % 2 == 0, 1e6, -1e6) + rng.normal(size=ROWS),
        "whole": rng.integers(-(2**52), 2**52, ROWS).astype(np.float64),
    }
    missing = rng.normal(size=ROWS)
    missing[rng.uniform(size=ROWS) < 0.3] = np.nan
    return made | {"missing": missing}


COLUMNS = columns()
FRAME = pl.DataFrame(COLUMNS).with_columns(pl.col("missing").fill_nan(None), pl.col("whole").cast(pl.Int64))


def close(found: object, wanted: float) -> bool:
    return isinstance(found, int | float) and math.isclose(found, wanted, rel_tol=1e-9)


@pytest.fixture(params=["kept", "bracketed"])
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With all values kept, and with so few that quantiles take further passes."""
    if request.param == "bracketed":
        monkeypatch.setattr(values, "KEPT_VALUES", 256)
    return str(request.param)


@pytest.mark.parametrize("parts", [1, 3, 50])
def test_metrics_equal_pandas_and_scipy(parts: int, memory: str, tmp_path: Path) -> None:
    _, folder = process("metrics", FRAME, {}, tmp_path, parts=parts)
    report = by_name(folder.report)
    for name, array in COLUMNS.items():
        series = pd.Series(array).dropna()
        entry = report[name]
        wanted: dict[str, float] = {
            "count": series.count(),
            "mean": series.mean(),
            "std": series.std(),
            "variance": series.var(),
            "min": series.min(),
            "max": series.max(),
            "mad": float(stats.median_abs_deviation(series)),
            "iqr": float(stats.iqr(series)),
        }
        for figure, value in wanted.items():
            assert close(entry[figure], value), (name, figure, entry[figure], value)
        for fraction in FRACTIONS:
            assert close(entry["quantiles"][f"{fraction:.0%}"], float(series.quantile(fraction))), (name, fraction)
        counts, edges = np.histogram(series, bins=20)
        assert entry["histogram"]["counts"] == counts.tolist(), name
        assert entry["histogram"]["edges"] == pytest.approx(edges.tolist(), rel=1e-12)


@pytest.mark.parametrize("parts", [1, 3, 50])
def test_skew_and_kurtosis_equal_scipy(parts: int, tmp_path: Path) -> None:
    _, folder = process("metrics", FRAME, {}, tmp_path, parts=parts)
    report = by_name(folder.report)
    for name, array in COLUMNS.items():
        series = array[~np.isnan(array)]
        # Shapes near 0 are differences of large sums: their error is judged against the size of the shape's terms.
        assert report[name]["skew"] == pytest.approx(stats.skew(series), rel=1e-9, abs=1e-7), name
        assert report[name]["kurtosis"] == pytest.approx(stats.kurtosis(series), rel=1e-9, abs=1e-7), name


@pytest.mark.parametrize("parts", [1, 7])
def test_correlations_equal_numpy_over_the_rows_that_are_there(parts: int, tmp_path: Path) -> None:
    _, folder = process("metrics", FRAME, {}, tmp_path, parts=parts)
    names = folder.report["correlations"]["columns"]
    for one, row in zip(names, folder.report["correlations"]["pearson"], strict=True):
        for other, found in zip(names, row, strict=True):
            there = ~np.isnan(COLUMNS[one]) & ~np.isnan(COLUMNS[other])
            wanted = np.corrcoef(COLUMNS[one][there], COLUMNS[other][there])[0, 1]
            assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12), (one, other)


@pytest.mark.parametrize("parts", [1, 7])
def test_rank_correlations_equal_pandas(parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = process("metrics", FRAME, {"spearman": True}, tmp_path / "exact", parts=parts)
    found = np.array(folder.report["correlations"]["spearman"], dtype=np.float64)
    wanted = pd.DataFrame(COLUMNS).rank().corr().to_numpy()
    assert folder.report["correlations"]["spearman_accuracy"] == {"label": "exact"}
    assert np.allclose(found, wanted, rtol=1e-9, atol=1e-12)
    whole = [place for place, name in enumerate(COLUMNS) if name != "missing"]
    same = stats.spearmanr(pd.DataFrame(COLUMNS).drop(columns="missing")).statistic
    assert np.allclose(found[np.ix_(whole, whole)], same, rtol=1e-9, atol=1e-12)
    monkeypatch.setattr(ranks, "KEPT_VALUES", 1024)
    _, folder = process("metrics", FRAME, {"spearman": True}, tmp_path / "rough", parts=parts)
    accuracy = folder.report["correlations"]["spearman_accuracy"]
    assert accuracy["label"] == "approximate"
    # A rank is off by so much of all ranks on either side, and ranks have a standard deviation of 1 / sqrt(12) of them.
    slack = 2 * math.sqrt(12) * accuracy["ranks_off_by_at_most_a_share_of"]
    rough = np.array(folder.report["correlations"]["spearman"], dtype=np.float64)
    assert 0 < np.abs(rough - wanted).max() < slack < 0.5


def test_duplicates_and_frequencies_equal_pandas(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    frame = pl.DataFrame({"a": rng.integers(0, 9, 4000), "b": rng.choice(["x", "y", "zz", ""], 4000)})
    frame = frame.with_columns(pl.when(pl.col("a") == 3).then(None).otherwise(pl.col("a")).alias("a"))
    frame = frame.with_columns(pl.when(pl.col("b") == "").then(None).otherwise(pl.col("b")).alias("b"))
    _, folder = process("metrics", frame, {}, tmp_path, parts=5)
    other = pd.DataFrame(frame.to_dict(as_series=False))
    assert folder.report["dataset"]["duplicate_rows"] == {"value": int(other.duplicated().sum()), "label": "exact"}
    top = {entry["value"]: entry["count"] for entry in by_name(folder.report)["b"]["top_values"]}
    assert top == other["b"].value_counts().to_dict()


SCALERS: dict[str, Any] = {
    "zscore": preprocessing.StandardScaler(),
    "minmax": preprocessing.MinMaxScaler(feature_range=(-2, 5)),
    "robust": preprocessing.RobustScaler(),
    "maxabs": preprocessing.MaxAbsScaler(),
}


@pytest.mark.parametrize("parts", [1, 3, 50])
@pytest.mark.parametrize("method", SCALERS)
def test_scaling_equals_scikit_learn(method: str, parts: int, memory: str, tmp_path: Path) -> None:
    step = {"op": "scale", "method": method} | ({"range": [-2, 5]} if method == "minmax" else {})
    finished, folder = process("normalize", FRAME, {"steps": [step]}, tmp_path, parts=parts)
    wanted = SCALERS[method].fit_transform(pd.DataFrame(COLUMNS))
    assert finished.rows_out == ROWS
    for place, name in enumerate(COLUMNS):
        if name == "tiny":
            continue  # scikit-learn takes a spread below 2e-15 for a constant; see the edges
        found = folder.rows.get_column(name).to_numpy()
        # A centred value near 0 keeps the rounding of the center.
        assert np.allclose(found, wanted[:, place], rtol=1e-9, atol=1e-9, equal_nan=True), name


@pytest.mark.parametrize("parts", [1, 50])
def test_quantile_scaling_equals_scikit_learn(parts: int, tmp_path: Path) -> None:
    steps = [{"op": "scale", "method": "quantile"}]
    _, folder = process("normalize", FRAME, {"steps": steps}, tmp_path, parts=parts)
    assert folder.report["accuracy"] == "exact"
    for name, array in COLUMNS.items():
        there = array[~np.isnan(array)]
        peer = preprocessing.QuantileTransformer(n_quantiles=1000, subsample=None)
        wanted = peer.fit_transform(there.reshape(-1, 1))[:, 0]
        found = folder.rows.get_column(name).drop_nulls().to_numpy()
        assert np.allclose(found, wanted, rtol=1e-9, atol=1e-12), name


def test_quantile_scaling_in_tight_memory_is_labelled_and_as_good_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "KEPT_VALUES", 1024)
    steps = [{"op": "scale", "method": "quantile", "columns": ["normal"]}]
    _, folder = process("normalize", FRAME, {"steps": steps}, tmp_path, parts=9)
    assert folder.report["accuracy"] == "approximate"
    error = folder.report["steps"][0]["columns"][0]["error"]
    assert 0 < error < 0.05
    wanted = stats.rankdata(COLUMNS["normal"]) / ROWS
    assert np.abs(folder.rows["normal"].to_numpy() - wanted).max() < error + 2 / 256


def test_the_normal_distribution_equals_scipy() -> None:
    shares = np.concatenate([np.linspace(0, 1, 10_001), 10.0 ** -np.arange(300), 1 - 10.0 ** -np.arange(1.0, 16.0)])
    assert np.allclose(normal.at_share(shares), stats.norm.ppf(shares), rtol=1e-14, atol=1e-15)
    points = np.linspace(-9, 9, 1001)
    assert np.allclose(normal.share(points), stats.norm.cdf(points), rtol=1e-13, atol=0)


@pytest.mark.parametrize("parts", [1, 50])
def test_powers_equal_scikit_learn_and_are_at_least_as_likely(parts: int, memory: str, tmp_path: Path) -> None:
    names = [name for name in COLUMNS if name not in ("tiny", "nearly constant")]  # without a power to speak of
    step = {"op": "scale", "method": "power", "columns": names}
    _, folder = process("normalize", FRAME, {"steps": [step]}, tmp_path, parts=parts)
    for name, fitted in zip(names, folder.report["steps"][0]["columns"], strict=True):
        array = COLUMNS[name][~np.isnan(COLUMNS[name])]
        peer = preprocessing.PowerTransformer().fit(array[:, None])
        known, other = (stats.yeojohnson_llf(value, array) for value in (fitted["power"], peer.lambdas_[0]))
        found = folder.rows.get_column(name).drop_nulls().to_numpy()
        if name == "far from 0":  # so flat that rounding decides about the power: it has to leave the values apart
            assert len(set(found.tolist())) == len(array)
            continue
        assert known >= other - 1e-9 * len(array), name
        assert np.allclose(found, peer.transform(array[:, None])[:, 0], rtol=0, atol=1e-5), name


@pytest.mark.parametrize("parts", [1, 50])
def test_box_cox_equals_scikit_learn_and_comes_back(parts: int, memory: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    frame = pl.DataFrame(
        {"lognormal": rng.lognormal(1, 0.8, ROWS), "gamma": rng.gamma(2.0, 3.0, ROWS), "signed": rng.normal(size=ROWS)}
    )
    step = {"op": "scale", "method": "power", "transform": "box-cox"}
    _, folder = process("normalize", frame, {"steps": [step]}, tmp_path / "there", parts=parts)
    for name in ("lognormal", "gamma"):
        wanted = preprocessing.PowerTransformer(method="box-cox").fit_transform(frame[name].to_numpy()[:, None])[:, 0]
        assert np.allclose(folder.rows[name].to_numpy(), wanted, rtol=0, atol=1e-5), name
    assert folder.rows["signed"].equals(frame["signed"])
    assert any("not all values are positive" in warning for warning in folder.report["warnings"])
    document = msgspec.json.decode((folder.path / "fitted.json").read_bytes())
    back = process("normalize", folder.rows, {"fitted": document, "inverse": True}, tmp_path / "back")[1].rows
    assert np.allclose(back["gamma"].to_numpy(), frame["gamma"].to_numpy(), rtol=1e-9)


@pytest.mark.parametrize("keep", ["first", "last", "none"])
@pytest.mark.parametrize("parts", [1, 3, 40])
def test_dropping_duplicates_equals_pandas(keep: str, parts: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    frame = pl.DataFrame({"n": range(3000), "a": rng.integers(0, 40, 3000), "b": rng.choice([0.5, np.nan, 2.0], 3000)})
    step = {"op": "drop_duplicates", "subset": ["a", "b"], "keep": keep}
    finished, folder = process("normalize", frame, {"steps": [step]}, tmp_path, parts=parts)
    kept: Any = False if keep == "none" else keep
    other = pd.DataFrame(frame.to_dict(as_series=False)).drop_duplicates(subset=["a", "b"], keep=kept)
    assert folder.rows["n"].to_list() == other["n"].tolist()
    assert finished.rows_dropped == 3000 - len(other)


@pytest.mark.parametrize("strategy", ["mean", "median"])
def test_filling_equals_pandas(strategy: str, memory: str, tmp_path: Path) -> None:
    step = {"op": "fill_nulls", "strategy": strategy, "columns": ["missing"]}
    _, folder = process("normalize", FRAME, {"steps": [step]}, tmp_path, parts=4)
    series = pd.Series(COLUMNS["missing"])
    wanted = series.fillna(series.mean() if strategy == "mean" else series.median())
    assert np.allclose(folder.rows["missing"].to_numpy(), wanted, rtol=1e-9, atol=0)


@pytest.mark.parametrize("parts", [1, 3, 50])
@pytest.mark.parametrize("method", ["zscore", "modified_zscore", "iqr"])
def test_anomalies_equal_the_formulas(method: str, parts: int, memory: str, tmp_path: Path) -> None:
    _, folder = process("anomalies", FRAME, {"method": method}, tmp_path, parts=parts)
    frame = pd.DataFrame(COLUMNS)
    if method == "zscore":
        scores, threshold = (frame - frame.mean()).abs() / frame.std(), 3.0
    elif method == "modified_zscore":
        away = (frame - frame.median()).abs()
        mad, mean = away.median(), away.mean()
        scores, threshold = away / (mad / 0.6745).where(mad > 0, 1.253314 * mean), 3.5
    else:
        low, high = frame.quantile(0.25), frame.quantile(0.75)
        scores = (low - frame).where(low - frame > frame - high, frame - high) / (high - low).where(high > low)
        threshold = 1.5
    best = scores.max(axis=1)
    flagged = best[best > threshold]
    assert folder.rows["row_number"].to_list() == flagged.index.tolist()
    assert np.allclose(folder.rows["score"].to_numpy(), flagged, rtol=1e-9)
    assert folder.rows["column"].to_list() == scores.loc[flagged.index].idxmax(axis=1).tolist()
    counts = {entry["name"]: entry["below"] + entry["above"] for entry in folder.report["columns"]}
    assert counts == (scores > threshold).sum().to_dict()
