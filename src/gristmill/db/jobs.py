"""Statements on jobs that users cause: read, list, cancel, try again. Each is bounded by owner."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from sqlalchemy import select

from gristmill.db.datasets import settle_datasets
from gristmill.db.dependents import Ended, settle_dependents
from gristmill.db.engine import Database, Driver
from gristmill.db.filters import NO_INTERVAL, Interval, id_bounds, labeled
from gristmill.db.models import Job
from gristmill.db.questions import Question
from gristmill.db.rows import JOB_COLUMNS, EventRow, JobRow, event_row, job_row
from gristmill.domain.job import INGEST_KIND, JobStatus
from gristmill.domain.outcome import Canceled

GET = "SELECT {columns} FROM jobs WHERE id = $1 AND owner = $2".format(columns=", ".join(JOB_COLUMNS))  # noqa: S608
GET_MANY = "SELECT {columns} FROM jobs WHERE id = ANY ($1::uuid[]) AND owner = $2".format(  # noqa: S608
    columns=", ".join(JOB_COLUMNS)
)

# Pending: canceled here and now. Running: asked for, and the worker is told. Asked before: nothing changes.
CANCEL = """
WITH stopped AS (
    UPDATE jobs SET
        cancel_requested_at = coalesce(cancel_requested_at, now()),
        status = CASE WHEN status = 'pending' THEN 'canceled' ELSE status END,
        finished_at = CASE WHEN status = 'pending' THEN now() END,
        error = CASE WHEN status = 'pending' THEN NULL ELSE error END,
        blocked = false, waits_for = NULL, updated_at = now()
    WHERE id = $1 AND owner = $2 AND status IN ('pending', 'running')
    RETURNING jobs.id, jobs.owner, jobs.kind, jobs.dataset_id, jobs.status, jobs.attempt, jobs.lease, jobs.awaited,
        old.cancel_requested_at IS NULL AS first
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt, lease)
    SELECT id, owner, CASE status WHEN 'canceled' THEN 'canceled' ELSE 'cancel_requested' END, attempt, lease
    FROM stopped WHERE first
), told AS MATERIALIZED (
    SELECT pg_notify('gristmill_cancel', id::text) FROM stopped WHERE status = 'running'
)
SELECT stopped.kind, stopped.dataset_id, stopped.status, stopped.awaited FROM stopped LEFT JOIN told ON true
"""

EVENTS = """
SELECT id, job_id, at, type, attempt, data FROM job_events
WHERE job_id = $1 AND owner = $2 AND id > $3 ORDER BY id LIMIT $4
"""

# As in REUSING and JOIN_LEADER (db/enqueue.py).
TWIN = """
SELECT id FROM jobs WHERE owner = $1 AND reuse_key = $2 AND reused_from IS NULL
    AND status IN ('pending', 'running', 'completed')
ORDER BY status = 'completed' DESC, id DESC LIMIT 1
"""

COLUMNS = tuple(Job.__table__.columns[name] for name in JOB_COLUMNS)


async def get_job(database: Database, job_id: UUID, *, owner: str) -> JobRow | None:
    async with database.driver() as driver:
        record = await driver.fetchrow(GET, job_id, owner)
    return None if record is None else job_row(dict(record))


async def get_jobs(database: Database, ids: Sequence[UUID], *, owner: str) -> list[JobRow]:
    """Those of the jobs that there are, and are this owner's."""
    async with database.driver() as driver:
        records = await driver.fetch(GET_MANY, ids, owner)
    return [job_row(dict(record)) for record in records]


async def find_twin(database: Database, reuse_key: str, *, owner: str) -> UUID | None:
    """The job whose result one with this key would take or wait for, if it came now."""
    async with database.driver() as driver:
        found: UUID | None = await driver.fetchval(TWIN, owner, reuse_key)
    return found


async def job_states(database: Database, ids: Collection[UUID], *, owners: Collection[str]) -> dict[UUID, int]:
    """A number for each of the jobs, another one whenever something of it has changed that its owner can see."""
    records = await database.ask(Question.JOB_STATES, list(ids), list(owners))
    return {record["id"]: record["state"] for record in records}


async def list_jobs(
    database: Database,
    *,
    owner: str,
    limit: int,
    before: UUID | None = None,
    status: JobStatus | None = None,
    kind: str | None = None,
    dataset_id: UUID | None = None,
    labels: Mapping[str, str | None] | None = None,
    created: Interval = NO_INTERVAL,
    finished: Interval = NO_INTERVAL,
) -> list[JobRow]:
    """A page of an owner's jobs, newest first, below `before`. Ingest jobs are listed when asked for by kind."""
    statement = select(*COLUMNS).where(Job.owner == owner).order_by(Job.id.desc()).limit(limit)
    statement = statement.where(Job.kind == kind if kind is not None else Job.kind != INGEST_KIND)
    if before is not None:
        statement = statement.where(Job.id < before)
    if status is not None:
        statement = statement.where(Job.status == status)
    if dataset_id is not None:
        statement = statement.where(Job.dataset_id == dataset_id)
    statement = statement.where(
        *labeled(Job, labels or {}),
        *created.holds(Job.created_at),
        *finished.holds(Job.finished_at),
        *id_bounds(Job.id, created, finished),
    )
    async with database.session() as session:
        records = (await session.execute(statement)).mappings().all()
    return [job_row(dict(record)) for record in records]


async def cancel_job(database: Database, job_id: UUID, *, owner: str) -> JobStatus | None:
    """Cancel a pending job at once, or ask for a running one to be stopped.

    Answers the status after it (canceled or running). None: no such job of this owner, or it is final.
    """
    async with database.driver() as driver, driver.transaction():
        return await cancel(driver, job_id, owner=owner)


async def cancel(driver: Driver, job_id: UUID, *, owner: str) -> JobStatus | None:
    """The same, in the caller's transaction."""
    record = await driver.fetchrow(CANCEL, job_id, owner)
    if record is None:
        return None
    status = JobStatus(record["status"])
    if record["kind"] == INGEST_KIND and status is JobStatus.CANCELED:
        await settle_datasets(driver, {record["dataset_id"]: Canceled()})
    if record["awaited"] and status is JobStatus.CANCELED:
        await settle_dependents(driver, [Ended(job_id, status)])
    return status


async def list_events(
    database: Database, job_id: UUID, *, owner: str, after: int = 0, limit: int = 500
) -> list[EventRow]:
    """A job's history in order, after the event with id `after`."""
    async with database.driver() as driver:
        return [event_row(dict(record)) for record in await driver.fetch(EVENTS, job_id, owner, after, limit)]
