"""A job that is canceled, killed or too slow ends as it should, once, and leaves nothing behind."""

import os
import signal
from pathlib import Path

from gristmill.db import jobs
from gristmill.db.datasets import get_dataset
from gristmill.domain.dataset import DatasetStatus
from gristmill.domain.job import JobStatus
from tests.proxy import FaultProxy
from tests.worker.rig import OWNER, Bench, alive, numbers, running, scratch_folders, until, worker_folders

ROWS = 120_000
SLOW_S = 0.3


async def test_cancel_of_a_pending_job(bench: Bench) -> None:
    job_id = await bench.job(await bench.dataset(numbers(10)))
    assert await jobs.cancel_job(bench.database, job_id, owner=OWNER) is JobStatus.CANCELED
    assert await bench.events(job_id) == ["created", "canceled"]


async def test_cancel_of_a_running_job_kills_its_process(
    bench: Bench, through_proxy: dict[str, str], proxy: FaultProxy, tmp_path: Path
) -> None:
    dataset_id = await bench.dataset(numbers(ROWS))
    ingest_id = await bench.ingest_of(dataset_id)
    waiting_id = await bench.job(dataset_id)
    proxy.delay_s = SLOW_S
    async with running(through_proxy, tmp_path) as worker:
        await bench.until_progress(ingest_id)
        (executor,) = worker.children()
        assert await jobs.cancel_job(bench.database, ingest_id, owner=OWNER) is JobStatus.RUNNING
        await bench.until_status(ingest_id, JobStatus.CANCELED)
        assert not alive(executor)
        assert worker.events("executor.killed")[0]["reason"] == "canceled"
        proxy.delay_s = 0.0
        await bench.until_clean(dataset_id, ingest_id)
        assert (await bench.look(waiting_id)).status is JobStatus.FAILED
        dataset = await get_dataset(bench.database, dataset_id, owner=OWNER)
        assert dataset is not None
        assert dataset.status is DatasetStatus.FAILED
        # The worker goes on with a new executor.
        next_id = await bench.ingest_of(await bench.dataset(numbers(10)))
        await bench.until_status(next_id, JobStatus.COMPLETED)
    assert await bench.commits(ingest_id) == 0


async def test_a_killed_executor_is_one_attempt(
    bench: Bench, through_proxy: dict[str, str], proxy: FaultProxy, tmp_path: Path
) -> None:
    dataset_id = await bench.dataset(numbers(ROWS))
    ingest_id = await bench.ingest_of(dataset_id)
    proxy.delay_s = SLOW_S
    # A retry does not wait for the poll.
    async with running(through_proxy, tmp_path, POLL_S="600", RETRY_BASE_S="1") as worker:
        await bench.until_progress(ingest_id)
        (executor,) = worker.children()
        os.kill(executor, signal.SIGKILL)
        proxy.delay_s = 0.0
        row = await bench.until_status(ingest_id, JobStatus.COMPLETED)
        assert row.attempt == 2
        assert await bench.events(ingest_id) == ["created", "claimed", "retrying", "claimed", "completed"]
        assert await bench.commits(ingest_id) == 1
        await bench.until_clean(dataset_id, ingest_id)
        assert not scratch_folders(tmp_path), "no scratch folder is left"
        worker.signal(signal.SIGTERM)
        assert await worker.exit_code() == 0


async def test_a_crash_on_an_upload_is_final_and_the_worker_lives(
    bench: Bench, through_proxy: dict[str, str], proxy: FaultProxy, tmp_path: Path
) -> None:
    dataset_id = await bench.dataset(numbers(ROWS))
    ingest_id = await bench.ingest_of(dataset_id)
    proxy.delay_s = SLOW_S
    async with running(through_proxy, tmp_path) as worker:
        await bench.until_progress(ingest_id)
        (executor,) = worker.children()
        os.kill(executor, signal.SIGSEGV)
        proxy.delay_s = 0.0
        row = await bench.until_status(ingest_id, JobStatus.FAILED)
        assert row.error is not None
        assert (row.attempt, row.error.code) == (1, "executor-crashed")
        assert "signal 11" in row.error.detail
        await bench.until_clean(dataset_id, ingest_id)
        next_id = await bench.ingest_of(await bench.dataset(numbers(10)))
        await bench.until_status(next_id, JobStatus.COMPLETED)


async def test_a_job_over_its_time_is_killed(
    bench: Bench, through_proxy: dict[str, str], proxy: FaultProxy, tmp_path: Path
) -> None:
    dataset_id = await bench.dataset(numbers(ROWS), max_attempts=1, timeout_s=1)
    ingest_id = await bench.ingest_of(dataset_id)
    proxy.delay_s = SLOW_S
    async with running(through_proxy, tmp_path) as worker:
        row = await bench.until_status(ingest_id, JobStatus.FAILED)
        proxy.delay_s = 0.0
        await bench.until_clean(dataset_id, ingest_id)
        assert worker.events("executor.killed")[0]["reason"] == "timed_out"
    assert row.error is not None
    assert row.error.code == "timed-out"


async def test_bad_data_fails_at_once_and_quotes_nothing(
    bench: Bench, environment: dict[str, str], tmp_path: Path
) -> None:
    dataset_id = await bench.dataset(b"")
    async with running(environment, tmp_path) as worker:
        row = await bench.until_status(await bench.ingest_of(dataset_id), JobStatus.FAILED)
        assert worker.events("job.outcome")[0]["outcome"] == "failed"
    assert row.attempt == 1
    assert row.error is not None
    assert row.error.code == "bad-data"


async def test_an_unknown_kind_fails_at_once(bench: Bench, environment: dict[str, str], tmp_path: Path) -> None:
    dataset_id = await bench.dataset(numbers(10))
    job_id = await bench.job(dataset_id, "nonsense")
    async with running(environment, tmp_path):
        row = await bench.until_status(job_id, JobStatus.FAILED)
    assert row.error is not None
    assert row.error.code == "unknown-kind"


async def test_executors_end_with_a_killed_worker(bench: Bench, environment: dict[str, str], tmp_path: Path) -> None:
    async with running(environment, tmp_path, CONCURRENCY="2") as worker:
        executors = worker.children()
        assert len(executors) == 2
        worker.signal(signal.SIGKILL)

        async def gone() -> bool:
            return not any(alive(pid) for pid in executors)

        await until(gone, "no executor outlives its worker")
    async with running(environment, tmp_path):
        assert len(worker_folders(tmp_path)) == 1, "a dead worker's scratch folder is removed"
