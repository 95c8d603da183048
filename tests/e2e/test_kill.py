"""kill -9 of a worker or an executor in mid-job ends in a completed job, once, and the sweep leaves no orphans."""

import os
import signal
from contextlib import aclosing
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from gristmill.db.rows import JobRow
from gristmill.domain.job import JobStatus
from tests.e2e.system import free_port
from tests.exposition import parsed
from tests.proxy import FaultProxy
from tests.worker.rig import Bench, numbers, running, until

ROWS = 1_000_000
PARTS = {"PART_ROWS": "100000"}
NORMALIZE = b'{"steps": [{"op": "scale", "method": "zscore"}]}'
SLOW_S = 0.05


@pytest.fixture
def proxy(s3_proxy: FaultProxy) -> FaultProxy:
    return s3_proxy


@pytest.fixture
async def dataset_id(bench: Bench, environment: dict[str, str], tmp_path: Path) -> UUID:
    """A million rows in ten parts, ready."""
    dataset_id = await bench.dataset(numbers(ROWS))
    async with running(environment, tmp_path, **PARTS):
        await bench.until_status(await bench.ingest_of(dataset_id), JobStatus.COMPLETED)
    return dataset_id


async def test_a_killed_worker_costs_one_attempt_and_nothing_else(
    bench: Bench, environment: dict[str, str], proxy: FaultProxy, dataset_id: UUID, tmp_path: Path
) -> None:
    job_id = await bench.job(dataset_id, "normalize", NORMALIZE)
    proxy.delay_s = SLOW_S
    async with running({**environment, "S3_ENDPOINT_URL": proxy.url}, tmp_path) as doomed:
        await until_some_result_is_stored(bench, job_id)
        proxy.freeze()
        port = free_port()
        async with running({**environment, "METRICS_PORT": str(port)}, tmp_path) as heir:
            assert (await bench.look(job_id)).attempt == 1, "a live job is not stolen"
            doomed.signal(signal.SIGKILL)
            row = await bench.until_status(job_id, JobStatus.COMPLETED)
            assert [event["lease"] for event in heir.events("job.rescued")], "the heir took the job back"
            async with httpx.AsyncClient() as scraper:
                found = parsed((await scraper.get(f"http://127.0.0.1:{port}/metrics")).raise_for_status().text)
            assert found['gristmill_jobs_rescued_total{status="pending"}'] >= 1
            await bench.until_clean(dataset_id, job_id)
    await assert_completed_once(bench, row, attempt=2)


async def test_a_killed_executor_costs_one_attempt_and_nothing_else(
    bench: Bench, environment: dict[str, str], proxy: FaultProxy, dataset_id: UUID, tmp_path: Path
) -> None:
    job_id = await bench.job(dataset_id, "normalize", NORMALIZE)
    proxy.delay_s = SLOW_S
    async with running({**environment, "S3_ENDPOINT_URL": proxy.url}, tmp_path) as worker:
        await until_some_result_is_stored(bench, job_id)
        (executor,) = worker.children()
        os.kill(executor, signal.SIGKILL)
        proxy.delay_s = 0.0
        row = await bench.until_status(job_id, JobStatus.COMPLETED)
        await bench.until_clean(dataset_id, job_id)
    await assert_completed_once(bench, row, attempt=2)


async def test_a_frozen_worker_that_comes_back_changes_nothing(
    bench: Bench, environment: dict[str, str], proxy: FaultProxy, dataset_id: UUID, tmp_path: Path
) -> None:
    job_id = await bench.job(dataset_id, "normalize", NORMALIZE)
    proxy.delay_s = SLOW_S
    async with running({**environment, "S3_ENDPOINT_URL": proxy.url}, tmp_path) as ghost:
        await until_some_result_is_stored(bench, job_id)
        ghost.signal(signal.SIGSTOP)
        async with running(environment, tmp_path):
            row = await bench.until_status(job_id, JobStatus.COMPLETED)
            proxy.delay_s = 0.0
            ghost.signal(signal.SIGCONT)
            await ghost.until_event("job.lease_lost")
            await bench.until_clean(dataset_id, job_id)
    await assert_completed_once(bench, row, attempt=2)


async def until_some_result_is_stored(bench: Bench, job_id: UUID) -> None:
    """Until the attempt has written some of its files, and not all."""

    async def stored() -> bool:
        return bool(await bench.keys(bench.settings.s3_job_results_bucket, f"results/{job_id}/"))

    await until(stored, "the attempt writes files")
    assert (await bench.look(job_id)).status is JobStatus.RUNNING


async def assert_completed_once(bench: Bench, row: JobRow, *, attempt: int) -> None:
    assert row.attempt == attempt
    assert await bench.commits(row.id) == 1
    assert await bench.events(row.id) == ["created", "claimed", "retrying", "claimed", "completed"]
    assert row.manifest is not None
    assert (row.manifest.rows_in, row.manifest.rows_out) == (ROWS, ROWS)
    assert sum(file.rows or 0 for file in row.manifest.files) == ROWS
    await bench.store.settle(row.manifest.bucket, row.manifest.files)
    for file in row.manifest.files:
        stream = bench.store.stream(row.manifest.bucket, file.key, sha256=file.sha256)
        async with aclosing(stream) as chunks:
            assert sum([len(chunk) async for chunk in chunks]) == file.size_bytes
