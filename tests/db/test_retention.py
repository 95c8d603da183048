"""Finished jobs are forgotten at their age, by batches; what is not final, or what others need, never is."""

import asyncio
from uuid import UUID

import pytest

from gristmill.db import retention
from gristmill.db.engine import Database
from gristmill.db.retention import FIRST, WINDOW, prune_jobs
from gristmill.db.workers import unswept_attempts
from gristmill.domain.outcome import Failed
from gristmill.domain.source import DocumentSource
from gristmill.errors import BadData
from tests.db.rows import claim, enqueued, new_dataset, record

DAY_S = 86_400.0
BAD = Failed(BadData("It is empty").problem())

MAKE = """
INSERT INTO jobs (id, owner, kind, kind_version, dataset_id, params, status, created_at, finished_at, error, manifest,
    lease, lease_expires_at, worker_id)
SELECT uuidv7(-make_interval(days => $3)), 'ann', 'metrics', 1, $1::uuid, '{}', $2::text,
    now() - make_interval(days => $3),
    CASE WHEN $2 IN ('completed', 'failed', 'canceled') THEN now() - make_interval(days => $3) END,
    CASE $2 WHEN 'failed' THEN '{}'::jsonb END, CASE $2 WHEN 'completed' THEN '{}'::jsonb END,
    CASE $2 WHEN 'running' THEN 1 END, CASE $2 WHEN 'running' THEN now() END,
    CASE $2 WHEN 'running' THEN uuidv7() END
FROM generate_series(1, $4) RETURNING id
"""


@pytest.fixture
async def dataset_id(database: Database) -> UUID:
    dataset_id = await new_dataset(database)
    async with database.driver() as driver:
        await driver.execute("DELETE FROM jobs")
        await driver.execute("DELETE FROM job_events")
    return dataset_id


async def make(database: Database, dataset_id: UUID, status: str, *, days: int, jobs: int = 1) -> list[UUID]:
    async with database.driver() as driver:
        return [row["id"] for row in await driver.fetch(MAKE, dataset_id, status, days, jobs)]


async def left(database: Database) -> list[UUID]:
    async with database.driver() as driver:
        return [row["id"] for row in await driver.fetch("SELECT id FROM jobs")]


async def prune(database: Database, *, keep_s: float = 10 * DAY_S, keep_failed_s: float = 20 * DAY_S) -> int:
    return (await prune_jobs(database, after=FIRST, keep_s=keep_s, keep_failed_s=keep_failed_s)).pruned


@pytest.mark.parametrize(
    ("status", "days", "kept"),
    [
        ("completed", 9, True),
        ("completed", 11, False),
        ("canceled", 9, True),
        ("canceled", 11, False),
        ("failed", 19, True),
        ("failed", 21, False),
        ("pending", 1000, True),
        ("running", 1000, True),
    ],
)
async def test_only_what_ended_long_ago_goes(
    database: Database, dataset_id: UUID, status: str, days: int, *, kept: bool
) -> None:
    made = await make(database, dataset_id, status, days=days)
    assert await prune(database) == (0 if kept else 1)
    assert await left(database) == (made if kept else [])
    assert await prune(database, keep_s=0, keep_failed_s=0) == 0


async def test_a_job_takes_its_events_along_and_notes_its_objects(database: Database, dataset_id: UUID) -> None:
    job = await enqueued(database, dataset_id)
    (claimed,) = await claim(database)
    await record(database, claimed)
    assert await prune(database, keep_s=1e-9) == 1
    async with database.driver() as driver:
        assert await driver.fetchval("SELECT count(*) FROM job_events") == 0
    (noted,) = await unswept_attempts(database, grace_s=0)
    assert (noted.job_id, noted.lease) == (job.id, claimed.lease)


async def test_what_others_need_stays(database: Database, dataset_id: UUID) -> None:
    root = await enqueued(database, dataset_id, reuse_key="k")
    (claimed,) = await claim(database)
    await record(database, claimed)
    reuser = await enqueued(database, dataset_id, reuse_key="k")
    taker = await enqueued(database, dataset_id, input_job_id=reuser.id)
    named = await enqueued(database, dataset_id)
    (claimed,) = [job for job in await claim(database) if job.id == named.id]
    await record(database, claimed)
    source = DocumentSource("fitted_from", named.id, "job-results", "r/fitted.json", "0" * 64)
    naming = await enqueued(database, dataset_id, sources=(source,))
    lost = await enqueued(database, dataset_id)
    for job in await claim(database):
        assert job.sources == ((source,) if job.id == naming.id else ())
        if job.id == lost.id:
            await record(database, job, BAD)
    assert await prune(database, keep_s=1e-9, keep_failed_s=1e-9) == 0
    assert set(await left(database)) == {root.id, reuser.id, taker.id, named.id, naming.id, lost.id}


async def test_many_go_window_by_window_and_two_at_once_do_no_harm(database: Database, dataset_id: UUID) -> None:
    await make(database, dataset_id, "completed", days=30, jobs=WINDOW + 50)
    stays = await make(database, dataset_id, "pending", days=30, jobs=10)
    first = await prune_jobs(database, after=FIRST, keep_s=DAY_S, keep_failed_s=DAY_S)
    assert first.pruned <= WINDOW
    assert first.after is not None
    rest = await asyncio.gather(
        *(prune_jobs(database, after=FIRST, keep_s=DAY_S, keep_failed_s=DAY_S) for _ in range(4))
    )
    assert first.pruned + sum(walked.pruned for walked in rest) == WINDOW + 50
    assert sorted(await left(database)) == sorted(stays)


async def test_the_walk_does_not_read_what_is_too_young(database: Database, dataset_id: UUID) -> None:
    await make(database, dataset_id, "completed", days=1, jobs=3 * WINDOW)
    walked = await prune_jobs(database, after=FIRST, keep_s=10 * DAY_S, keep_failed_s=10 * DAY_S)
    assert walked == retention.Walked(None, 0)
