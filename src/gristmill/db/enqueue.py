"""Putting jobs into the queue: one statement for one job or a thousand, each with its first event and the wake-up.

Identical work is done once: a job with a `reuse_key` takes the result of a completed one with the same key, or waits
for the one that is doing it (its leader). A unique index allows one leader a key, so twins posted at the same moment
join, whichever comes first.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

from gristmill.db.bulk import insert_many
from gristmill.db.dependents import Ended, input_failed
from gristmill.db.engine import Database, Driver
from gristmill.db.rows import JOB_COLUMNS, JobRow, NewJob, job_row, new_row, sources_of
from gristmill.domain.job import JobStatus
from gristmill.domain.source import DatasetSource, DocumentSource, Source
from gristmill.errors import InputFailed, NotFound

# One job, in one statement of its own. The dataset's row is locked until we commit, so that its ingest can't settle
# between our look and our insert.
_ONE = """
WITH added AS (
    INSERT INTO jobs (owner, dataset_id, input_job_id, kind, kind_version, params, labels, priority, limit_key,
        scheduled_at, max_attempts, timeout_s, reuse_key, webhook_id, sources, traceparent, waits_for, blocked)
    SELECT owner, id, $3, $4, $5, $6::jsonb, $7::jsonb, $8, $9, coalesce($10, now()), $11, $12, $13, $14, $15::jsonb,
        $16, coalesce($17, CASE WHEN status = 'validating' THEN id END), $17 IS NOT NULL OR status = 'validating'
    FROM datasets WHERE owner = $1 AND id = $2 AND status IN ('validating', 'ready'){unless} FOR SHARE
    {otherwise}
    RETURNING id, owner, kind, priority, limit_key, blocked, waits_for, scheduled_at, created_at
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt) SELECT id, owner, 'created', 0 FROM added
), woken AS MATERIALIZED (
    SELECT pg_notify('gristmill_jobs', json_build_array(priority, kind, owner, limit_key)::text)
    FROM added WHERE NOT blocked AND scheduled_at <= now()
)
SELECT id AS identity, waits_for, scheduled_at, created_at FROM added LEFT JOIN woken ON true
"""
ONE = _ONE.format(unless="", otherwise="")

# The same with a key, where there is no twin yet, which is the usual case: half the time of REUSING, which is asked
# where this adds nothing.
FIRST = _ONE.format(
    unless="""
        AND NOT EXISTS (SELECT FROM jobs WHERE jobs.owner = $1 AND jobs.reuse_key = $13 AND jobs.reused_from IS NULL
            AND jobs.status = 'completed')""",
    otherwise="""ON CONFLICT (owner, reuse_key)
        WHERE reuse_key IS NOT NULL AND reused_from IS NULL AND status IN ('pending', 'running') DO NOTHING""",
)

_WAITS = (
    "CASE WHEN twin.id IS NULL"
    " THEN coalesce(given.waits_for, CASE WHEN target.status = 'validating' THEN target.id END) END"
)
_COLUMNS = ", ".join(f"added.{name}" for name in JOB_COLUMNS)

# A finished twin, locked so that it is not forgotten meanwhile: the job is born completed. A leader under way: nothing
# is inserted, and JOIN_LEADER is asked.
REUSING = f"""
WITH given AS MATERIALIZED (
    SELECT uuidv7() AS id, * FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::smallint[], $6::text[], $7::text[],
        $8::smallint[], $9::text[], $10::timestamptz[], $11::smallint[], $12::int[], $13::text[], $14::uuid[],
        $15::text[], $16::text[], $17::uuid[])
    WITH ORDINALITY AS job (dataset_id, input_job_id, kind, kind_version, params, labels, priority, limit_key,
        scheduled_at, max_attempts, timeout_s, reuse_key, webhook_id, sources, traceparent, waits_for, place)
), target AS MATERIALIZED (
    SELECT id, status FROM datasets WHERE owner = $1 AND id = ANY ($2) AND status IN ('validating', 'ready')
    ORDER BY id FOR SHARE
), twin AS MATERIALIZED (
    SELECT id, reuse_key, manifest FROM jobs WHERE id = ANY (ARRAY (
        SELECT DISTINCT ON (reuse_key) id FROM jobs
        WHERE owner = $1 AND reuse_key = ANY ($13) AND reused_from IS NULL AND status = 'completed'
        ORDER BY reuse_key, id DESC
    )) ORDER BY id FOR SHARE
), added AS (
    INSERT INTO jobs (id, owner, dataset_id, input_job_id, kind, kind_version, params, labels, priority, limit_key,
        scheduled_at, max_attempts, timeout_s, reuse_key, webhook_id, sources, traceparent, waits_for, blocked,
        reused_from,
        status, manifest, finished_at)
    SELECT given.id, $1, given.dataset_id, given.input_job_id, given.kind, given.kind_version, given.params::jsonb,
        given.labels::jsonb, given.priority, given.limit_key, coalesce(given.scheduled_at, now()), given.max_attempts,
        given.timeout_s, given.reuse_key, given.webhook_id, given.sources::jsonb, given.traceparent, {_WAITS},
        {_WAITS} IS NOT NULL,
        twin.id,
        CASE WHEN twin.id IS NULL THEN 'pending' ELSE 'completed' END, twin.manifest,
        CASE WHEN twin.id IS NOT NULL THEN now() END
    FROM given JOIN target ON target.id = given.dataset_id LEFT JOIN twin ON twin.reuse_key = given.reuse_key
    ORDER BY given.place
    ON CONFLICT (owner, reuse_key)
        WHERE reuse_key IS NOT NULL AND reused_from IS NULL AND status IN ('pending', 'running') DO NOTHING
    RETURNING *
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt, data)
    SELECT id, owner, 'created', 0, NULL::jsonb FROM added
    UNION ALL SELECT id, owner, 'completed', 0, jsonb_build_object('reused_from', reused_from)
    FROM added WHERE status = 'completed'
), due AS (
    SELECT DISTINCT priority, kind, owner, limit_key FROM added
    WHERE status = 'pending' AND NOT blocked AND scheduled_at <= now()
), woken AS MATERIALIZED (
    SELECT pg_notify('gristmill_jobs', CASE count(*)
        WHEN 1 THEN min(json_build_array(priority, kind, owner, limit_key)::text) ELSE '' END)
    FROM due HAVING count(*) > 0
)
SELECT given.place, {_COLUMNS} FROM given JOIN added ON added.id = given.id LEFT JOIN woken ON true
"""  # noqa: S608 (names of columns, ours)

# The leader's row is ours until we commit: it can't become final and forget those who wait.
JOIN_LEADER = f"""
WITH leader AS (
    UPDATE jobs SET awaited = true
    WHERE owner = $1 AND reuse_key = $13 AND reused_from IS NULL AND status IN ('pending', 'running')
    RETURNING id
), added AS (
    INSERT INTO jobs (owner, dataset_id, input_job_id, kind, kind_version, params, labels, priority, limit_key,
        scheduled_at, max_attempts, timeout_s, reuse_key, webhook_id, sources, traceparent, reused_from, waits_for,
        blocked)
    SELECT $1, $2, $3, $4, $5, $6::jsonb, $7::jsonb, $8, $9, coalesce($10, now()), $11, $12, $13, $14, $15::jsonb, $16,
        id, id, true
    FROM leader
    RETURNING *
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt, data)
    SELECT id, owner, 'created', 0, jsonb_build_object('waits_for', waits_for) FROM added
)
SELECT {_COLUMNS} FROM added
"""  # noqa: S608 (names of columns, ours)

AWAIT = """
UPDATE jobs SET awaited = true WHERE owner = $1 AND id = ANY ($2::uuid[]) AND status IN ('pending', 'running')
"""
SOURCES = "SELECT id, status FROM jobs WHERE owner = $1 AND id = ANY ($2::uuid[]) ORDER BY id FOR SHARE"

# What params name is not removed before we commit: whoever does locks it for an update, and then sees the new jobs.
NAMED_JOBS = "SELECT id FROM jobs WHERE owner = $1 AND id = ANY ($2::uuid[]) AND status = 'completed' FOR SHARE"
NAMED_DATASETS = "SELECT id FROM datasets WHERE owner = $1 AND id = ANY ($2::uuid[]) AND status = 'ready' FOR SHARE"

# A leader may be over before we reach it, and another one there by the time we look again.
MOST_TRIES = 5


async def enqueue_job(database: Database, job: NewJob) -> JobRow | None:
    """Add the job, its first event and the wake-up.

    On a dataset that is still validating, or a job that is not final, the job waits (`blocked`).
    None: no such dataset of this owner, or it failed.
    """
    return (await enqueue_jobs(database, [job]))[0]


async def enqueue_jobs(database: Database, jobs: Sequence[NewJob]) -> list[JobRow | None]:
    """Add jobs of one owner, all or none: if one is refused (None, see `enqueue_job`), nothing is added.

    Raises:
        InputFailed: the job whose result is to be the data has failed or was canceled, or what params name is gone.
        NotFound: there is no such job of this owner.
    """
    async with database.driver() as driver:
        if len(jobs) == 1 and jobs[0].input_job_id is None and not jobs[0].sources:
            return await insert_jobs(driver, jobs)
        transaction = driver.transaction()
        await transaction.start()
        try:
            rows = await insert_jobs(driver, jobs)
        except BaseException:
            await transaction.rollback()
            raise
        if None in rows:
            await transaction.rollback()
        else:
            await transaction.commit()
        return rows


async def insert_jobs(driver: Driver, jobs: Sequence[NewJob]) -> list[JobRow | None]:
    """The same on a connection. Many jobs, or one with `input_job_id` or `sources`, need the caller's transaction."""
    named = {source for job in jobs for source in job.sources}
    if named:
        await _hold(driver, jobs[0].owner, named)
    if len(jobs) == 1 and jobs[0].reuse_key is None and jobs[0].input_job_id is None:
        return [await _insert_one(driver, jobs[0], frozenset())]
    sources = {job.input_job_id for job in jobs if job.input_job_id is not None}
    waits_for = await _unfinished(driver, jobs[0].owner, sources) if sources else frozenset()
    if any(job.reuse_key for job in jobs):
        first = await _insert_one(driver, jobs[0], waits_for, FIRST) if len(jobs) == 1 else None
        return await _insert_reusing(driver, jobs, waits_for) if first is None else [first]
    if len(jobs) == 1:
        return [await _insert_one(driver, jobs[0], waits_for)]
    return await insert_many(driver, jobs, waits_for)


