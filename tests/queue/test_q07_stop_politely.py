"""Q7: a stopped worker strands nothing and burns no attempt. More in tests/worker/test_supervisor.py."""

import signal
from pathlib import Path

from gristmill.domain.job import JobStatus
from tests.queue.history import violations
from tests.worker.rig import Bench, numbers, running, until


async def test_workers_that_come_and_go_do_all_the_work_once(
    bench: Bench, environment: dict[str, str], tmp_path: Path
) -> None:
    dataset_id = await bench.dataset(numbers(5000))
    job_ids = [await bench.job(dataset_id, max_attempts=1) for _ in range(20)]

    async def done(count: int) -> bool:
        return sum([(await bench.look(job_id)).status.final for job_id in job_ids]) >= count

    for goal, number in ((3, signal.SIGTERM), (8, signal.SIGINT)):
        async with running(environment, tmp_path, CONCURRENCY="2", SOFT_STOP_S="0") as worker:
            await until(lambda goal=goal: done(goal), "work is done")  # type: ignore[misc]
            worker.signal(number)
            assert await worker.exit_code() == 0
    async with running(environment, tmp_path, CONCURRENCY="2"):
        for job_id in job_ids:
            await bench.until_status(job_id, JobStatus.COMPLETED)
    assert await violations(bench.database, job_ids) == []
