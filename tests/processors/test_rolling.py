"""Rows are judged by the rows before them in time, as pandas would, however they are cut, grouped or ordered."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from gristmill.errors import BadData
from gristmill.processors import rolling, tallies
from tests.processors.folder import by_name, process

ROWS = 3000
EVERY = {"method": "rolling", "time_column": "at", "threshold": 1e-12, "limit_rows": 1_000_000}
"""Every row that is judged."""


def walk() -> pl.DataFrame:
    """A column that wanders, and one with gaps; times with ties and pauses, in order."""
    rng = np.random.default_rng(12)
    seconds = rng.choice([0, 1, 7, 600], ROWS, p=[0.2, 0.5, 0.29, 0.01]).cumsum()
    y = rng.lognormal(3, 1, ROWS)
    y[rng.uniform(size=ROWS) < 0.2] = np.nan
    return pl.DataFrame(
        {
            "at": [datetime(2024, 3, 1, tzinfo=UTC) + timedelta(seconds=int(second)) for second in seconds],
            "x": rng.normal(size=ROWS).cumsum(),
            "y": y,
            "g": rng.choice(["a", "b", "rare"], ROWS, p=[0.6, 0.39, 0.01]),
        }
    )


def past(frame: pd.DataFrame, window: int | str, least: int) -> pd.DataFrame:
    """|x - mean| / std of the window before each row, by pandas."""
    judged = frame.set_index("at")[["x", "y"]]
    if isinstance(window, str):
        seen = judged.rolling(window, min_periods=least, closed="left")
        # Rows of one time share a window, and pandas leaves out only those before each of them.
        mean, std = (made.groupby(level=0).transform("first") for made in (seen.mean(), seen.std()))
    else:
        seen = judged.rolling(window, min_periods=least)
        mean, std = seen.mean().shift(1), seen.std().shift(1)
    return ((judged - mean).abs() / std).set_index(frame.index)


@pytest.mark.parametrize(("by", "parts"), [(False, 1), (True, 60)])
@pytest.mark.parametrize(("window", "least"), [(2, 2), (25, 10), (700, 3), ("90s", 10), ("1h", 4)])
def test_scores_equal_pandas(window: int | str, least: int, by: bool, parts: int, tmp_path: Path) -> None:
    frame = walk()
    params = EVERY | {"window": window, "min_history": least} | ({"by": ["g"]} if by else {})
    folder = process("anomalies", frame, params, tmp_path, parts=parts)[1]
    plain = pd.DataFrame(frame.to_dict(as_series=False))
    groups = [group for _, group in plain.groupby("g")] if by else [plain]
    wanted = pd.concat([past(group, window, least) for group in groups]).sort_index()
    wanted = wanted.where(~np.isinf(wanted))
    for name in ("x", "y"):
        scores = np.full(ROWS, np.nan)
        scores[folder.rows["row_number"].to_numpy()] = folder.rows["scores"].struct.field(name).to_numpy()
        assert np.allclose(scores, wanted[name], rtol=1e-9, atol=1e-9, equal_nan=True)
    assert np.allclose(folder.rows["score"].to_numpy(), wanted.max(axis=1).dropna(), rtol=1e-9)
    unjudged = by_name(folder.report)["y"]
    assert unjudged["values"] - unjudged["short_history"] - unjudged["constant_history"] == wanted["y"].count()


def contents(frame: pl.DataFrame, path: Path, parts: int, **params: object) -> dict[str, Any]:
    folder = process("anomalies", frame, EVERY | {"window": 40, "by": ["g"]} | params, path, parts=parts)[1]
    return folder.contents | {"rows": folder.rows, "report": folder.report}


@pytest.mark.parametrize("window", [40, "5m"])
def test_bytes_do_not_depend_on_the_parts(window: int | str, tmp_path: Path) -> None:
    one = contents(walk(), tmp_path / "one", 1, window=window, threshold=3)
    many = contents(walk(), tmp_path / "many", 77, window=window, threshold=3)
    assert one["report.json"] == many["report.json"]
    assert one["anomalies.parquet"] == many["anomalies.parquet"]


@pytest.mark.parametrize("share", [None, 0.02])
def test_rows_in_any_order_are_judged_in_the_order_of_time(
    share: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In ranges, as they do not fit memory at once; ties are the rows' own order, so each time comes once here."""
    frame = walk().unique("at", keep="first", maintain_order=True).with_row_index("n")
    mixed = frame.sample(fraction=1, shuffle=True, seed=3)
    asked: dict[str, Any] = {"threshold": None, "contamination": share} if share else {}
    straight = contents(frame, tmp_path / "straight", 3, columns=["x", "y"], **asked)
    monkeypatch.setattr(rolling, "MOST_CELLS", 5 * 900)
    shuffled = contents(mixed, tmp_path / "shuffled", 5, columns=["x", "y"], **asked)
    assert (straight["report"]["rows_in_order_of_time"], shuffled["report"]["rows_in_order_of_time"]) == (True, False)
    figures = ["n", "score", "column", "bound", "scores"]
    assert shuffled["rows"].sort("n").select(figures).equals(straight["rows"].select(figures))
    assert shuffled["report"]["columns"] == straight["report"]["columns"]
    assert shuffled["report"]["threshold"] == straight["report"]["threshold"]
    if share:
        assert 0 < straight["rows"].height <= share * frame.height


def test_a_window_that_does_not_fit_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "MOST_CELLS", 5 * 900)
    with pytest.raises(BadData, match="more than 900"):
        contents(walk(), tmp_path / "window", 5, window="10h")
    same = (
        walk()
        .with_columns(at=pl.lit(datetime(2024, 1, 1, tzinfo=UTC)))
        .with_columns(at=pl.when(pl.int_range(pl.len()) == 0).then(pl.col("at").dt.offset_by("1h")).otherwise("at"))
    )
    with pytest.raises(BadData, match="nearly the same time"):
        contents(same, tmp_path / "time", 5)


def test_more_rows_than_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = contents(walk(), tmp_path / "whole", 4)["rows"]
    highest = whole.sort("score", "row_number", descending=[True, False]).head(50)["row_number"].sort()
    monkeypatch.setattr(tallies, "KEPT_CELLS", 50 * 6)
    cut = contents(walk(), tmp_path / "cut", 4)
    assert cut["rows"]["row_number"].to_list() == highest.to_list()
    assert cut["report"]["rows_flagged"] == whole.height
    assert f"{whole.height} rows are flagged; the 50 with the highest scores are kept." in cut["report"]["warnings"]


def test_a_drift_is_followed_and_a_jump_is_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    load = np.linspace(0, 1000, 500) + rng.normal(size=500)
    load[300] -= 200
    times = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(500)]
    frame = pl.DataFrame({"at": times, "load": load})
    assert process("anomalies", frame, {"method": "zscore"}, tmp_path / "z")[1].report["rows_flagged"] == 0
    params = {"method": "rolling", "time_column": "at", "window": "1d", "threshold": 4}
    folder = process("anomalies", frame, params, tmp_path / "r", parts=3)[1]
    assert folder.rows["row_number"].to_list() == [300]
    before = load[276:300]
    assert folder.rows["bound"][0] == pytest.approx(before.mean() - 4 * before.std(ddof=1), rel=1e-9)
    assert by_name(folder.report)["load"]["short_history"] == 10