async def _insert_reusing(driver: Driver, jobs: Sequence[NewJob], waits_for: Collection[UUID]) -> list[JobRow | None]:
    rows: list[JobRow | None] = [None] * len(jobs)
    for _ in range(MOST_TRIES):
        missing = [n for n, row in enumerate(rows) if row is None]
        columns = zip(*(_waiting(jobs[n], waits_for) for n in missing), strict=True)
        for place, *record in await driver.fetch(REUSING, jobs[0].owner, *map(list, columns)):
            rows[missing[place - 1]] = job_row(dict(zip(JOB_COLUMNS, record, strict=True)))
        for n in missing:
            if rows[n] is None and jobs[n].reuse_key is not None:
                rows[n] = await _join_leader(driver, jobs[n])
        if None not in rows:
            break
    return rows


async def _hold(driver: Driver, owner: str, named: Collection[Source]) -> None:
    """Lock what params name until the caller commits. Raises InputFailed where it was removed meanwhile."""
    for kind, statement in ((DocumentSource, NAMED_JOBS), (DatasetSource, NAMED_DATASETS)):
        wanted = {source.id for source in named if isinstance(source, kind)}
        if wanted and len(await driver.fetch(statement, owner, sorted(wanted))) < len(wanted):
            raise InputFailed("What the params name was removed meanwhile")


