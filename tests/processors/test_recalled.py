"""A job on a dataset whose figures were kept gives the same bytes as one that finds them itself, and reads less."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from gristmill.domain.column import Column
from gristmill.errors import MemoryLimit
from gristmill.processors import run
from gristmill.processors.columns import MIB
from gristmill.processors.contract import decode_params
from gristmill.processors.metrics import Metrics, MetricsParams
from tests.processors.folder import KINDS, Folder, columns_of, cut

ROWS = 300_000
NUMBERS = ("x", "whole", "few")


def scale(method: str) -> dict[str, Any]:
    return {"op": "scale", "method": method, "columns": list(NUMBERS)}


RECALLED: dict[str, tuple[str, dict[str, Any]]] = {
    "zscore": ("anomalies", {}),
    "modified z-score": ("anomalies", {"method": "modified_zscore", "columns": ["x", "whole"]}),
    "Tukey": ("anomalies", {"method": "iqr"}),
    "a share": ("anomalies", {"method": "zscore", "contamination": 0.001}),
    "histogram": ("anomalies", {"method": "hbos"}),
    **{method: ("normalize", {"steps": [scale(method)]}) for method in ("zscore", "minmax", "maxabs", "robust")},
    "winsorized": ("normalize", {"steps": [{"op": "clip", "quantiles": [0.01, 0.99]}]}),
    "filled": ("normalize", {"steps": [{"op": "fill_nulls", "strategy": "median", "columns": ["x"]}]}),
    "filled without need, then scaled": (
        "normalize",
        {"steps": [{"op": "fill_nulls", "strategy": "mean", "columns": ["whole"]}, scale("zscore")]},
    ),
}
NOT_ALONE: dict[str, tuple[str, dict[str, Any]]] = {
    "filled, then scaled": ("normalize", {"steps": [{"op": "fill_nulls", "strategy": "mean"}, scale("zscore")]}),
    "clipped, then scaled": ("normalize", {"steps": [{"op": "clip", "quantiles": [0.05, 0.95]}, scale("robust")]}),
    "without duplicates": ("normalize", {"steps": [{"op": "drop_duplicates"}, scale("zscore")]}),
    "powers": ("normalize", {"steps": [scale("power")]}),
    "tails": ("anomalies", {"method": "ecod"}),
    "groups": ("anomalies", {"by": ["text"]}),
    "mostly one value": ("anomalies", {"method": "modified_zscore", "columns": ["mostly"]}),
}


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    rng = np.random.default_rng(11)
    x = rng.normal(3, 2, ROWS).round(6)
    x[::5000] = 1e6
    mostly = np.where(rng.random(ROWS) < 0.9, 1.0, rng.random(ROWS))
    mostly = np.where(rng.random(ROWS) < 0.5, mostly, 1.0)
    return pl.DataFrame(
        {
            "x": pl.Series(np.where(rng.random(ROWS) < 0.02, np.nan, x), nan_to_null=True),
            "whole": rng.integers(-(10**6), 10**6, ROWS),
            "few": rng.integers(0, 40, ROWS) / 7,
            "mostly": mostly,
            "text": pl.Series(rng.integers(0, 3, ROWS)).cast(pl.String),
        }
    )


@pytest.fixture(scope="module")
def kept(frame: pl.DataFrame) -> bytes:
    metrics = Metrics()
    plan, fitted = run.fit(metrics, metrics.plan(columns_of(frame), MetricsParams()), cut(frame, 3), lambda _: None)
    return metrics.keep(plan, fitted)


def made(kind: str, params: Mapping[str, object], frame: pl.DataFrame, path: Path, **options: Any) -> Folder:
    folder, processor = Folder(path), KINDS[kind]
    run.run(
        processor,
        params=decode_params(processor, msgspec.json.encode(params)),
        columns=columns_of(frame),
        parts=cut(frame, 3),
        output=folder,
        progress=folder.progress.append,
        **options,
    )
    return folder


def looked_at(folder: Folder) -> int:
    """Rows that the fit looked at, each time they were."""
    return max((seen.total or 0 for seen in folder.progress if seen.stage == "fit"), default=0)


@pytest.mark.parametrize("case", RECALLED.values(), ids=RECALLED)
def test_kept_figures_spare_the_fit(
    case: tuple[str, dict[str, Any]], frame: pl.DataFrame, kept: bytes, tmp_path: Path
) -> None:
    kind, params = case
    computed = made(kind, params, frame, tmp_path / "computed")
    recalled = made(kind, params, frame, tmp_path / "recalled", kept=kept)
    assert recalled.contents == computed.contents
    assert looked_at(recalled) < looked_at(computed)
    if kind == "normalize":
        assert not looked_at(recalled), "nothing is left to be looked at"
    elif params.get("method", "zscore") in ("modified_zscore", "iqr"):
        assert looked_at(recalled) == ROWS, "only the flagged rows are counted"


@pytest.mark.parametrize("case", NOT_ALONE.values(), ids=NOT_ALONE)
def test_what_they_do_not_tell_is_looked_for(
    case: tuple[str, dict[str, Any]], frame: pl.DataFrame, kept: bytes, tmp_path: Path
) -> None:
    kind, params = case
    computed = made(kind, params, frame, tmp_path / "computed")
    recalled = made(kind, params, frame, tmp_path / "recalled", kept=kept)
    assert recalled.contents == computed.contents
    assert looked_at(recalled) >= ROWS


WIDE: list[tuple[str, dict[str, Any]]] = [
    ("metrics", {"spearman": True}),
    ("anomalies", {}),
    ("anomalies", {"method": "ecod"}),
    ("anomalies", {"method": "hbos", "contamination": 0.1}),
    ("anomalies", {"method": "modified_zscore", "contamination": 0.1}),
    ("anomalies", {"method": "iqr", "by": ["t"]}),
    ("normalize", {"steps": [{"op": "fill_nulls", "strategy": "drop"}, {"op": "scale", "method": "power"}]}),
    ("normalize", {"steps": [{"op": "fill_nulls", "strategy": "mode"}, {"op": "scale", "method": "robust"}]}),
]


@pytest.mark.parametrize(("kind", "params"), WIDE)
def test_figures_do_not_depend_on_the_memory(kind: str, params: dict[str, Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=(70, 900))
    values[:, ::50] *= 100
    values[3, ::9] = np.nan
    frame = pl.DataFrame(values, schema=[f"n{place}" for place in range(70)]).with_columns(
        pl.col("n3").fill_nan(None), t=pl.Series(rng.integers(0, 3, 900)).cast(pl.String)
    )
    usual = made(kind, params, frame, tmp_path / "usual")
    little = made(kind, params, frame, tmp_path / "little", memory=150 * MIB)
    assert little.contents == usual.contents
    fits = [seen for seen in little.progress if seen.stage == "fit"]
    assert fits[-1].done == fits[-1].total, "each look at a group of columns is counted"
    assert looked_at(little) > looked_at(usual)


def test_what_can_not_be_done_in_groups_of_columns_is_refused_before() -> None:
    columns = [Column(f"c{place}", "Float64") for place in range(40_000)]
    processor = KINDS["anomalies"]
    plan = processor.plan(columns, decode_params(processor, b'{"method": "isolation_forest"}'))
    with pytest.raises(MemoryLimit, match="fewer `columns`"):
        run.within(processor, plan, 512 * MIB)
    assert run.within(processor, processor.plan(columns, decode_params(processor, b"{}")), 512 * MIB).width == 32
