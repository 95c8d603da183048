"""Makes the jobs of schedules that are due."""

from collections.abc import Callable

from gristmill.db.engine import Database
from gristmill.db.schedules import fire_schedules
from gristmill.worker.tasks import Counts


class Scheduler:
    """Any number of workers may do it at the same time: each time of a schedule is fired once."""

    name = "scheduler"
    interval = 1.0

    def __init__(self, database: Database, *, on_jobs: Callable[[], None]) -> None:
        self._database = database
        self._on_jobs = on_jobs

    async def run_once(self) -> Counts:
        fired = await fire_schedules(self._database)
        if fired:
            self._on_jobs()
        return {"fired": fired}
