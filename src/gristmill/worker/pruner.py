"""Forgets finished jobs and the log of webhooks, some time after. What results left in the bucket is the sweeper's."""

from uuid import UUID

from gristmill.db.engine import Database
from gristmill.db.idempotency import forget_keys
from gristmill.db.retention import FIRST, forget_rates, prune_jobs
from gristmill.db.webhooks import forget_deliveries
from gristmill.settings import Settings
from gristmill.worker.tasks import Counts

# Bounded, so that a worker that is asked to stop in between does not have to be patient.
WINDOWS = 20


class Pruner:
    """Any number of workers may do it at the same time: each skips the rows that another one holds."""

    name = "pruner"

    def __init__(self, settings: Settings, database: Database) -> None:
        self.interval = settings.prune_s
        self._settings = settings
        self._database = database
        self._after: UUID = FIRST

    async def run_once(self) -> Counts:
        pruned = 0
        for _ in range(WINDOWS):
            walked = await prune_jobs(
                self._database,
                after=self._after,
                keep_s=self._settings.retain_jobs_s,
                keep_failed_s=self._settings.retain_failed_s,
            )
            pruned += walked.pruned
            self._after = walked.after or FIRST
            if walked.after is None:
                break
        rates, keys = await forget_rates(self._database), await forget_keys(self._database)
        deliveries = await forget_deliveries(self._database, keep_s=self._settings.retain_deliveries_s)
        return {"pruned": pruned, "rates": rates, "keys": keys, "deliveries": deliveries}
