"""Statements on datasets and on uploads under way. Each is bounded by owner, but for the worker's own."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec
from sqlalchemy import select

from gristmill.db.dependents import RELEASE, fail_waiting
from gristmill.db.engine import Database, Driver
from gristmill.db.filters import NO_INTERVAL, Interval, labeled
from gristmill.db.idempotency import RequestKey, creating, finish_upload
from gristmill.db.models import Dataset
from gristmill.db.rows import DatasetRow, dataset_row
from gristmill.domain.dataset import DataFormat, DatasetStatus
from gristmill.domain.outcome import Canceled, Completed, Failed, Interrupted, Outcome, Retry, Snoozed
from gristmill.errors import BadData, DatasetFailed, Problem
from gristmill.tracing import current

BEGIN_UPLOAD = "INSERT INTO uploads (owner) VALUES ($1) RETURNING id"
TOUCH_UPLOAD = "UPDATE uploads SET touched_at = now() WHERE id = $1 RETURNING true"
DROP_UPLOAD = "DELETE FROM uploads WHERE id = $1"

# The upload's row makes way for the dataset's, with its ingest job, a first job on it where one was asked for, their
# first events and the wake-up.
COMMIT_UPLOAD = """
WITH finished AS (
    DELETE FROM uploads WHERE id = $1 AND owner = $2 RETURNING id, owner
), added AS (
    INSERT INTO datasets (id, owner, name, format, original_key, media_type, size_bytes, sha256, options, labels,
        expires_at)
    SELECT id, owner, $3, $4, $5, $6, $7, $8, $9::jsonb, $15::jsonb, $16 FROM finished
    RETURNING id, owner
), ingest AS (
    INSERT INTO jobs (owner, kind, kind_version, dataset_id, params, priority, max_attempts, timeout_s, traceparent)
    SELECT owner, 'ingest', 1, id, $9::jsonb, 10, $10, $11, $17 FROM added
    RETURNING id, owner
), first_job AS (
    INSERT INTO jobs (owner, kind, kind_version, dataset_id, params, blocked, waits_for, max_attempts,
        timeout_s, traceparent)
    SELECT owner, $12, $13, id, $14::jsonb, true, id, $10, $11, $17 FROM added WHERE $12::text IS NOT NULL
    RETURNING id, owner
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt)
    SELECT id, owner, 'created', 0 FROM ingest UNION ALL SELECT id, owner, 'created', 0 FROM first_job
), woken AS MATERIALIZED (
    SELECT pg_notify('gristmill_jobs', json_build_array(10, 'ingest', owner, '')::text) FROM ingest
)
SELECT added.id FROM added, woken
"""

DROP_STALE_UPLOAD = """
DELETE FROM uploads WHERE id = $1 AND touched_at < now() - make_interval(secs => $2)
    AND (expires_at IS NULL OR expires_at < now())
RETURNING s3_upload_id
"""

STALE_UPLOADS = """
SELECT id FROM uploads
WHERE touched_at < now() - make_interval(secs => $1) AND (expires_at IS NULL OR expires_at < now())
ORDER BY touched_at LIMIT $2
"""

SETTLE = """
UPDATE datasets SET
    status = $2, columns = $3::jsonb, rows_read = $4, rows_loaded = $5, rows_rejected = $6, rows_repaired = $7,
    dialect = $8::jsonb, profile = $9::jsonb, warnings = $10::jsonb, manifest = $11::jsonb, error = $12::jsonb,
    sha256 = coalesce($13, sha256), size_bytes = coalesce($14, size_bytes), updated_at = now()
