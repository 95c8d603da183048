"""What follows for the jobs that wait for a job: those that take its result as data, and those that are identical.

Runs in the transaction that made the job final, so nobody ever waits for something that is over.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

import asyncpg
import msgspec

from gristmill.db.engine import Driver
from gristmill.domain.dataset import DatasetStatus
from gristmill.domain.job import JobStatus
from gristmill.errors import DatasetFailed, InputFailed, Problem

RELEASE = """
WITH released AS (
    UPDATE jobs SET blocked = false, waits_for = NULL, scheduled_at = greatest(scheduled_at, now()), updated_at = now()
    WHERE waits_for = ANY ($1::uuid[]) AND blocked AND reused_from IS NULL
    RETURNING id, owner
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt) SELECT id, owner, 'released', 0 FROM released
)
SELECT pg_notify('gristmill_jobs', '') FROM (SELECT FROM released LIMIT 1) AS freed
"""

# The same work was done: its result is theirs.
HAND_OVER = """
WITH done AS (
    UPDATE jobs SET blocked = false, waits_for = NULL, status = 'completed', manifest = leader.manifest,
        finished_at = now(), updated_at = now()
    FROM jobs AS leader
    WHERE leader.id = ANY ($1::uuid[]) AND jobs.waits_for = leader.id AND jobs.blocked AND jobs.reused_from = leader.id
    RETURNING jobs.id, jobs.owner, jobs.reused_from, jobs.awaited
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt, data)
    SELECT id, owner, 'completed', 0, jsonb_build_object('reused_from', reused_from) FROM done
)
SELECT id, awaited FROM done
"""

TAKERS = """
SELECT id FROM jobs WHERE waits_for = ANY ($1::uuid[]) AND blocked AND reused_from IS NULL ORDER BY id FOR UPDATE
"""

TWINS = """
SELECT twin.id, twin.waits_for AS leader, twin.dataset_id, datasets.status AS dataset_status,
    twin.input_job_id, source.status AS input_status
FROM jobs AS twin
JOIN datasets ON datasets.id = twin.dataset_id
LEFT JOIN jobs AS source ON source.id = twin.input_job_id
WHERE twin.waits_for = ANY ($1::uuid[]) AND twin.blocked AND twin.reused_from = twin.waits_for
ORDER BY twin.waits_for, twin.id FOR UPDATE OF twin
"""

FAIL = """
WITH failed AS (
    UPDATE jobs SET blocked = false, waits_for = NULL, status = 'failed', error = $2::jsonb, finished_at = now(),
        updated_at = now()
    WHERE id = ANY ($1::uuid[]) AND blocked
    RETURNING id, owner, error, awaited
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt, data)
    SELECT id, owner, 'failed', 0, jsonb_build_object('error', error) FROM failed
)
SELECT id, awaited FROM failed
"""

# The oldest twin does the work in the leader's place.
INHERIT = """
WITH heir AS (
    UPDATE jobs SET reused_from = NULL, waits_for = $2::uuid, blocked = $2 IS NOT NULL, awaited = awaited OR $3,
        scheduled_at = greatest(scheduled_at, now()), updated_at = now()
    WHERE id = $1
    RETURNING id, owner, blocked
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt) SELECT id, owner, 'released', 0 FROM heir WHERE NOT blocked
)
SELECT pg_notify('gristmill_jobs', '') FROM heir WHERE NOT blocked
"""
FOLLOW = "UPDATE jobs SET reused_from = $1, waits_for = $1, updated_at = now() WHERE id = ANY ($2::uuid[])"


@dataclass(frozen=True)
class Ended:
    """A job that others wait for and that has become final."""

    id: UUID
    status: JobStatus


async def settle_dependents(driver: Driver, ended: Sequence[Ended]) -> None:
    """Let go of all that waits for these jobs, and of what waits for those in turn."""
    while ended:
        completed = [job.id for job in ended if job.status is JobStatus.COMPLETED]
        lost = [job for job in ended if job.status is not JobStatus.COMPLETED]
        following: list[Ended] = []
        if completed:
            await driver.execute(RELEASE, completed)
            following += _awaited(await driver.fetch(HAND_OVER, completed), JobStatus.COMPLETED)
        for job in lost:
            following += await _fail_takers(driver, job)
        if lost:
            following += await _settle_twins(driver, [job.id for job in lost])
        ended = following


async def fail_waiting(driver: Driver, waits_for: UUID, problem: Problem) -> None:
    """Fail the jobs that wait for a dataset or job for their data, and what follows from that."""
    waiting = [record["id"] for record in await driver.fetch(TAKERS, [waits_for])]
    await settle_dependents(driver, await _fail(driver, waiting, problem))


async def _fail_takers(driver: Driver, job: Ended) -> list[Ended]:
    waiting = [record["id"] for record in await driver.fetch(TAKERS, [job.id])]
    return await _fail(driver, waiting, input_failed(job).problem())


def input_failed(job: Ended) -> InputFailed:
    return InputFailed(f"The job whose result it takes as data, {job.id}, is {job.status.value}")


async def _settle_twins(driver: Driver, leaders: Sequence[UUID]) -> list[Ended]:
    """Somebody else does what the leaders did not; where that can't be, they fail as well."""
    following: list[Ended] = []
    for _, group in groupby(await driver.fetch(TWINS, leaders), key=lambda record: record["leader"]):
        twins = list(group)
        problem = _hopeless(twins[0])
        if problem is not None:
            following += await _fail(driver, [twin["id"] for twin in twins], problem)
            continue
        heir, *others = twins
        await driver.execute(INHERIT, heir["id"], _still_waits_for(heir), bool(others))
        if others:
            await driver.execute(FOLLOW, heir["id"], [twin["id"] for twin in others])
    return following


def _hopeless(twin: asyncpg.Record) -> Problem | None:
    if twin["dataset_status"] == DatasetStatus.FAILED:
        return DatasetFailed("The dataset this job waited for has failed").problem()
    if twin["input_job_id"] is None:
        return None
    status = JobStatus(twin["input_status"] or JobStatus.FAILED)
    if status in (JobStatus.FAILED, JobStatus.CANCELED):
        return input_failed(Ended(twin["input_job_id"], status)).problem()
    return None


def _still_waits_for(twin: asyncpg.Record) -> UUID | None:
    waits_for: UUID | None = None
    if twin["input_job_id"] is not None and not JobStatus(twin["input_status"]).final:
        waits_for = twin["input_job_id"]
    elif twin["dataset_status"] == DatasetStatus.VALIDATING:
        waits_for = twin["dataset_id"]
    return waits_for


async def _fail(driver: Driver, jobs: Sequence[UUID], problem: Problem) -> list[Ended]:
    if not jobs:
        return []
    records = await driver.fetch(FAIL, jobs, msgspec.json.encode(problem).decode())
    return _awaited(records, JobStatus.FAILED)


def _awaited(records: Iterable[asyncpg.Record], status: JobStatus) -> list[Ended]:
    return [Ended(record["id"], status) for record in records if record["awaited"]]
