"""The queue's own statements: claim, heartbeat, record, rescue. Every write of an attempt is guarded by its lease.

All times are the database's. Nothing here is held open while work runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never
from uuid import UUID

import asyncpg
import msgspec

from gristmill.db.datasets import settle_datasets
from gristmill.db.engine import Database, Driver
from gristmill.db.rows import claimed_job
from gristmill.domain.job import ClaimedJob, JobStatus, Progress
from gristmill.domain.outcome import Canceled, Completed, Failed, Interrupted, Outcome, Retry, outcome_name
from gristmill.domain.retry import after_failure
from gristmill.errors import InternalError, WorkerLost

# The materialized CTE is a fence: without it the planner may claim more rows than LIMIT. ORDER BY names every column
# of the partial index, so the claim reads the index in order and never walks past finished rows.
CLAIM = """
WITH picked AS MATERIALIZED (
    SELECT id FROM jobs
    WHERE status = 'pending' AND NOT blocked AND scheduled_at <= now()
    ORDER BY priority DESC, scheduled_at, id
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE jobs SET
        status = 'running', attempt = jobs.attempt + 1, lease = nextval('job_leases'), worker_id = $2,
        lease_expires_at = now() + make_interval(secs => $3), started_at = coalesce(jobs.started_at, now()),
        progress = NULL, updated_at = now()
    FROM picked WHERE jobs.id = picked.id
    RETURNING jobs.*
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt, lease)
    SELECT id, owner, 'claimed', attempt, lease FROM claimed
), attempts AS (
    INSERT INTO job_attempts (lease, job_id, owner, attempt, worker_id)
    SELECT lease, id, owner, attempt, worker_id FROM claimed
)
SELECT claimed.id, claimed.owner, claimed.kind, claimed.attempt, claimed.max_attempts, claimed.lease, claimed.timeout_s,
    claimed.dataset_id, datasets.format, datasets.original_key, datasets.size_bytes, datasets.columns,
    datasets.manifest, datasets.profile, datasets.rows_loaded,
    CASE claimed.kind WHEN 'ingest' THEN datasets.options ELSE claimed.params END AS params
FROM claimed JOIN datasets ON datasets.id = claimed.dataset_id
ORDER BY claimed.priority DESC, claimed.scheduled_at, claimed.id
"""

HEARTBEAT = """
UPDATE jobs SET
    lease_expires_at = now() + make_interval(secs => $4),
    progress = coalesce(beat.progress, jobs.progress), updated_at = now()
