"""Q4: a job whose executor computes, or stands still, for many leases stays with its worker while that one beats."""

import os
import signal
from pathlib import Path

from gristmill.domain.job import JobStatus
from tests.queue.history import violations
from tests.worker.rig import Bench, numbers, running, until

BEATS = "SELECT lease_expires_at FROM jobs WHERE id = $1"


async def test_a_frozen_executor_is_not_a_dead_worker(
    bench: Bench, environment: dict[str, str], tmp_path: Path
) -> None:
    async with running(environment, tmp_path) as worker, running(environment, tmp_path, CONCURRENCY="1"):
        for pid in worker.children():
            os.kill(pid, signal.SIGSTOP)
        frozen = set(worker.children())
        dataset_id = await bench.dataset(numbers(1000))
        ingest_id = await bench.ingest_of(dataset_id)
        job_ids = [ingest_id]

        async def held() -> bool:
            """The frozen one has a job; the other worker does all others."""
            job_ids.append(await bench.job(dataset_id))
            return bool(worker.events("job.claimed"))

        await until(held, "the frozen executor's worker has claimed a job")
        (claimed,) = worker.events("job.claimed")
        lease = claimed["lease"]
        async with bench.database.driver() as driver:
            first = await driver.fetchval("SELECT lease_expires_at FROM jobs WHERE lease = $1", lease)

        async def three_leases_on() -> bool:
            async with bench.database.driver() as driver:
                now = await driver.fetchval("SELECT lease_expires_at FROM jobs WHERE lease = $1", lease)
            assert now is not None, "it was stolen"
            return bool((now - first).total_seconds() > 9)

        await until(three_leases_on, "the lease is renewed again and again")
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        for job_id in job_ids:
            await bench.until_status(job_id, JobStatus.COMPLETED)
    assert await violations(bench.database, job_ids) == []
