"""What becomes of attempts: recorded under their lease, once, together with everything that follows from it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, assert_never
from uuid import UUID

import asyncpg
import msgspec

from gristmill.db.datasets import settle_datasets
from gristmill.db.dependents import Ended, settle_dependents
from gristmill.db.engine import Database, Driver
from gristmill.domain.job import INGEST_KIND, JobStatus
from gristmill.domain.outcome import (
    Canceled,
    Completed,
    Failed,
    Interrupted,
    Outcome,
    Retry,
    Snoozed,
    outcome_name,
)
from gristmill.domain.retry import after_failure
from gristmill.errors import InternalError, WorkerLost

# A cancel that was asked for wins over every other outcome: after its 202 the job never completes.
# The result, the history and the status are one statement: either all of it happened or nothing.
# `fenced` is the status that is asked for, as a column: as a literal, the planner took the index of running rows for
# an empty one and read all of them for each outcome. The ids are an array too: with the join alone, it read the whole
# table for each batch while that was small.
RECORD = """
WITH given AS MATERIALIZED (
    SELECT *, 'running' AS fenced
    FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::jsonb[], $5::float8[], $6::jsonb[])
        AS given (id, lease, outcome, error, delay_s, manifest)
), settled AS (
    UPDATE jobs SET
        status = CASE
            WHEN jobs.cancel_requested_at IS NOT NULL THEN 'canceled'
            WHEN given.outcome IN ('retry', 'interrupted', 'snoozed') THEN 'pending'
            ELSE given.outcome END,
        attempt = CASE WHEN given.outcome IN ('interrupted', 'snoozed') AND jobs.cancel_requested_at IS NULL
            THEN jobs.attempt - 1 ELSE jobs.attempt END,
        scheduled_at = CASE WHEN given.outcome IN ('retry', 'snoozed') AND jobs.cancel_requested_at IS NULL
            THEN now() + make_interval(secs => given.delay_s) ELSE jobs.scheduled_at END,
        error = CASE
            WHEN jobs.cancel_requested_at IS NOT NULL THEN NULL
            WHEN given.outcome IN ('interrupted', 'snoozed') THEN jobs.error
            ELSE given.error END,
        manifest = CASE WHEN jobs.cancel_requested_at IS NULL THEN given.manifest END,
        finished_at = CASE
            WHEN given.outcome IN ('retry', 'interrupted', 'snoozed') AND jobs.cancel_requested_at IS NULL THEN NULL
            ELSE now() END,
        lease = NULL, lease_expires_at = NULL, worker_id = NULL, updated_at = now()
    FROM given
    WHERE jobs.id = ANY (ARRAY (SELECT id FROM given)) AND jobs.id = given.id AND jobs.status = given.fenced
        AND jobs.lease = given.lease
    RETURNING jobs.id, jobs.owner, jobs.kind, jobs.dataset_id, jobs.status, jobs.error, jobs.scheduled_at,
        jobs.awaited, old.attempt, given.lease,
        CASE WHEN jobs.status = 'canceled' THEN 'canceled' ELSE given.outcome END AS outcome
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt, lease, data)
    SELECT id, owner, CASE outcome WHEN 'retry' THEN 'retrying' ELSE outcome END, attempt, lease,
        CASE outcome
            WHEN 'retry' THEN jsonb_build_object('error', error, 'scheduled_at', scheduled_at)
            WHEN 'snoozed' THEN jsonb_build_object('scheduled_at', scheduled_at)
            WHEN 'failed' THEN jsonb_build_object('error', error) END
    FROM settled
), lost AS (
    INSERT INTO lost_attempts (lease, job_id, kind, dataset_id)
    SELECT lease, id, kind, dataset_id FROM settled WHERE outcome <> 'completed'
), woken AS MATERIALIZED (
    SELECT pg_notify('gristmill_jobs', '')
    FROM (SELECT FROM settled WHERE status = 'pending' AND scheduled_at <= now() LIMIT 1) AS freed
)
SELECT settled.id, settled.lease, settled.kind, settled.dataset_id, settled.status, settled.awaited
FROM settled LEFT JOIN woken ON true
"""

# What nearly all attempts come to: completed, and nothing follows for anybody else. One statement is the whole
# transaction, with as few columns as may be: for no-op jobs it takes three quarters of what RECORD takes.
COMPLETE = """
WITH given AS MATERIALIZED (
    SELECT *, 'running' AS fenced FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS given (id, lease, manifest)
), settled AS (
    UPDATE jobs SET status = 'completed', manifest = given.manifest::jsonb, error = NULL, finished_at = now(),
        lease = NULL, lease_expires_at = NULL, worker_id = NULL, updated_at = now()
    FROM given
    WHERE jobs.id = ANY (ARRAY (SELECT id FROM given)) AND jobs.id = given.id AND jobs.status = given.fenced
        AND jobs.lease = given.lease AND jobs.cancel_requested_at IS NULL AND NOT jobs.awaited
        AND jobs.kind <> 'ingest'
    RETURNING jobs.id, jobs.owner, jobs.attempt, given.lease
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt, lease)
    SELECT id, owner, 'completed', attempt, lease FROM settled
)
SELECT lease FROM settled
"""

# Reads rows that run now, as many as there are executors; rows another rescuer holds are its business.
EXPIRED = """
SELECT id, lease, attempt, max_attempts FROM jobs
WHERE status = 'running' AND lease_expires_at < now()
ORDER BY lease_expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
"""

ENDED = """
SELECT job_events.lease, job_events.type
FROM unnest($1::uuid[], $2::bigint[]) AS asked (job_id, lease)
JOIN job_events ON job_events.job_id = asked.job_id AND job_events.lease = asked.lease
WHERE job_events.type NOT IN ('claimed', 'cancel_requested')
"""


class Ending(NamedTuple):
    """What became of one attempt, not yet recorded."""

    job_id: UUID
    lease: int
    outcome: Outcome


async def record_outcomes(database: Database, endings: Sequence[Ending]) -> dict[int, JobStatus]:
    """Record what became of attempts; each together with all that follows from it for others.

    Answers lease → the job's new status. A lease that is missing was refused by the fence: it was lost before.

    Raises:
        InternalError: one of them can't be stored (a NUL in a text, a broken invariant). Recording all of them again
            is harmless: what was recorded is refused, and `ended_attempts` knows of it.
    """
    try:
        statuses: dict[int, JobStatus] = {}
        async with database.driver() as driver:
            if all(isinstance(ending.outcome, Completed) for ending in endings):
                statuses = await _complete(driver, endings)
                if len(statuses) == len(endings):
                    return statuses
            async with driver.transaction():
                return statuses | await _record(driver, [end for end in endings if end.lease not in statuses])
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        raise InternalError(f"An outcome does not fit the database ({error.sqlstate})") from error


async def ended_attempts(database: Database, attempts: Sequence[tuple[UUID, int]]) -> dict[int, str]:
    """Lease → the outcome that is recorded for (job, lease), by whomever. What to ask when a connection died during
    COMMIT: a lease whose outcome is `completed` has its result committed, in the same transaction.
    """
    async with database.driver() as driver:
        records = await driver.fetch(ENDED, [job_id for job_id, _ in attempts], [lease for _, lease in attempts])
    return {lease: "retry" if name == "retrying" else name for lease, name in records}


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


async def _complete(driver: Driver, endings: Sequence[Ending]) -> dict[int, JobStatus]:
    """Record the completed of them, as far as nothing follows from it for others."""
    done = [
        (ending.job_id, ending.lease, _json(ending.outcome.manifest))
        for ending in endings
        if isinstance(ending.outcome, Completed)
    ]
    records = await driver.fetch(COMPLETE, *map(list, zip(*done, strict=True)))
    return {lease: JobStatus.COMPLETED for (lease,) in records}


async def _record(driver: Driver, endings: Sequence[Ending]) -> dict[int, JobStatus]:
    records = await driver.fetch(RECORD, *_columns(endings))
    statuses = {record["lease"]: JobStatus(record["status"]) for record in records}
    final = [record for record in records if statuses[record["lease"]].final]
    ingests = {record["lease"]: record["dataset_id"] for record in final if record["kind"] == INGEST_KIND}
    if ingests:
        await settle_datasets(driver, _verdicts(ingests, endings, statuses))
    awaited = [Ended(record["id"], statuses[record["lease"]]) for record in final if record["awaited"]]
    if awaited:
        await settle_dependents(driver, awaited)
    return statuses


def _verdicts(
    ingests: Mapping[int, UUID], endings: Sequence[Ending], statuses: Mapping[int, JobStatus]
) -> dict[UUID, Outcome]:
    """The datasets whose ingest is final, with the outcome that counts: a cancel may have overruled the worker's."""
    outcomes = {ending.lease: ending.outcome for ending in endings}
    return {
        dataset_id: Canceled() if statuses[lease] is JobStatus.CANCELED else outcomes[lease]
        for lease, dataset_id in ingests.items()
    }


def _columns(endings: Sequence[Ending]) -> list[list[object]]:
    return [list(column) for column in zip(*map(_ending_columns, endings), strict=True)]


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
        case Snoozed(delay_s=seconds):
            delay_s = seconds
        case Canceled() | Interrupted():
            pass
        case _ as never:
            assert_never(never)
    return ending.job_id, ending.lease, outcome_name(ending.outcome), error, delay_s, manifest


def _json(value: msgspec.Struct) -> str:
    return msgspec.json.encode(value).decode()
