"""Workers fire schedules by themselves, each time once, and a killed one leaves that to the others."""

import signal
from datetime import timedelta
from pathlib import Path

from gristmill.db import schedules
from gristmill.db.jobs import list_jobs
from tests.db.test_schedules import new_schedule
from tests.worker.rig import OWNER, Bench, numbers, running, until


async def test_two_workers_fire_once(bench: Bench, environment: dict[str, str], tmp_path: Path) -> None:
    async with running(environment, tmp_path) as doomed, running(environment, tmp_path) as heir:

        async def fired(count: int) -> bool:
            return len(await list_jobs(bench.database, owner=OWNER, limit=50)) >= count

        dataset_id = await bench.dataset(numbers(10))
        long_ago = timedelta(days=800)
        await new_schedule(bench.database, late=long_ago, cron="0 0 1 1 *", dataset_id=dataset_id)
        await until(lambda: fired(1), "the schedule fires")
        doomed.signal(signal.SIGKILL)
        await new_schedule(bench.database, late=long_ago, cron="0 0 1 1 *", dataset_id=dataset_id)
        await until(lambda: fired(2), "the other worker fires the next one")
        assert await schedules.fire_schedules(bench.database) == 0
        assert heir.events("chore.ran")
    assert len(await list_jobs(bench.database, owner=OWNER, limit=50)) == 2
