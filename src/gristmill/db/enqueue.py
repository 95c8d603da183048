"""Putting jobs into the queue: one statement for one job or a thousand, each with its first event and the wake-up.

Identical work is done once: a job with a `reuse_key` takes the result of a completed one with the same key, or waits
for the one that is doing it (its leader). A unique index allows one leader a key, so twins posted at the same moment
join, whichever comes first.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import msgspec

from gristmill.db.dependents import Ended, input_failed
from gristmill.db.engine import Database, Driver
from gristmill.db.rows import JOB_COLUMNS, JobRow, job_row
from gristmill.domain.job import JobStatus
from gristmill.domain.source import DatasetSource, DocumentSource, Source, Sources
from gristmill.errors import InputFailed, NotFound

# What is given for each job, and its type. Of many jobs most of it is the same: that is given once.
GIVEN = {
    "dataset_id": "uuid",
    "input_job_id": "uuid",
    "kind": "text",
    "kind_version": "smallint",
    "params": "text",
    "labels": "text",
    "priority": "smallint",
    "limit_key": "text",
    "scheduled_at": "timestamptz",
    "max_attempts": "smallint",
    "timeout_s": "int",
    "reuse_key": "text",
    "waits_for": "uuid",
    "sources": "text",
}

# The datasets' rows are locked until we commit, so that their ingest can't settle them between our look and our insert.
ENQUEUE = """
WITH given AS MATERIALIZED (
    SELECT uuidv7() AS id, place, {{given}} FROM unnest({{arrays}}) WITH ORDINALITY AS varying ({{varying}}, place)
), target AS MATERIALIZED (
    SELECT id, status FROM datasets WHERE owner = $1 AND id = ANY ($2::uuid[]) AND status IN ('validating', 'ready')
    ORDER BY id FOR SHARE
){twins}, added AS (
    INSERT INTO jobs (id, owner, dataset_id, input_job_id, kind, kind_version, params, labels, priority, limit_key,
        scheduled_at, max_attempts, timeout_s, reuse_key, sources, waits_for, blocked{reuse_columns})
    SELECT given.id, $1, given.dataset_id, given.input_job_id, given.kind, given.kind_version, given.params::jsonb,
        given.labels::jsonb, given.priority, given.limit_key, coalesce(given.scheduled_at, now()), given.max_attempts,
        given.timeout_s, given.reuse_key, given.sources::jsonb, {waits_for}, {waits_for} IS NOT NULL{reuse_values}
    FROM given JOIN target ON target.id = given.dataset_id{reuse_join}
    ORDER BY given.place{reuse_conflict}
    RETURNING {returned}
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt{event_columns})
    SELECT id, owner, 'created', 0{created_values} FROM added{completed_events}
), due AS (
    SELECT DISTINCT priority, kind, owner, limit_key FROM added
    WHERE status = 'pending' AND NOT blocked AND scheduled_at <= now()
), woken AS MATERIALIZED (
    SELECT pg_notify('gristmill_jobs', CASE count(*)
        WHEN 1 THEN min(json_build_array(priority, kind, owner, limit_key)::text) ELSE '' END)
    FROM due HAVING count(*) > 0
)
SELECT given.place, {columns} FROM given JOIN added ON added.id = given.id LEFT JOIN woken ON true
"""

_WAITS = "coalesce(given.waits_for, CASE WHEN target.status = 'validating' THEN given.dataset_id END)"
_COLUMNS = ", ".join(f"added.{name}" for name in JOB_COLUMNS)
# What the database decides about a new job; the rest of its row is as it was given.
DECIDED = ("id", "blocked", "waits_for", "scheduled_at", "created_at")

PLAIN = ENQUEUE.format(
    twins="",
    reuse_columns="",
    reuse_values="",
    reuse_join="",
    reuse_conflict="",
    event_columns="",
    created_values="",
    completed_events="",
    waits_for=_WAITS,
    returned=", ".join(dict.fromkeys([*DECIDED, "owner", "status", "priority", "kind", "limit_key"])),
    columns=", ".join(f"added.{name}" for name in DECIDED),
)

# The same for one job: arrays and what joins them cost half as much again as the row.
ONE = """
WITH added AS (
    INSERT INTO jobs (owner, dataset_id, input_job_id, kind, kind_version, params, labels, priority, limit_key,
        scheduled_at, max_attempts, timeout_s, reuse_key, sources, waits_for, blocked)
    SELECT owner, id, $3, $4, $5, $6::jsonb, $7::jsonb, $8, $9, coalesce($10, now()), $11, $12, $13, $15::jsonb,
        coalesce($14, CASE WHEN status = 'validating' THEN id END), $14 IS NOT NULL OR status = 'validating'
    FROM datasets WHERE owner = $1 AND id = $2 AND status IN ('validating', 'ready') FOR SHARE
    RETURNING id, owner, kind, priority, limit_key, blocked, waits_for, scheduled_at, created_at
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt) SELECT id, owner, 'created', 0 FROM added
), woken AS MATERIALIZED (
    SELECT pg_notify('gristmill_jobs', json_build_array(priority, kind, owner, limit_key)::text)
    FROM added WHERE NOT blocked AND scheduled_at <= now()
)
SELECT id, blocked, waits_for, scheduled_at, created_at FROM added LEFT JOIN woken ON true
"""

# A finished twin, locked so that it is not forgotten meanwhile: the job is born completed. A leader under way: nothing
# is inserted, and JOIN_LEADER is asked.
REUSING = ENQUEUE.format(
    twins="""
