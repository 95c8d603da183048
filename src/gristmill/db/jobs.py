"""Statements on jobs that users cause: enqueue, read, list, cancel. Each is bounded by owner."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from gristmill.db.datasets import settle_datasets
from gristmill.db.engine import Database
from gristmill.db.models import Job, JobResult
from gristmill.db.rows import EventRow, JobRow, event_row, job_row
from gristmill.domain.job import INGEST_KIND, JobStatus
from gristmill.domain.outcome import Canceled

GET = """
SELECT jobs.id, jobs.owner, jobs.kind, jobs.kind_version, jobs.dataset_id, jobs.params, jobs.labels, jobs.status,
    jobs.blocked, jobs.priority, jobs.scheduled_at, jobs.attempt, jobs.max_attempts, jobs.timeout_s,
    jobs.cancel_requested_at, jobs.progress, jobs.error, jobs.created_at, jobs.updated_at, jobs.started_at,
    jobs.finished_at, job_results.manifest
FROM jobs LEFT JOIN job_results ON job_results.job_id = jobs.id
WHERE jobs.id = $1 AND jobs.owner = $2
"""

# The dataset's row is locked until we commit, so that its ingest can't settle it between our look and our insert.
ENQUEUE = """
WITH target AS MATERIALIZED (
    SELECT id, owner, status FROM datasets WHERE id = $2 AND owner = $1 FOR SHARE
), added AS (
    INSERT INTO jobs (owner, kind, kind_version, dataset_id, params, labels, priority, scheduled_at, max_attempts,
        timeout_s, blocked)
    SELECT owner, $3, $4, id, $5::jsonb, $6::jsonb, $7, coalesce($8, now()), $9, $10, status = 'validating'
    FROM target WHERE status IN ('validating', 'ready')
    RETURNING *
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt) SELECT id, owner, 'created', 0 FROM added
), woken AS MATERIALIZED (
    SELECT pg_notify('gristmill_jobs', '') FROM added WHERE NOT blocked AND scheduled_at <= now()
)
SELECT id, owner, kind, kind_version, dataset_id, params, labels, status, blocked, priority, scheduled_at, attempt,
    max_attempts, timeout_s, cancel_requested_at, progress, error, created_at, updated_at, started_at, finished_at,
    NULL AS manifest
FROM added LEFT JOIN woken ON true
"""

# Pending: canceled here and now. Running: asked for, and the worker is told. Asked before: nothing changes.
CANCEL = """
WITH stopped AS (
    UPDATE jobs SET
        cancel_requested_at = coalesce(cancel_requested_at, now()),
        status = CASE WHEN status = 'pending' THEN 'canceled' ELSE status END,
        finished_at = CASE WHEN status = 'pending' THEN now() END,
        error = CASE WHEN status = 'pending' THEN NULL ELSE error END,
        blocked = false, updated_at = now()
    WHERE id = $1 AND owner = $2 AND status IN ('pending', 'running')
    RETURNING jobs.id, jobs.owner, jobs.kind, jobs.dataset_id, jobs.status, jobs.attempt, jobs.lease,
        old.cancel_requested_at IS NULL AS first
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt, lease)
    SELECT id, owner, CASE status WHEN 'canceled' THEN 'canceled' ELSE 'cancel_requested' END, attempt, lease
    FROM stopped WHERE first
), told AS MATERIALIZED (
    SELECT pg_notify('gristmill_cancel', id::text) FROM stopped WHERE status = 'running'
)
SELECT stopped.kind, stopped.dataset_id, stopped.status FROM stopped LEFT JOIN told ON true
"""

EVENTS = """
SELECT id, job_id, at, type, attempt, data FROM job_events
WHERE job_id = $1 AND owner = $2 AND id > $3 ORDER BY id LIMIT $4
"""

_ROW_NAMES = frozenset(JobRow.__struct_fields__)
COLUMNS = tuple(column for column in Job.__table__.columns if column.key in _ROW_NAMES)


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job to enqueue. `params` and `labels` are JSON objects; `scheduled_at` None means now."""

    owner: str
    dataset_id: UUID
    kind: str
    kind_version: int
    params: bytes
    max_attempts: int
    timeout_s: int
    labels: bytes = b"{}"
    priority: int = 0
    scheduled_at: datetime | None = None


async def enqueue_job(database: Database, job: NewJob) -> JobRow | None:
    """Add the job, its first event and the wake-up in one statement.

    On a dataset that is still validating the job waits (`blocked`). None: no such dataset of this owner, or it failed.
    """
    async with database.driver() as driver:
        record = await driver.fetchrow(
            ENQUEUE,
            job.owner,
            job.dataset_id,
            job.kind,
            job.kind_version,
            job.params.decode(),
            job.labels.decode(),
            job.priority,
            job.scheduled_at,
            job.max_attempts,
            job.timeout_s,
        )
    return None if record is None else job_row(dict(record))


async def get_job(database: Database, job_id: UUID, *, owner: str) -> JobRow | None:
    async with database.driver() as driver:
        record = await driver.fetchrow(GET, job_id, owner)
    return None if record is None else job_row(dict(record))


async def list_jobs(
    database: Database,
    *,
    owner: str,
    limit: int,
    before: UUID | None = None,
    status: JobStatus | None = None,
    kind: str | None = None,
    dataset_id: UUID | None = None,
) -> list[JobRow]:
    """A page of an owner's jobs, newest first, below `before`. Ingest jobs are listed when asked for by kind."""
    statement = (
        select(*COLUMNS, JobResult.manifest)
        .outerjoin(JobResult, JobResult.job_id == Job.id)
        .where(Job.owner == owner)
        .order_by(Job.id.desc())
        .limit(limit)
    )
    statement = statement.where(Job.kind == kind if kind is not None else Job.kind != INGEST_KIND)
    if before is not None:
        statement = statement.where(Job.id < before)
    if status is not None:
        statement = statement.where(Job.status == status)
    if dataset_id is not None:
        statement = statement.where(Job.dataset_id == dataset_id)
    async with database.session() as session:
        records = (await session.execute(statement)).mappings().all()
    return [job_row(dict(record)) for record in records]


async def cancel_job(database: Database, job_id: UUID, *, owner: str) -> JobStatus | None:
    """Cancel a pending job at once, or ask for a running one to be stopped.

    Answers the status after it (canceled or running). None: no such job of this owner, or it is final.
    """
    async with database.driver() as driver, driver.transaction():
        record = await driver.fetchrow(CANCEL, job_id, owner)
        if record is None:
            return None
        status = JobStatus(record["status"])
        if record["kind"] == INGEST_KIND and status is JobStatus.CANCELED:
            await settle_datasets(driver, {record["dataset_id"]: Canceled()})
    return status


async def list_events(
    database: Database, job_id: UUID, *, owner: str, after: int = 0, limit: int = 500
) -> list[EventRow]:
    """A job's history in order, after the event with id `after`."""
    async with database.driver() as driver:
        return [event_row(dict(record)) for record in await driver.fetch(EVENTS, job_id, owner, after, limit)]
