"""Takes back what dead workers held, and forgets those workers."""

import time
from collections.abc import Callable

from gristmill import metrics
from gristmill.db.engine import Database
from gristmill.db.outcomes import rescue_jobs
from gristmill.db.workers import forget_workers
from gristmill.domain.job import JobStatus
from gristmill.errors import Unavailable
from gristmill.settings import Settings
from gristmill.telemetry import get_logger
from gristmill.worker.tasks import Counts

log = get_logger(__name__)

SILENT_LEASES = 4


class Rescuer:
    """Any number of workers may do it at the same time: each skips the rows that another one holds."""

    name = "rescuer"

    def __init__(self, settings: Settings, database: Database, *, on_jobs: Callable[[], None]) -> None:
        # Half a lease at most, so that a job is pending again within two leases.
        self.interval = settings.lease_s / 2
        self._settings = settings
        self._database = database
        self._on_jobs = on_jobs
        self._was_away = False
        self._quiet_until = 0.0

    async def run_once(self) -> Counts:
        try:
            forgotten = await self._forget()
            rescued = await self._rescue()
        except Unavailable:
            self._was_away = True
            raise
        return {"rescued": rescued, "forgotten": forgotten}

    async def _forget(self) -> int:
        forgotten = await forget_workers(self._database, silent_s=self._settings.lease_s * SILENT_LEASES)
        if self._was_away:
            # PostgreSQL is back. While it was away nobody could renew a lease: let the living do so before we take any.
            self._was_away = False
            self._quiet_until = time.monotonic() + self._settings.lease_s
        return forgotten

    async def _rescue(self) -> int:
        if time.monotonic() < self._quiet_until:
            return 0
        rescued = await rescue_jobs(self._database)
        for lease, status in rescued.items():
            log.warning("job.rescued", lease=lease, status=status)
            metrics.RESCUED.labels(status).inc()
        if JobStatus.PENDING in rescued.values():
            self._on_jobs()
        return len(rescued)