FROM unnest($1::uuid[], $2::bigint[], $3::jsonb[]) AS beat (id, lease, progress)
WHERE jobs.id = beat.id AND jobs.status = 'running' AND jobs.lease = beat.lease
RETURNING jobs.lease, jobs.cancel_requested_at IS NOT NULL AS cancel_requested
"""

# A cancel that was asked for wins over every other outcome: after its 202 the job never completes.
# The commit record, the history and the status are one statement: either all of it happened or nothing.
RECORD = """
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::jsonb[], $5::float8[], $6::jsonb[])
        AS given (id, lease, outcome, error, delay_s, manifest)
), settled AS (
    UPDATE jobs SET
        status = CASE
            WHEN jobs.cancel_requested_at IS NOT NULL THEN 'canceled'
            WHEN given.outcome IN ('retry', 'interrupted') THEN 'pending'
            ELSE given.outcome END,
        attempt = CASE WHEN given.outcome = 'interrupted' AND jobs.cancel_requested_at IS NULL
            THEN jobs.attempt - 1 ELSE jobs.attempt END,
        scheduled_at = CASE WHEN given.outcome = 'retry' AND jobs.cancel_requested_at IS NULL
            THEN now() + make_interval(secs => given.delay_s) ELSE jobs.scheduled_at END,
        error = CASE
            WHEN jobs.cancel_requested_at IS NOT NULL THEN NULL
            WHEN given.outcome = 'interrupted' THEN jobs.error
            ELSE given.error END,
        finished_at = CASE WHEN given.outcome IN ('retry', 'interrupted') AND jobs.cancel_requested_at IS NULL
            THEN NULL ELSE now() END,
        lease = NULL, lease_expires_at = NULL, worker_id = NULL, updated_at = now()
    FROM given
    WHERE jobs.id = given.id AND jobs.status = 'running' AND jobs.lease = given.lease
    RETURNING jobs.id, jobs.owner, jobs.kind, jobs.dataset_id, jobs.status, jobs.error, jobs.scheduled_at,
        old.attempt, given.lease, given.manifest,
        CASE WHEN jobs.status = 'canceled' THEN 'canceled' ELSE given.outcome END AS outcome
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt, lease, data)
    SELECT id, owner, CASE outcome WHEN 'retry' THEN 'retrying' ELSE outcome END, attempt, lease,
        CASE outcome
            WHEN 'retry' THEN jsonb_build_object('error', error, 'scheduled_at', scheduled_at)
            WHEN 'failed' THEN jsonb_build_object('error', error) END
    FROM settled
), attempts AS (
    UPDATE job_attempts SET finished_at = now(), outcome = settled.outcome,
        error = CASE WHEN settled.outcome IN ('retry', 'failed') THEN settled.error END
    FROM settled WHERE job_attempts.lease = settled.lease
), committed AS (
    INSERT INTO job_results (job_id, owner, lease, manifest)
    SELECT id, owner, lease, manifest FROM settled WHERE status = 'completed'
), woken AS MATERIALIZED (
    SELECT pg_notify('gristmill_jobs', '')
    FROM (SELECT FROM settled WHERE status = 'pending' AND scheduled_at <= now() LIMIT 1) AS freed
)
SELECT settled.id, settled.lease, settled.kind, settled.dataset_id, settled.status FROM settled LEFT JOIN woken ON true
"""

# Reads rows that run now, as many as there are executors; rows another rescuer holds are its business.
EXPIRED = """
SELECT id, lease, attempt, max_attempts FROM jobs
WHERE status = 'running' AND lease_expires_at < now()
ORDER BY lease_expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
"""

ENDED = "SELECT lease, outcome FROM job_attempts WHERE lease = ANY ($1::bigint[]) AND outcome IS NOT NULL"

HELD = "SELECT id, lease FROM jobs WHERE status = 'running' AND worker_id = $1"

# Bounded in time, so that PostgreSQL can skip through the claim's index from priority to priority.
NEXT_DUE = """
SELECT extract(epoch FROM min(scheduled_at) - now())::float8 FROM jobs
WHERE status = 'pending' AND NOT blocked AND scheduled_at > now() AND scheduled_at <= now() + make_interval(secs => $1)
"""


@dataclass(frozen=True)
class Heartbeat:
    """One running attempt's sign of life, with its progress when that has changed."""

    job_id: UUID
    lease: int
    progress: Progress | None = None


@dataclass(frozen=True)
class Ending:
    """What became of one attempt, not yet recorded."""

    job_id: UUID
    lease: int
    outcome: Outcome


async def claim_jobs(database: Database, *, worker_id: UUID, limit: int, lease_s: float) -> list[ClaimedJob]:
    """Claim up to `limit` due jobs: each gets a new lease, an attempt row and a history event, in one statement."""
    async with database.driver() as driver:
        records = await driver.fetch(CLAIM, limit, worker_id, lease_s)
    return [claimed_job(dict(record)) for record in records]


async def send_heartbeats(database: Database, beats: Sequence[Heartbeat], *, lease_s: float) -> dict[int, bool]:
    """Renew the leases of all of a worker's attempts in one statement.

    Answers lease → whether a cancel was asked for. A lease that is missing is lost: drop the work, write nothing.
    """
    async with database.driver() as driver:
        records = await driver.fetch(
            HEARTBEAT,
            [beat.job_id for beat in beats],
            [beat.lease for beat in beats],
            [_json(beat.progress) for beat in beats],
            lease_s,
        )
    return {record["lease"]: record["cancel_requested"] for record in records}


