"""Published figures come out right: NIST's certified values; and masking is told."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gristmill.processors import moments
from tests.processors.folder import by_name, process

NUMACC4 = np.array([10000000.2] + [10000000.1, 10000000.3] * 500)
"""NIST StRD, NumAcc4: 1,001 values, mean 10000000.2 and standard deviation 0.1, both exact."""


def digits(found: float, certified: float) -> float:
    """LRE: how many leading digits are right."""
    return 16.0 if found == certified else -math.log10(abs(found - certified) / abs(certified))


@pytest.mark.parametrize("parts", [1, 3, 200])
def test_numacc4_has_eight_right_digits(parts: int, tmp_path: Path) -> None:
    _, folder = process("metrics", pl.DataFrame({"x": NUMACC4}), {}, tmp_path, parts=parts)
    entry = by_name(folder.report)["x"]
    assert digits(entry["std"], 0.1) >= 8
    assert digits(entry["mean"], 10000000.2) >= 14


def test_numacc4_merged_value_by_value() -> None:
    merged = moments.merge([moments.measure(NUMACC4[place : place + 1]) for place in range(len(NUMACC4))])
    std = merged.std(ddof=1)
    assert std is not None
    assert digits(std, 0.1) >= 8


def test_outliers_that_hide_each_other_are_told(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [*np.linspace(1, 3, 40), *[50.0] * 8]})
    plain = process("anomalies", frame, {"method": "zscore"}, tmp_path / "z")[1].report
    robust = process("anomalies", frame, {"method": "modified_zscore"}, tmp_path / "m")[1].report
    assert (plain["rows_flagged"], robust["rows_flagged"]) == (0, 8)
    assert plain["columns"][0]["masked"] == {"values": 8, "accuracy": "exact"}
    assert "masking" in plain["warnings"][0]


@pytest.mark.parametrize("method", ["iqr", "copod", "ecod"])
def test_masking_is_told_with_every_method_that_knows_the_distribution(method: str, tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [*np.linspace(1, 3, 40), *[50.0] * 8]})
    report = process("anomalies", frame, {"method": method}, tmp_path, parts=5)[1].report
    assert report["columns"][0]["masked"] == {"values": 8, "accuracy": "exact"}