WHERE id = $1 AND status = 'validating'
"""


GET = "SELECT {columns} FROM datasets WHERE id = $1 AND owner = $2 AND deleted_at IS NULL".format(  # noqa: S608
    columns=", ".join(DatasetRow.__struct_fields__)
)

# To plan jobs by. The profile of a wide table may have megabytes, and what its parts are is the worker's to know.
GET_PLANNED = "SELECT {columns} FROM datasets WHERE id = ANY ($1::uuid[]) AND owner = $2 AND deleted_at IS NULL".format(  # noqa: S608
    columns=", ".join(
        f"NULL AS {name}" if name in ("profile", "manifest") else name for name in DatasetRow.__struct_fields__
    )
)

COLUMNS = tuple(Dataset.__table__.columns[name] for name in DatasetRow.__struct_fields__)


async def begin_upload(database: Database, *, owner: str, key: RequestKey | None = None) -> UUID:
    """Note that an upload begins, before its first byte is stored. Answers the id its dataset will have.

    Raises KeyInUse: another request with the key is under way.
    """
    upload_id: UUID
    if key is None:
        async with database.driver() as driver:
            upload_id = await driver.fetchval(BEGIN_UPLOAD, owner)
    else:
        async with creating(database, key) as creation:
            upload_id = await creation.driver.fetchval(BEGIN_UPLOAD, owner)
            await creation.upload_begun(upload_id)
    return upload_id


async def touch_upload(database: Database, upload_id: UUID) -> bool:
    """Say that an upload is alive; False when the sweep has taken it."""
    async with database.driver() as driver:
        return bool(await driver.fetchval(TOUCH_UPLOAD, upload_id))


async def drop_upload(database: Database, upload_id: UUID) -> None:
    async with database.driver() as driver:
        await driver.execute(DROP_UPLOAD, upload_id)


async def stale_uploads(database: Database, *, idle_s: float, limit: int = 100) -> list[UUID]:
    async with database.driver() as driver:
        return [record["id"] for record in await driver.fetch(STALE_UPLOADS, idle_s, limit)]


@dataclass(frozen=True)
class Dropped:
    """An upload whose row is gone. `s3_upload_id`: the multipart upload it had, if we began it for presigned URLs."""

    s3_upload_id: str | None


@asynccontextmanager
async def dropping_stale_upload(
    database: Database, upload_id: UUID, *, idle_s: float, deadline_s: float
) -> AsyncIterator[Dropped | None]:
    """Drop an upload's row if it is stale still, and remove its objects before that is committed.

    Whoever would make it a dataset waits meanwhile, and finds it gone; if the removal fails, the row stays.
    """
    async with database.driver(deadline_s=deadline_s) as driver, driver.transaction():
        gone = await driver.fetchrow(DROP_STALE_UPLOAD, upload_id, idle_s)
        yield None if gone is None else Dropped(gone["s3_upload_id"])


@dataclass(frozen=True)
class FirstJob:
    """A job to be made together with its dataset; `params` is a JSON object."""

    kind: str
    kind_version: int
    params: bytes


async def commit_upload(
    database: Database,
    upload_id: UUID,
    *,
    owner: str,
    name: str,
    data_format: DataFormat,
    original_key: str,
    media_type: str,
    size_bytes: int,
    sha256: str | None,
    options: bytes,
    max_attempts: int,
    timeout_s: int,
    first_job: FirstJob | None = None,
    labels: Mapping[str, str] | None = None,
    expires_at: datetime | None = None,
    key: RequestKey | None = None,
) -> bool:
    """Make the upload a dataset, with its jobs, in one statement; False when the sweep has taken the upload.

    `sha256` None: nobody has read the bytes yet; ingest finds it out.

    Raises KeyInUse: a later request has taken the key.
    """
    async with database.driver() as driver, driver.transaction():
        added = await driver.fetchval(
            COMMIT_UPLOAD,
            upload_id,
            owner,
            name,
            data_format,
            original_key,
            media_type,
            size_bytes,
            sha256,
            options.decode(),
            max_attempts,
            timeout_s,
            first_job.kind if first_job else None,
            first_job.kind_version if first_job else None,
            first_job.params.decode() if first_job else None,
            _json(labels or {}),
            expires_at,
            current(),
        )
        if added is not None and key is not None:
            await finish_upload(driver, key, upload_id, location=f"/datasets/{upload_id}")
    return added is not None


async def get_dataset(database: Database, dataset_id: UUID, *, owner: str) -> DatasetRow | None:
    async with database.driver() as driver:
        record = await driver.fetchrow(GET, dataset_id, owner)
    return None if record is None else dataset_row(dict(record))


async def get_datasets(database: Database, ids: Sequence[UUID], *, owner: str) -> list[DatasetRow]:
    """Those of the datasets that there are, and are this owner's; without profile and manifest (None)."""
    async with database.driver() as driver:
        records = await driver.fetch(GET_PLANNED, ids, owner)
    return [dataset_row(dict(record)) for record in records]


