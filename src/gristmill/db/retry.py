"""Running a failed or canceled job again, because its user asks for it."""

from uuid import UUID

import asyncpg

from gristmill.db.dependents import Ended, input_failed
from gristmill.db.engine import Database, Driver
from gristmill.db.enqueue import AWAIT
from gristmill.domain.dataset import DatasetStatus
from gristmill.domain.job import INGEST_KIND, JobStatus
from gristmill.errors import DatasetFailed

LOOK = """
SELECT kind, dataset_id, input_job_id FROM jobs
WHERE id = $1 AND owner = $2 AND status IN ('failed', 'canceled') FOR UPDATE
"""
REOPEN = """
UPDATE datasets SET status = 'validating', error = NULL, updated_at = now()
WHERE id = $1 AND status = 'failed' AND deleted_at IS NULL
RETURNING true
"""
DATASET = "SELECT status FROM datasets WHERE id = $1 FOR SHARE"
# Locked, so that it is not removed before we have committed.
SOURCE = "SELECT status FROM jobs WHERE id = $1 AND owner = $2 FOR SHARE"

# All its attempts are before it again. Where somebody else does the same work by now, it does its own without a key.
AGAIN = """
WITH again AS (
    UPDATE jobs SET status = 'pending', attempt = 0, error = NULL, progress = NULL, cancel_requested_at = NULL,
        started_at = NULL, finished_at = NULL, scheduled_at = now(), updated_at = now(), reused_from = NULL,
        webhook_noted = false,
        waits_for = $2::uuid, blocked = $2 IS NOT NULL,
        reuse_key = CASE WHEN NOT EXISTS (
            SELECT FROM jobs AS other WHERE other.owner = jobs.owner AND other.reuse_key = jobs.reuse_key
                AND other.reused_from IS NULL AND other.status IN ('pending', 'running')
        ) THEN reuse_key END
    WHERE id = $1
    RETURNING id, owner, kind, priority, limit_key, blocked
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt) SELECT id, owner, 'resubmitted', 0 FROM again
)
SELECT pg_notify('gristmill_jobs', json_build_array(priority, kind, owner, limit_key)::text)
FROM again WHERE NOT blocked
"""


async def retry_job(database: Database, job_id: UUID, *, owner: str) -> bool:
    """Put a failed or canceled job back into the queue, with all its attempts before it.

    False: no such job of this owner, or it is neither failed nor canceled.

    Raises:
        DatasetFailed, InputFailed: what it needs has failed; that has to be tried again first.
    """
    async with database.driver() as driver, driver.transaction():
        job = await driver.fetchrow(LOOK, job_id, owner)
        if job is None:
            return False
        if job["kind"] == INGEST_KIND:
            if not await driver.fetchval(REOPEN, job["dataset_id"]):
                raise DatasetFailed("The dataset was removed")
            waits_for = None
        else:
            waits_for = await _waits_for(driver, job, owner)
        await driver.execute(AGAIN, job_id, waits_for)
    return True


async def _waits_for(driver: Driver, job: asyncpg.Record, owner: str) -> UUID | None:
    """What is not there yet, locked so that it can't come about unseen."""
    source: UUID | None = job["input_job_id"]
    if source is not None:
        await driver.execute(AWAIT, owner, [source])
        status = JobStatus(await driver.fetchval(SOURCE, source, owner) or JobStatus.FAILED)
        if status in (JobStatus.FAILED, JobStatus.CANCELED):
            raise input_failed(Ended(source, status))
        return None if status.final else source
    dataset_id: UUID = job["dataset_id"]
    dataset = DatasetStatus(await driver.fetchval(DATASET, dataset_id))
    if dataset is DatasetStatus.FAILED:
        raise DatasetFailed("The dataset could not be made ready")
    return dataset_id if dataset is DatasetStatus.VALIDATING else None
