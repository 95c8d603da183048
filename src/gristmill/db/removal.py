"""Removing a finished job because its owner wants it gone: the row, its history, and a note of what its result left.

Row and note are one transaction, so the objects go even if nobody is left to remove them at once.
"""

from dataclasses import dataclass
from uuid import UUID

from gristmill.db.engine import Database
from gristmill.domain.job import INGEST_KIND, JobStatus
from gristmill.errors import Conflict

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


@dataclass(frozen=True)
class Removed:
    """A job that is no more. What it published is under the prefixes of these leases."""

    leases: tuple[int, ...]


async def remove_job(database: Database, job_id: UUID, *, owner: str) -> Removed | None:
    """Remove a final job; None: there is no such job of this owner.

    Raises:
        Conflict: it is not final, another job shares its result or waits for it, or it made a dataset what it is.
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
            raise Conflict("Another job shares its result, or waits for it.")
        return Removed(tuple(removed["leases"]))