async def list_datasets(
    database: Database,
    *,
    owner: str,
    limit: int,
    before: UUID | None = None,
    status: DatasetStatus | None = None,
    data_format: DataFormat | None = None,
    name: str | None = None,
    labels: Mapping[str, str | None] | None = None,
    created: Interval = NO_INTERVAL,
) -> list[DatasetRow]:
    """A page of an owner's datasets, newest first, below `before`."""
    statement = (
        select(*COLUMNS)
        .where(Dataset.deleted_at.is_(None), Dataset.owner == owner)
        .where(*labeled(Dataset, labels or {}), *created.holds(Dataset.created_at))
        .order_by(Dataset.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(Dataset.id < before)
    if status is not None:
        statement = statement.where(Dataset.status == status)
    if data_format is not None:
        statement = statement.where(Dataset.format == data_format)
    if name is not None:
        statement = statement.where(Dataset.name == name)
    async with database.session() as session:
        records = (await session.execute(statement)).mappings().all()
    return [dataset_row(dict(record)) for record in records]


async def settle_datasets(driver: Driver, verdicts: Mapping[UUID, Outcome]) -> None:
    """Make datasets ready or failed by the final outcome of their ingest, and let go of the jobs that wait for them.

    Runs in the caller's transaction. Datasets are taken in the order of their ids, so that two recorders can't
    deadlock.
    """
    for dataset_id, outcome in sorted(verdicts.items()):
        match outcome:
            case Completed():
                await driver.execute(SETTLE, dataset_id, *_ready_columns(outcome))
                # A statement of its own, after SETTLE has locked the dataset's row: a job that was being posted
                # meanwhile has either committed, and this one's snapshot sees it, or waits for us and finds the
                # dataset settled.
                await driver.execute(RELEASE, [dataset_id])
            case Failed(problem=problem):
                await _fail_dataset(driver, dataset_id, problem)
            case Canceled():
                await _fail_dataset(driver, dataset_id, BadData("Its ingest was canceled").problem())
            case Retry() | Interrupted() | Snoozed():
                raise ValueError("an ingest that goes on settles nothing")
            case _ as never:
                assert_never(never)


async def _fail_dataset(driver: Driver, dataset_id: UUID, problem: Problem) -> None:
    nothing = [None] * 9
    await driver.execute(SETTLE, dataset_id, DatasetStatus.FAILED, *nothing, _json(problem), None, None)
    waiting = DatasetFailed(f"The dataset this job waited for has failed: {problem.detail}").problem()
    await fail_waiting(driver, dataset_id, waiting)


def _ready_columns(outcome: Completed) -> tuple[object, ...]:
    found = outcome.ingested
    if found is None:
        raise ValueError("a completed ingest says what it found")
    return (
        DatasetStatus.READY,
        _json(found.columns),
        found.rows_read,
        found.rows_loaded,
        found.rows_rejected,
        found.rows_repaired,
        _json(found.dialect),
        _json(found.profile),
        _json(found.warnings),
        _json(outcome.manifest),
        None,
        found.sha256,
        found.size_bytes,
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