async def record_outcomes(database: Database, endings: Sequence[Ending]) -> dict[int, JobStatus]:
    """Record what became of attempts, in one transaction.

    Answers lease → the job's new status. A lease that is missing was refused by the fence: it was lost before.

    Raises:
        InternalError: one of them can't be stored (a NUL in a text, a broken invariant); none of them was.
    """
    try:
        async with database.driver() as driver, driver.transaction():
            return await _record(driver, endings)
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        raise InternalError(f"An outcome does not fit the database ({error.sqlstate})") from error


async def ended_attempts(database: Database, leases: Sequence[int]) -> dict[int, str]:
    """Lease → the outcome that is recorded for it, by whomever. What to ask when a connection died during COMMIT:
    a lease whose outcome is `completed` has its result committed, in the same transaction.
    """
    async with database.driver() as driver:
        return {record["lease"]: record["outcome"] for record in await driver.fetch(ENDED, leases)}


async def held_jobs(database: Database, worker_id: UUID) -> dict[int, UUID]:
    """Lease → job of everything a worker holds by the database's account, a claim whose answer was lost included."""
    async with database.driver() as driver:
        return {record["lease"]: record["id"] for record in await driver.fetch(HELD, worker_id)}


async def next_due_s(database: Database, *, within_s: float) -> float | None:
    """Seconds until the next delayed job is due; None when that is longer than `within_s`."""
    async with database.driver() as driver:
        seconds: float | None = await driver.fetchval(NEXT_DUE, within_s)
        return seconds


async def rescue_jobs(database: Database, *, limit: int = 100) -> dict[int, JobStatus]:
    """Take back what dead workers held: expired leases end as a lost attempt. Answers lease → new status."""
    lost = WorkerLost("The worker stopped sending heartbeats").problem()
    async with database.driver() as driver, driver.transaction():
        expired = await driver.fetch(EXPIRED, limit)
        endings = [
            Ending(
                record["id"],
                record["lease"],
                after_failure(
                    lost,
                    permanent=False,
                    attempt=record["attempt"],
                    max_attempts=record["max_attempts"],
                    delay_s=0.0,
                ),
            )
            for record in expired
        ]
        return await _record(driver, endings) if endings else {}


async def _record(driver: Driver, endings: Sequence[Ending]) -> dict[int, JobStatus]:
    columns = [_ending_columns(ending) for ending in endings]
    records = await driver.fetch(RECORD, *(list(column) for column in zip(*columns, strict=True)))
    ingests = {record["lease"]: record["dataset_id"] for record in records if record["kind"] == "ingest"}
    if ingests:
        outcomes = {ending.lease: ending.outcome for ending in endings}
        statuses = {record["lease"]: JobStatus(record["status"]) for record in records}
        await settle_datasets(driver, _verdicts(ingests, outcomes, statuses))
    return {record["lease"]: JobStatus(record["status"]) for record in records}


def _verdicts(
    ingests: Mapping[int, UUID], outcomes: Mapping[int, Outcome], statuses: Mapping[int, JobStatus]
) -> dict[UUID, Outcome]:
    """The datasets whose ingest is final, with the outcome that counts: a cancel may have overruled the worker's."""
    return {
        dataset_id: Canceled() if statuses[lease] is JobStatus.CANCELED else outcomes[lease]
        for lease, dataset_id in ingests.items()
        if statuses[lease].final
    }


def _ending_columns(ending: Ending) -> tuple[UUID, int, str, str | None, float, str | None]:
    error: str | None = None
    delay_s = 0.0
    manifest: str | None = None
    match ending.outcome:
        case Completed(manifest=written):
            manifest = _json(written)
        case Failed(problem=problem):
            error = _json(problem)
        case Retry(problem=problem, delay_s=seconds):
            error, delay_s = _json(problem), seconds
        case Canceled() | Interrupted():
            pass
        case _ as never:
            assert_never(never)
    return ending.job_id, ending.lease, outcome_name(ending.outcome), error, delay_s, manifest


def _json(value: msgspec.Struct | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
