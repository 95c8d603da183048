"""What a job's params name may be gone when it runs: it fails once, says so, and points at the param where it can."""

import json
from pathlib import Path

from gristmill.db.removal import remove_dataset
from gristmill.db.retry import retry_job
from gristmill.domain.job import JobStatus
from gristmill.domain.source import DatasetSource, DocumentSource
from tests.worker.rig import OWNER, Bench, ingested, numbers, running


async def test_what_is_named_and_gone(bench: Bench, environment: dict[str, str], tmp_path: Path) -> None:
    baseline_id = await ingested(bench)
    source, bucket = await bench.ingest_of(baseline_id), bench.settings.s3_job_results_bucket
    dataset_id = await bench.dataset(numbers(10))
    fitted, compared = json.dumps({"fitted_from": str(source)}), json.dumps({"baseline_dataset_id": str(baseline_id)})
    document = DocumentSource("fitted_from", source, bucket, f"results/{source}/1/fitted.json", "0" * 64)
    named = DatasetSource("baseline_dataset_id", baseline_id)
    jobs = {
        "its document": await bench.job(dataset_id, "normalize", fitted.encode(), sources=(document,)),
        "its dataset": await bench.job(dataset_id, "metrics", compared.encode(), sources=(named,)),
        "never looked up": await bench.job(dataset_id, "normalize", fitted.encode()),
        "never looked up either": await bench.job(dataset_id, "metrics", compared.encode()),
    }
    # With the baseline the job that names it is canceled; its user wants it all the same.
    assert await remove_dataset(bench.database, baseline_id, owner=OWNER, force=True)
    await bench.until_status(jobs["its dataset"], JobStatus.CANCELED)
    assert await retry_job(bench.database, jobs["its dataset"], owner=OWNER)
    async with running(environment, tmp_path):
        rows = {name: await bench.until_status(job_id, JobStatus.FAILED) for name, job_id in jobs.items()}
    problems = {name: row.error for name, row in rows.items() if row.error is not None}
    assert {name: problem.code for name, problem in problems.items()} == {
        "its document": "input-failed",
        "its dataset": "input-failed",
        "never looked up": "invalid-request",
        "never looked up either": "invalid-request",
    }
    assert [fault.pointer for fault in problems["never looked up"].errors] == ["/params/fitted_from"]
    assert [fault.pointer for fault in problems["never looked up either"].errors] == ["/params/baseline_dataset_id"]
    assert {row.attempt for row in rows.values()} == {1}


async def test_a_job_on_no_dataset_fails_once_and_says_so(
    bench: Bench, environment: dict[str, str], tmp_path: Path
) -> None:
    """Another program may put a job whose dataset there is none of."""
    async with bench.database.driver() as driver:
        job_id = await driver.fetchval(
            "INSERT INTO jobs (owner, kind, kind_version, dataset_id, params) VALUES ($1, 'metrics', 1, uuidv7(), '{}')"
            " RETURNING id",
            OWNER,
        )
    async with running(environment, tmp_path):
        row = await bench.until_status(job_id, JobStatus.FAILED)
    assert row.attempt == 1
    assert row.error is not None
    assert row.error.code == "input-failed"
