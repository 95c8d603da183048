"""Removing what its owner wants gone: a finished job with its history, or a dataset.

A note of what they had in the buckets commits with it, so the objects go even if nobody is left to remove them at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import msgspec

from gristmill.db.audit import note
from gristmill.db.engine import Database
from gristmill.db.jobs import cancel
from gristmill.db.rows import DatasetRow, dataset_row
from gristmill.domain.audit import AuditAction, AuditEvent
from gristmill.domain.job import INGEST_KIND, JobStatus
from gristmill.errors import Conflict, DatasetFailed, PreconditionFailed

# Whoever is about to share this job's result, or to take it as data, holds a lock on its row until it has committed.
# What is asked next is asked by a statement of its own, so it sees what they did.
LOCK = "SELECT kind, status FROM jobs WHERE id = $1 AND owner = $2 FOR UPDATE"

REMOVE = """
WITH gone AS (
    DELETE FROM jobs
    WHERE id = $1 AND owner = $2
        AND NOT EXISTS (
            SELECT FROM jobs AS twin WHERE twin.reused_from = $1 AND twin.status NOT IN ('failed', 'canceled')
        )
        AND NOT EXISTS (
            SELECT FROM jobs AS taker WHERE taker.input_job_id = $1 AND taker.status IN ('pending', 'running')
        )
        AND NOT gristmill_job_is_named($1)
    RETURNING id, kind, dataset_id
), events AS (
    DELETE FROM job_events WHERE job_id = ANY (ARRAY (SELECT id FROM gone)) RETURNING job_id, type, lease
), noted AS (
    INSERT INTO lost_attempts (lease, job_id, kind, dataset_id)
    SELECT events.lease, gone.id, gone.kind, gone.dataset_id FROM events JOIN gone ON gone.id = events.job_id
    WHERE events.type = 'completed' AND events.lease IS NOT NULL
    RETURNING lease
)
SELECT ARRAY (SELECT lease FROM noted) AS leases FROM gone
"""

# Ingest last: its cancel fails those that wait for the dataset, and they are to be canceled.
LIVE = """
SELECT id FROM jobs
WHERE owner = $2 AND status IN ('pending', 'running')
    AND (dataset_id = $1
        OR sources IS NOT NULL AND sources @> jsonb_build_array(jsonb_build_object('id', $1::uuid)))
    AND NOT (status = 'running' AND cancel_requested_at IS NOT NULL)
ORDER BY kind = 'ingest', id
"""

# A stub is left, because jobs name it; of its data nothing is. As a failed dataset it takes no job. With $4 only if
# nobody has changed it since then: now() is the time of this transaction, whose cancels may have.
HIDE = """
UPDATE datasets SET deleted_at = now(), objects_left = true, status = 'failed', error = $3::jsonb, name = '',
    options = '{}', labels = '{}', expires_at = NULL, source = NULL,
    columns = NULL, dialect = NULL, profile = NULL, warnings = NULL, manifest = NULL, updated_at = now()
WHERE id = $1 AND owner = $2 AND deleted_at IS NULL AND ($4::timestamptz IS NULL OR updated_at IN ($4, now()))
RETURNING true
"""

# What a canceled job of it still writes is left alone until that has ended.
LEFT = """
SELECT id FROM datasets WHERE objects_left AND deleted_at < now() - make_interval(secs => $1)
    AND NOT EXISTS (SELECT FROM jobs WHERE jobs.dataset_id = datasets.id AND jobs.status = 'running')
ORDER BY deleted_at LIMIT $2
"""
CLEARED = "UPDATE datasets SET objects_left = false WHERE id = $1"

KNOWN = "SELECT {columns} FROM datasets WHERE id = $1 AND owner = $2 AND deleted_at IS NULL".format(  # noqa: S608
    columns=", ".join(DatasetRow.__struct_fields__)
)


@dataclass(frozen=True)
class Removed:
    """A job that is no more. What it published is under the prefixes of these leases."""

    leases: tuple[int, ...]


async def remove_job(database: Database, job_id: UUID, *, owner: str, key_id: str | None = None) -> Removed | None:
    """Remove a final job; None: there is no such job of this owner. `key_id` asked for it.

    Raises:
        Conflict: it is not final, another job shares or needs its result, or it made a dataset what it is.
    """
    async with database.driver() as driver, driver.transaction():
        found = await driver.fetchrow(LOCK, job_id, owner)
        if found is None:
            return None
        status = JobStatus(found["status"])
        if not status.final:
            raise Conflict(f"The job is {status.value}: cancel it first.")
        if found["kind"] == INGEST_KIND:
            raise Conflict("The job belongs to its dataset.")
        removed = await driver.fetchrow(REMOVE, job_id, owner)
        if removed is None:
            raise Conflict("Another job shares its result, needs it, or waits for it.")
        await note(driver, AuditEvent(action=AuditAction.JOB_DELETED, owner=owner, subject=str(job_id), key_id=key_id))
        return Removed(tuple(removed["leases"]))


async def remove_dataset(
    database: Database,
    dataset_id: UUID,
    *,
    owner: str,
    force: bool,
    key_id: str | None = None,
    check: Callable[[DatasetRow], object] | None = None,
) -> bool:
    """Remove a dataset; False: there is no such one of this owner. With `force` its jobs are canceled.
    `key_id` asked for it.

    With a `check` it is removed as `check` saw it or not at all; what that raises leaves it as it is.

    Raises:
        Conflict: jobs on it are not final, or were posted meanwhile.
        PreconditionFailed: it was changed after the check.
    """
    gone = msgspec.json.encode(DatasetFailed("The dataset was removed").problem()).decode()
    async with database.driver() as driver, driver.transaction():
        known = await driver.fetchrow(KNOWN, dataset_id, owner)
        if known is None:
            return False
        if check is not None:
            check(dataset_row(dict(known)))
        live = [record["id"] for record in await driver.fetch(LIVE, dataset_id, owner)]
        if live and not force:
            raise Conflict(f"Jobs on it are not final ({len(live)}): cancel them first, or use ?force=true.")
        for job_id in live:
            await cancel(driver, job_id, owner=owner)
        # Jobs before the dataset, as everybody locks them. Who posts a job at this moment holds the dataset's row, so
        # we wait and see the job below, or they wait and find the dataset failed.
        seen = None if check is None else known["updated_at"]
        if not await driver.fetchval(HIDE, dataset_id, owner, gone, seen):
            if seen is not None and await driver.fetchrow(KNOWN, dataset_id, owner) is not None:
                raise PreconditionFailed("It was changed meanwhile. Look at it again.")
            return False
        if await driver.fetchval(LIVE, dataset_id, owner) is not None:
            raise Conflict("A job was posted on it meanwhile.")
        await note(
            driver, AuditEvent(action=AuditAction.DATASET_DELETED, owner=owner, subject=str(dataset_id), key_id=key_id)
        )
        return True


async def removed_datasets(database: Database, *, grace_s: float, limit: int = 20) -> list[UUID]:
    """Datasets that are gone, with objects that are left."""
    async with database.driver() as driver:
        return [record["id"] for record in await driver.fetch(LEFT, grace_s, limit)]


async def mark_cleared(database: Database, dataset_id: UUID) -> None:
    async with database.driver() as driver:
        await driver.execute(CLEARED, dataset_id)
