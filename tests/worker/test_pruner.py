"""A worker forgets old jobs by itself, and their objects go with them."""

from pathlib import Path

from gristmill.db.jobs import get_job
from gristmill.domain.job import JobStatus
from tests.worker.rig import OWNER, Bench, numbers, running, until


async def test_an_old_result_goes_with_its_job(bench: Bench, environment: dict[str, str], tmp_path: Path) -> None:
    dataset_id = await bench.dataset(numbers(100))
    job_id = await bench.job(dataset_id)
    bucket = bench.settings.s3_job_results_bucket
    async with running(environment, tmp_path, PRUNE_S="3600"):
        row = await bench.until_status(job_id, JobStatus.COMPLETED)
        assert row.manifest is not None
        await bench.store.settle(bucket, row.manifest.files)
        assert await bench.keys(bucket, f"results/{job_id}/")

    async def gone() -> bool:
        row = await get_job(bench.database, job_id, owner=OWNER)
        return row is None and not await bench.keys(bucket, f"results/{job_id}/")

    async with running(environment, tmp_path, PRUNE_S="0.2", RETAIN_JOBS_S="0.001"):
        await until(gone, "the job and its result are forgotten")
    assert await bench.keys(bench.settings.s3_datasets_bucket, f"{dataset_id}/"), "the dataset stays"
