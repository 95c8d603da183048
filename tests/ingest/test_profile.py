"""What ingest keeps of a table: jobs say the same with it as without, and read less."""

import io
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from gristmill.domain.dataset import DataFormat, Ingested
from gristmill.domain.job import Progress
from gristmill.domain.manifest import KEPT_NAME
from gristmill.ingest.options import IngestOptions, Limits
from gristmill.ingest.run import ingest
from gristmill.processors import frequencies, hashes, run, values
from gristmill.processors.contract import decode_params, pack, unpack
from gristmill.processors.metrics_fit import Kept
from tests.ingest.folder import Folder, Load
from tests.processors import folder as jobs

ROWS = 6_000


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Ingested]]:
    """A table in three parts, of more values than there is room for."""
    rng = np.random.default_rng(8)
    frame = pl.DataFrame(
        {
            "x": rng.normal(size=ROWS),
            "gaps": pl.Series(rng.integers(0, 10**9, ROWS)).set(pl.Series(rng.random(ROWS) < 0.1), None),
            "few": rng.integers(0, 5, ROWS),
            "day": pl.date_range(pl.date(2000, 1, 1), pl.date(2030, 1, 1), eager=True).head(ROWS),
            "name": [f"n{place % 3000}" for place in range(ROWS)],
            "flag": rng.random(ROWS) < 0.5,
        }
    )
    scratch, parts = tmp_path_factory.mktemp("scratch"), tmp_path_factory.mktemp("parts")
    text = frame.write_csv().encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "KEPT_VALUES", 1024)
        patch.setattr(values, "SAMPLED_FROM", 500)
        patch.setattr(frequencies, "KEPT", 512)
        patch.setattr(hashes, "KEPT", 512)
        patch.setattr(hashes, "KEPT_ROWS", 1024)
        found = ingest(
            lambda: io.BytesIO(text),
            declared=DataFormat.CSV,
            size_bytes=len(text),
            options=IngestOptions(),
            limits=Limits(part_rows=2_500),
            scratch=scratch,
            output=Folder(parts),
            progress=lambda _: None,
        )
        assert list(scratch.iterdir()) == []
        yield parts, found


def job(
    table: tuple[Path, Ingested], params: dict[str, object], path: Path, kept: bytes | None
) -> tuple[dict[str, bytes], list[Progress]]:
    parts, found = table
    frames = [pl.scan_parquet(part) for part in sorted(parts.glob("part-*.parquet"))]
    processor = jobs.KINDS["metrics"]
    output = jobs.Folder(path)
    run.run(
        processor,
        params=decode_params(processor, msgspec.json.encode(params)),
        columns=found.columns,
        parts=[run.Part(frame.lazy, frame.select(pl.len()).collect().item()) for frame in frames],
        output=output,
        progress=output.progress.append,
        kept=kept,
    )
    return output.contents, [seen for seen in output.progress if seen.stage == "fit"]


@pytest.mark.parametrize(
    ("params", "passes"),
    [
        ({}, 0),
        ({"correlations": False}, 0),
        ({"columns": ["x", "few"]}, 1),
        ({"columns": ["name", "day", "few", "x"], "correlations": False}, 1),
    ],
)
def test_reports_are_the_same_with_what_is_kept_and_without(
    table: tuple[Path, Ingested], params: dict[str, object], passes: int, tmp_path: Path
) -> None:
    kept = (table[0] / KEPT_NAME).read_bytes()
    plain, read = job(table, params, tmp_path / "plain", None)
    quick, read_again = job(table, params, tmp_path / "quick", kept)
    assert quick == plain
    assert read[-1].total == 3 * ROWS
    assert sum(seen.done == seen.total for seen in read_again[-1:]) == passes
    assert [seen.total for seen in read_again[-1:]] == [ROWS] * passes


def test_what_another_version_kept_is_not_used(table: tuple[Path, Ingested], tmp_path: Path) -> None:
    kept = unpack((table[0] / KEPT_NAME).read_bytes(), Kept)
    other = pack(msgspec.structs.replace(kept, version=kept.version - 1))
    contents, read = job(table, {}, tmp_path / "older", other)
    assert contents == job(table, {}, tmp_path / "plain", None)[0]
    assert read[-1].total == 3 * ROWS


def test_the_profile_is_what_metrics_says(table: tuple[Path, Ingested], tmp_path: Path) -> None:
    report = msgspec.json.decode(job(table, {}, tmp_path, None)[0]["report.json"])
    told = msgspec.json.decode(table[1].profile)
    assert told == {name: report[name] for name in ("rows", "columns", "dataset", "warnings")}


def test_a_profile_of_many_columns_or_long_texts_stays_small(load: Load) -> None:
    wide = pl.DataFrame(np.random.default_rng(2).normal(size=(30, 2000)))
    file = io.BytesIO()
    wide.write_parquet(file)
    loaded = load(file.getvalue(), "parquet")
    assert len(loaded.ingested.profile) < 2_000_000
    assert loaded.profile["columns"][1999]["mean"] == pytest.approx(loaded.frame.to_series(1999).mean(), rel=1e-12)
    assert len(load(b"a,b\n" + b"x" * 50_000 + b",1\n").ingested.profile) < 3_000
