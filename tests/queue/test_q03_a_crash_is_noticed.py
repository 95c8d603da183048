"""Q3: a crash is noticed, a cut connection is made again, and what was not recorded yet is recorded then."""

from pathlib import Path

from gristmill.domain.job import JobStatus
from tests.queue.history import violations
from tests.worker.rig import Bench, numbers, running

CONNECTIONS = """
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'gristmill-%' ORDER BY pid
"""


async def test_each_connection_may_be_cut_in_turn(bench: Bench, environment: dict[str, str], tmp_path: Path) -> None:
    job_ids = []
    async with running(environment, tmp_path) as worker:
        dataset_id = await bench.dataset(numbers(1000))
        await bench.until_status(await bench.ingest_of(dataset_id), JobStatus.COMPLETED)
        cut: set[int] = set()
        for _ in range(8):
            async with bench.database.driver() as driver:
                pids = [row["pid"] for row in await driver.fetch(CONNECTIONS)]
                pid = next((pid for pid in pids if pid not in cut), None)
                if pid is not None:
                    cut.add(pid)
                    await driver.fetchval("SELECT pg_terminate_backend($1)", pid)
            job_ids.append(await bench.job(dataset_id))
            await bench.until_status(job_ids[-1], JobStatus.COMPLETED)
        assert len(cut) >= 3, "the worker's pool and its LISTEN"
        assert worker.process.poll() is None
    assert await violations(bench.database, job_ids) == []
