"""Drift against a baseline: equal to SciPy and to the formula, however the rows of both are cut, and labelled."""

from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import polars as pl
import pytest
from scipy import special, stats

from gristmill.errors import InvalidRequest
from gristmill.processors import drift, run
from gristmill.processors.contract import ROW, decode_params, pack, unpack
from tests.processors.folder import KINDS, Folder, by_name, columns_of, cut

METRICS = KINDS["metrics"]
ID = str(UUID(int=7))


def compare(
    frame: pl.DataFrame, baseline: pl.DataFrame, path: Path, *, parts: int = 1, columns: list[str] | None = None
) -> dict[str, Any]:
    """The report of `metrics` of a frame against a baseline."""
    folder = Folder(path)
    params: dict[str, object] = {"baseline_dataset_id": ID} | ({} if columns is None else {"columns": columns})
    run.run(
        METRICS,
        params=decode_params(METRICS, msgspec.json.encode(params)),
        columns=columns_of(frame),
        parts=cut(frame, parts),
        output=folder,
        progress=folder.progress.append,
        others={"baseline_dataset_id": run.Other(columns_of(baseline), tuple(cut(baseline, max(1, parts // 2))))},
    )
    return folder.report


def index(p: list[float], q: list[float]) -> float:
    """The formula, once more."""
    pairs = [(max(one, 1e-4), max(other, 1e-4)) for one, other in zip(p, q, strict=True)]
    return float(sum((one - other) * np.log(one / other) for one, other in pairs))


@pytest.fixture(params=["kept", "cut down"])
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "cut down":
        monkeypatch.setattr(drift, "KEPT_VALUES", 1024)
    return str(request.param)


@pytest.mark.parametrize("parts", [1, 7])
def test_numbers_equal_scipy_and_the_formula(parts: int, memory: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    before = {"same": rng.normal(size=5000), "moved": rng.normal(size=5000), "wider": rng.lognormal(size=5000)}
    now = {"same": rng.normal(size=8000), "moved": rng.normal(0.7, 1, 8000), "wider": rng.lognormal(0, 2, 8000)}
    report = compare(pl.DataFrame(now), pl.DataFrame(before), tmp_path, parts=parts)
    for name, entry in by_name(report["drift"]).items():
        edges = np.quantile(before[name], np.arange(1, 10) / 10)
        q, p = (np.bincount(np.searchsorted(edges, x), minlength=10) / len(x) for x in (before[name], now[name]))
        statistic = stats.ks_2samp(before[name], now[name]).statistic
        slack = 1e-9
        if memory == "kept":
            assert entry["accuracy"] == {"label": "exact"}
        else:
            assert entry["accuracy"]["label"] == "approximate"
            slack = entry["accuracy"]["shares_and_ks_off_by_at_most"]
            assert slack < 0.15
        assert [one["share"] for one in entry["bins"]] == pytest.approx(p.tolist(), abs=slack)
        assert [one["baseline"] for one in entry["bins"]] == pytest.approx(q.tolist(), abs=slack)
        assert entry["ks"]["statistic"] == pytest.approx(statistic, abs=slack)
        shown = [[one[side] for one in entry["bins"]] for side in ("share", "baseline")]
        assert entry["psi"] == pytest.approx(index(*shown), rel=1e-9)
        limit = special.kolmogorov(entry["ks"]["statistic"] * np.sqrt(5000 * 8000 / 13000))
        assert entry["ks"]["p_value"] == pytest.approx(limit, rel=1e-9, abs=1e-12)
    levels = {name: entry["level"] for name, entry in by_name(report["drift"]).items()}
    assert levels["same"] == "none"
    assert levels["moved"] == "large"


@pytest.mark.parametrize("parts", [1, 5])
def test_texts_and_booleans_by_their_most_frequent_values(parts: int, tmp_path: Path) -> None:
    before = pl.DataFrame({"t": ["a"] * 50 + ["b"] * 30 + [None] * 20, "f": [True] * 50 + [False] * 50})
    now = pl.DataFrame({"t": ["a"] * 20 + ["b"] * 30 + ["new"] * 50, "f": [True] * 25 + [False] * 25 + [None] * 50})
    before = before.with_columns(pl.col("t").cast(pl.Categorical))
    found = by_name(compare(now, before, tmp_path, parts=parts)["drift"])
    assert found["t"]["bins"] == [
        {"value": "a", "baseline": 0.625, "share": 0.2},
        {"value": "b", "baseline": 0.375, "share": 0.3},
        {"value": None, "baseline": 0.0, "share": 0.5},
    ]
    assert found["t"]["psi"] == pytest.approx(index([0.2, 0.3, 0.5], [0.625, 0.375, 0.0]))
    assert found["t"]["missing"] == {"baseline": 0.2, "share": 0.0, "change": -0.2}
    assert (found["f"]["psi"], found["f"]["level"]) == (0.0, "none")
    assert found["f"]["missing"]["change"] == 0.5


def test_rare_values_that_were_cut_off_are_labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gristmill.processors.frequencies.KEPT", 256)
    frame = pl.DataFrame({"t": ["often"] * 500 + [f"rare {n}" for n in range(500)]})
    found = by_name(compare(frame, frame, tmp_path)["drift"])["t"]
    assert found["accuracy"] == {"label": "approximate", "shares_of_values_too_low_by_at_most": 0.001}
    assert (found["bins"][0]["value"], found["bins"][0]["share"]) == ("often", 0.5)


def test_what_can_not_be_compared_says_why(tmp_path: Path) -> None:
    before = pl.DataFrame({"c": [5.0] * 4, "type": ["1"] * 4, "none": [None, None, None, 1.0], "gone": 1})
    before = before.with_columns(day=pl.lit(None, pl.Date))
    none = pl.Series([None] * 4, dtype=pl.Float64)
    now = pl.DataFrame({"c": [5.0, 5.0, 6.0, 4.0], "type": 1, "none": none, "new": 1})
    now = now.with_columns(day=pl.date(2020, 1, 1))
    report = compare(now, before, tmp_path)
    found = by_name(report["drift"])
    assert [one["share"] for one in found["c"]["bins"]] == [0.25, 0.5, 0.25], "below, at and above the constant"
    notes = {name: entry.get("note") for name, entry in found.items() if name != "c"}
    assert notes == {
        "type": "of another kind in the baseline",
        "none": "no values",
        "new": "not in the baseline",
        "day": "compared by what is missing alone",
    }
    assert found["day"]["missing"] == {"baseline": 1.0, "share": 0.0, "change": -1.0}
    assert report["drift"]["only_in_baseline"] == ["gone"]
    assert compare(now.head(0), before.head(0), tmp_path / "empty")["warnings"][0] == "The baseline has no rows."
    alone = compare(now.select("new"), before, tmp_path / "other")
    assert alone["warnings"][0] == "The baseline has no column of this dataset."


def test_a_column_that_is_asked_for_has_to_be_in_the_baseline(tmp_path: Path) -> None:
    now, before = pl.DataFrame({"a": [1], "b": [2]}), pl.DataFrame({"a": [1]})
    assert list(by_name(compare(now, before, tmp_path, columns=["a"])["drift"])) == ["a"]
    with pytest.raises(InvalidRequest) as caught:
        compare(now, before, tmp_path, columns=["a", "b"])
    assert [fault.pointer for fault in caught.value.errors] == ["/params/columns/1"]


def test_what_a_baseline_shows_crosses_machines() -> None:
    frame = pl.DataFrame({"x": [1.0, None, 3.0], "t": ["a", None, "b"]})
    state = drift.look(frame.lazy().with_row_index(ROW), drift.plan(columns_of(frame)))
    assert pack(unpack(pack(state), drift.DriftState)) == pack(state)


def test_a_job_that_did_not_come_through_the_api_says_so() -> None:
    params = decode_params(METRICS, msgspec.json.encode({"baseline_dataset_id": ID}))
    with pytest.raises(InvalidRequest) as caught:
        run.planned(METRICS, (), params, {})
    assert [fault.pointer for fault in caught.value.errors] == ["/params/baseline_dataset_id"]
