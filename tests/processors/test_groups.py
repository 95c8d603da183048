"""Rows are judged among their like: by columns, and by the phase of a season."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from gristmill.errors import BadData
from gristmill.processors import grouping, values
from tests.processors.folder import process

ROWS = 4000


def grouped() -> pl.DataFrame:
    """Groups of different centre and spread, one of a single row, one constant, and rows without a group."""
    rng = np.random.default_rng(6)
    names = rng.choice(["low", "high", "constant"], ROWS)
    x = np.where(names == "high", 1e6 + 100 * rng.normal(size=ROWS), rng.standard_cauchy(size=ROWS))
    x = np.where(names == "constant", 7.0, x)
    frame = pl.DataFrame({"name": names, "flag": rng.integers(0, 2, ROWS) == 1, "x": x, "y": rng.normal(size=ROWS)})
    number = pl.int_range(pl.len())
    name = pl.when(number == 5).then(pl.lit('a "lone" one')).when(number % 10 != 3).then("name")
    return frame.with_columns(name.alias("name"))


@pytest.mark.parametrize("parts", [1, 30])
@pytest.mark.parametrize("kept", [4_194_304, 256])
@pytest.mark.parametrize("method", ["zscore", "modified_zscore", "iqr"])
def test_groups_equal_pandas(
    method: str, kept: int, parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "KEPT_VALUES_ALL", kept)
    frame = grouped()
    _, folder = process("anomalies", frame, {"method": method, "by": ["name", "flag"]}, tmp_path, parts=parts)
    other = pd.DataFrame(frame.to_dict(as_series=False))
    by = other.groupby([other["name"].fillna("-"), "flag"])[["x", "y"]]
    judged = other[["x", "y"]]
    if method == "zscore":
        std = by.transform("std")
        scores, threshold = (judged - by.transform("mean")).abs() / std.where(std > 0), 3.0
    elif method == "modified_zscore":
        away = (judged - by.transform("median")).abs()
        regrouped = away.groupby([other["name"].fillna("-"), other["flag"]])
        mad, mean = regrouped.transform("median"), regrouped.transform("mean")
        scores, threshold = away / (mad / 0.6745).where(mad > 0, 1.253314 * mean), 3.5
    else:
        low = by.transform(lambda column: column.quantile(0.25))
        high = by.transform(lambda column: column.quantile(0.75))
        scores = (low - judged).where(low - judged > judged - high, judged - high) / (high - low).where(high > low)
        threshold = 1.5
    best = scores.max(axis=1)
    flagged = best[best > threshold]
    assert folder.rows["row_number"].to_list() == flagged.index.tolist()
    assert np.allclose(folder.rows["score"].to_numpy(), flagged, rtol=1e-9)
    assert len(folder.report["groups"]) == 9
    lows = {tuple(group["group"].values()): group["columns"][0]["low"] for group in folder.report["groups"]}
    assert lows["constant", "true"] is None


def test_a_season_is_judged_phase_by_phase(tmp_path: Path) -> None:
    """A load that is high by day and low by night: low at noon is found, although it is a common value."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    times = [start + timedelta(hours=hour) for hour in range(24 * 60)]
    rng = np.random.default_rng(2)
    load = np.array([100.0 if 8 <= time.hour < 20 else 10.0 for time in times]) + rng.uniform(-1, 1, len(times))
    load[24 * 30 + 12] = 10.0
    frame = pl.DataFrame({"time": times, "load": load})
    plain = process("anomalies", frame, {"method": "zscore"}, tmp_path / "plain", parts=3)[1]
    assert plain.report["rows_flagged"] == 0
    params = {"method": "seasonal", "time_column": "time"}
    seasonal = process("anomalies", frame, params, tmp_path / "seasonal", parts=3)[1]
    assert seasonal.rows["row_number"].to_list() == [24 * 30 + 12]
    assert seasonal.rows["bound"][0] == pytest.approx(100, abs=10)
    assert len(seasonal.report["groups"]) == 24
    weekly = process("anomalies", frame, params | {"season": "hour_of_week"}, tmp_path / "weekly", parts=3)[1]
    assert [group["group"]["hour_of_week"] for group in weekly.report["groups"]][:2] == ["0", "1"]
    assert len(weekly.report["groups"]) == 168
    assert 24 * 30 + 12 in weekly.rows["row_number"].to_list()


def test_too_many_groups_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "MOST_CELLS", 10)
    frame = pl.DataFrame({"g": range(20), "x": [1.0] * 20, "y": [1.0] * 20})
    params = {"by": ["g"], "columns": ["x", "y"]}
    for parts in (1, 10):
        with pytest.raises(BadData, match="more than 5 groups"):
            process("anomalies", frame, params, tmp_path, parts=parts)