async def _insert_one(driver: Driver, job: NewJob, waits_for: Collection[UUID], statement: str = ONE) -> JobRow | None:
    record = await driver.fetchrow(statement, job.owner, *_waiting(job, waits_for))
    return None if record is None else new_row(job, **record)


async def _join_leader(driver: Driver, job: NewJob) -> JobRow | None:
    record = await driver.fetchrow(JOIN_LEADER, job.owner, *_given(job))
    return None if record is None else job_row(dict(record))


async def _unfinished(driver: Driver, owner: str, sources: Collection[UUID]) -> frozenset[UUID]:
    """Those of the jobs that are not final. They can't become so before we commit, and find who waits for them."""
    await driver.execute(AWAIT, owner, sorted(sources))
    found = {record["id"]: JobStatus(record["status"]) for record in await driver.fetch(SOURCES, owner, list(sources))}
    for source in sources:
        status = found.get(source)
        if status is None:
            raise NotFound("There is no such job to take the result of.")
        if status in (JobStatus.FAILED, JobStatus.CANCELED):
            raise input_failed(Ended(source, status))
    return frozenset(source for source, status in found.items() if not status.final)


def _waiting(job: NewJob, waits_for: Collection[UUID]) -> tuple[object, ...]:
    return (*_given(job), job.input_job_id if job.input_job_id in waits_for else None)


def _given(job: NewJob) -> tuple[object, ...]:
    return (
        job.dataset_id,
        job.input_job_id,
        job.kind,
        job.kind_version,
        job.params.decode(),
        job.labels.decode(),
        job.priority,
        job.limit_key,
        job.scheduled_at,
        job.max_attempts,
        job.timeout_s,
        job.reuse_key,
        job.webhook_id,
        sources_of(job),
        job.traceparent,
    )
