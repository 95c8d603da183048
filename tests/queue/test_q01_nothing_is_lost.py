"""Q1: a job whose submission was answered reaches exactly one final status, whatever crashes."""

import asyncio
import os
import random
import signal
from pathlib import Path

from gristmill.domain.job import JobStatus
from tests.queue.conftest import OwnPostgres
from tests.queue.history import violations
from tests.worker.rig import Bench, numbers, running, until

JOBS = 24


async def test_kills_and_crashes_lose_nothing(
    own_bench: Bench, own_postgres: OwnPostgres, own_environment: dict[str, str], tmp_path: Path
) -> None:
    """Workers and executors are killed, and PostgreSQL restarts as after a crash, all in the middle of work."""
    bench, rng = own_bench, random.Random(7)
    async with (
        running(own_environment, tmp_path, CONCURRENCY="2") as first,
        running(own_environment, tmp_path, CONCURRENCY="2") as second,
    ):
        dataset_id = await bench.dataset(numbers(20_000))
        ingest_id = await bench.ingest_of(dataset_id)
        job_ids = [await bench.job(dataset_id, max_attempts=50) for _ in range(JOBS)]
        await bench.until_status(ingest_id, JobStatus.COMPLETED)

        async def done(count: int) -> bool:
            rows = [await bench.look(job_id) for job_id in job_ids]
            return sum(row.status.final for row in rows) >= count

        await until(lambda: done(2), "work is under way")
        first.signal(signal.SIGKILL)
        for pid in rng.sample(second.children(), k=1):
            os.kill(pid, signal.SIGKILL)
        await until(lambda: done(6), "the other worker goes on")
        await asyncio.to_thread(own_postgres.restart_at_once)
        async with running(own_environment, tmp_path, CONCURRENCY="2"):
            await until(lambda: done(JOBS), "all jobs end, and workers find PostgreSQL again by themselves")
            assert second.process.poll() is None, "the worker has survived the restart"
    assert {(await bench.look(job_id)).status for job_id in job_ids} == {JobStatus.COMPLETED}
    assert await violations(bench.database, [ingest_id, *job_ids]) == []
