"""Rows that a pass held on to make the same result as rows that are read again, and spare the reading."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from gristmill.processors import holding, run
from gristmill.processors.contract import decode_params
from tests.processors.folder import KINDS, Folder, columns_of, cut

ROWS, PARTS = 150_000, 3
CASES: dict[str, Mapping[str, object]] = {
    "zscore": {},
    "more flagged than kept": {"threshold": 0.5, "limit_rows": 100},
    "all flagged": {"threshold": 1e-9, "limit_rows": 1000},
    "equal scores": {"columns": ["few"], "threshold": 1.0, "limit_rows": 500},
    "a share of z-scores": {"contamination": 0.01},
    "groups": {"by": ["text"]},
    "histogram": {"method": "hbos"},
    "tails": {"method": "ecod", "limit_rows": 200},
    "no row": {"threshold": 1e6, "columns": ["few"]},
}


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    text = pl.Series(rng.integers(0, 4, ROWS)).cast(pl.String)
    return pl.DataFrame(
        {
            "x": pl.Series(np.where(rng.random(ROWS) < 0.02, np.nan, rng.normal(3, 2, ROWS)), nan_to_null=True),
            "few": rng.integers(0, 9, ROWS),
            "^.*$": ["a text that is too long to be in its own row " + value for value in text],
            "text": text,
            "list": pl.Series([[value, None] for value in text]),
            "price": pl.Series(rng.integers(0, 10**6, ROWS)).cast(pl.Decimal(12, 2)),
        }
    )


def made(params: Mapping[str, object], frame: pl.DataFrame, path: Path) -> tuple[Folder, int]:
    """The result, and how often a part was read for the rows of the result."""
    folder, processor, stages = Folder(path), KINDS["anomalies"], []

    def noted(part: run.Part) -> run.Part:
        def scan() -> pl.LazyFrame:
            stages.append(folder.progress[-1].stage)
            return part.scan()

        return run.Part(scan, part.rows)

    run.run(
        processor,
        params=decode_params(processor, msgspec.json.encode(params)),
        columns=columns_of(frame),
        parts=[noted(part) for part in cut(frame, PARTS)],
        output=folder,
        progress=folder.progress.append,
    )
    return folder, stages.count("apply")


@pytest.mark.parametrize("params", CASES.values(), ids=CASES)
def test_held_rows_are_the_rows(
    params: Mapping[str, object], frame: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, read = made(params, frame, tmp_path / "held")
    assert not read, "nothing is read for the rows of the result"
    monkeypatch.setattr(holding, "HELD_BYTES", -1)
    again, read = made(params, frame, tmp_path / "again")
    assert read == PARTS
    assert held.contents == again.contents


def test_rows_of_many_columns_are_read_again(frame: pl.DataFrame, tmp_path: Path) -> None:
    """They are looked at group of columns by group of columns, and no row is ever there as a whole."""
    wide = frame.select(pl.col("x").alias(f"x{place}") for place in range(40)).head(5000)
    _, read = made({}, wide, tmp_path)
    assert read == PARTS
