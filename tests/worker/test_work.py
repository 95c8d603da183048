"""A failure becomes a problem that says what the user may know, and nothing of the data."""

from pathlib import Path
from uuid import uuid4

import msgspec
import polars as pl
import pytest

from gristmill.db import claims, outcomes
from gristmill.db.inputs import Inputs
from gristmill.domain.column import Column
from gristmill.domain.dataset import Ingested
from gristmill.domain.job import JobStatus, Progress
from gristmill.domain.manifest import KEPT_NAME, Manifest
from gristmill.domain.outcome import Completed
from gristmill.errors import BadData, StoreUnavailable
from gristmill.worker.protocol import Run, frame
from gristmill.worker.work import Throttled, broken
from tests.worker.rig import Bench, numbers, running
from tests.worker.test_protocol import JOB

SECRET = "Jane Doe, 555-1234"


def test_ours_are_told_as_they_are() -> None:
    told = broken(BadData("It is empty"), JOB)
    assert (told.problem.code, told.problem.detail, told.permanent) == ("bad-data", "It is empty", True)
    assert not broken(StoreUnavailable("away"), JOB).permanent


def test_a_defect_has_an_id_and_quotes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(pl.exceptions.ComputeError) as caught:
        raise pl.exceptions.ComputeError(SECRET)
    told = broken(caught.value, JOB)
    assert told.problem.code == "internal-error"
    assert not told.permanent
    logged = capsys.readouterr()
    for text in (told.problem.detail, logged.out, logged.err):
        assert SECRET not in text
    assert told.problem.detail.rpartition(" ")[2] in logged.out + logged.err, "the log has the id"


def test_a_panic_of_polars_is_a_defect() -> None:
    told = broken(pl.exceptions.PanicException(SECRET), JOB)
    assert told.problem.code == "internal-error"
    assert SECRET not in told.problem.detail


def test_progress_is_thinned_but_no_stage_is_missed() -> None:
    seen: list[Progress] = []
    throttled = Throttled(seen.append)
    for stage in ("fit", "apply"):
        for done in range(1000):
            throttled(Progress(stage, done, 1000))
    assert [progress.stage for progress in seen if progress.done == 0] == ["fit", "apply"]
    assert len(seen) < 1000


async def test_metrics_of_a_ready_dataset_reads_none_of_its_parts(
    bench: Bench, environment: dict[str, str], tmp_path: Path
) -> None:
    dataset_id = await bench.dataset(numbers(5_000))
    async with running(environment, tmp_path):
        ingested = await bench.until_status(await bench.ingest_of(dataset_id), JobStatus.COMPLETED)
        assert ingested.manifest is not None
        assert [file.name for file in ingested.manifest.files] == ["part-00000.parquet", KEPT_NAME]
        await bench.store.delete(ingested.manifest.bucket, [ingested.manifest.files[0].key])
        found = await bench.until_status(await bench.job(dataset_id), JobStatus.COMPLETED)
    assert found.manifest is not None
    assert msgspec.json.decode(found.manifest.report)["rows"] == 5_000


async def test_what_an_executor_is_sent_does_not_grow_with_the_profile(bench: Bench) -> None:
    dataset_id = await bench.dataset(b"a\n1\n")
    (ingest,) = await claims.claim_jobs(bench.database, worker_id=uuid4(), limit=1, lease_s=60)
    profile = msgspec.Raw(b'{"columns": "%s"}' % (b"x" * 100_000))
    found = Ingested((Column("a", "Int64"),), 1, 1, 0, profile=profile)
    outcome = Completed(Manifest("datasets", "p/", ()), found)
    await outcomes.record_outcomes(bench.database, [outcomes.Ending(ingest.id, ingest.lease, outcome)])
    await bench.job(dataset_id)
    (claim,) = await claims.claim_jobs(bench.database, worker_id=uuid4(), limit=1, lease_s=60)
    data = await Inputs(bench.database).of([claim])
    assert len(frame(Run(claim.on(data[claim.id], {}), "scratch"))) < 2_000