, twin AS MATERIALIZED (
    SELECT id, reuse_key, manifest FROM jobs WHERE id = ANY (ARRAY (
        SELECT DISTINCT ON (reuse_key) id FROM jobs
        WHERE owner = $1 AND reuse_key = ANY ($3::text[]) AND reused_from IS NULL AND status = 'completed'
        ORDER BY reuse_key, id DESC
    )) ORDER BY id FOR SHARE
)""",
    reuse_columns=", reused_from, status, manifest, finished_at",
    reuse_values=""", twin.id, CASE WHEN twin.id IS NULL THEN 'pending' ELSE 'completed' END, twin.manifest,
        CASE WHEN twin.id IS NOT NULL THEN now() END""",
    reuse_join=" LEFT JOIN twin ON twin.reuse_key = given.reuse_key",
    reuse_conflict="""
    ON CONFLICT (owner, reuse_key)
        WHERE reuse_key IS NOT NULL AND reused_from IS NULL AND status IN ('pending', 'running') DO NOTHING""",
    event_columns=", data",
    created_values=", NULL::jsonb",
    completed_events="""
    UNION ALL SELECT id, owner, 'completed', 0, jsonb_build_object('reused_from', reused_from)
    FROM added WHERE status = 'completed'""",
    waits_for=f"CASE WHEN twin.id IS NULL THEN {_WAITS} END",
    returned="*",
    columns=_COLUMNS,
)

# The leader's row is ours until we commit: it can't become final and forget those who wait.
JOIN_LEADER = f"""
WITH leader AS (
    UPDATE jobs SET awaited = true
    WHERE owner = $1 AND reuse_key = $2 AND reused_from IS NULL AND status IN ('pending', 'running')
    RETURNING id
), added AS (
    INSERT INTO jobs (owner, dataset_id, input_job_id, kind, kind_version, params, labels, priority, limit_key,
        scheduled_at, max_attempts, timeout_s, reuse_key, sources, reused_from, waits_for, blocked)
    SELECT $1, $3, $4, $5, $6, $7::jsonb, $8::jsonb, $9, $10, coalesce($11, now()), $12, $13, $2, $14::jsonb, id, id,
        true
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


class NewJob(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job to enqueue. `params` and `labels` are JSON objects; `scheduled_at` None means now.

    With `input_job_id` it takes that job's result as its data; `dataset_id` is then the dataset of that job.
    With a `reuse_key` it may be given the result of an identical job. `sources` are what its params name.
    """

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
    limit_key: str = ""
    input_job_id: UUID | None = None
    reuse_key: str | None = None
    sources: Sources = ()


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
    reusing = any(job.reuse_key for job in jobs)
    rows: list[JobRow | None] = [None] * len(jobs)
    for _ in range(MOST_TRIES if reusing else 1):
        missing = [n for n, row in enumerate(rows) if row is None]
        await _insert(driver, jobs, rows, missing, waits_for, reusing=reusing)
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


async def _insert(
    driver: Driver,
    jobs: Sequence[NewJob],
    rows: list[JobRow | None],
    missing: Sequence[int],
    waits_for: Collection[UUID],
    *,
    reusing: bool,
) -> None:
    """Insert those of the jobs that are `missing` in `rows`, and put there what was made of them."""
    if len(missing) == 1 and not reusing:
        rows[missing[0]] = await _insert_one(driver, jobs[missing[0]], waits_for)
        return
    values = [_values(jobs[n], waits_for) for n in missing]
    owner = jobs[0].owner
    if reusing:
        statement, arguments = _statement(REUSING, owner, values)
        for place, *record in await driver.fetch(statement, *arguments):
            rows[missing[place - 1]] = job_row(dict(zip(JOB_COLUMNS, record, strict=True)))
        return
    statement, arguments = _statement(PLAIN, owner, values)
    for place, *record in await driver.fetch(statement, *arguments):
        rows[missing[place - 1]] = _new_row(jobs[missing[place - 1]], record)


async def _insert_one(driver: Driver, job: NewJob, waits_for: Collection[UUID]) -> JobRow | None:
    record = await driver.fetchrow(ONE, job.owner, *_values(job, waits_for))
    return None if record is None else _new_row(job, record)


async def _join_leader(driver: Driver, job: NewJob) -> JobRow | None:
    record = await driver.fetchrow(
        JOIN_LEADER,
        job.owner,
        job.reuse_key,
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
        _sources(job),
    )
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


def _values(job: NewJob, waits_for: Collection[UUID]) -> tuple[object, ...]:
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
        job.input_job_id if job.input_job_id in waits_for else None,
        _sources(job),
    )


def _sources(job: NewJob) -> str | None:
    return msgspec.json.encode(job.sources).decode() if job.sources else None


def _statement(form: str, owner: str, values: Sequence[tuple[object, ...]]) -> tuple[str, list[object]]:
    """The statement for these jobs, and its arguments: arrays of what varies, single values of what does not."""
    columns = dict(zip(GIVEN, zip(*values, strict=True), strict=True))
    # The statement is prepared once for each set of names; params nearly always vary.
    varying = tuple(name for name, column in columns.items() if name == "params" or len(set(column)) > 1)
    datasets, keys = list(set(columns["dataset_id"])), list({key for key in columns["reuse_key"] if key is not None})
    own = [datasets, keys] if form is REUSING else [datasets]
    arguments = [list(column) if name in varying else column[0] for name, column in columns.items()]
    return _sql(form, varying, first=len(own) + 2), [owner, *own, *arguments]


@cache
def _sql(form: str, varying: tuple[str, ...], *, first: int) -> str:
    number = {name: f"${n}" for n, name in enumerate(GIVEN, first)}
    single = {name: f"{number[name]}::{GIVEN[name]} AS {name}" for name in GIVEN if name not in varying}
    return form.format(
        given=", ".join(single.get(name, name) for name in GIVEN),
        arrays=", ".join(f"{number[name]}::{GIVEN[name]}[]" for name in varying),
        varying=", ".join(varying),
    )


def _new_row(job: NewJob, decided: Iterable[Any]) -> JobRow:
    identity, blocked, waits_for, scheduled_at, created_at = decided
    return JobRow(
        id=identity,
        owner=job.owner,
        kind=job.kind,
        kind_version=job.kind_version,
        dataset_id=job.dataset_id,
        input_job_id=job.input_job_id,
        params=msgspec.Raw(job.params),
        labels={} if job.labels == b"{}" else msgspec.json.decode(job.labels, type=dict[str, str]),
        status=JobStatus.PENDING,
        blocked=blocked,
        waits_for=waits_for,
        priority=job.priority,
        limit_key=job.limit_key,
        scheduled_at=scheduled_at,
        attempt=0,
        max_attempts=job.max_attempts,
        timeout_s=job.timeout_s,
        cancel_requested_at=None,
        progress=None,
        error=None,
        created_at=created_at,
        updated_at=created_at,
        started_at=None,
        finished_at=None,
        manifest=None,
        reuse_key=job.reuse_key,
        reused_from=None,
    )
