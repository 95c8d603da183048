"""Making datasets whose data is elsewhere: in somebody else's bucket, or in a job's result. Ingest fetches it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from gristmill.db.datasets import FirstJob
from gristmill.db.engine import Database, Driver
from gristmill.db.idempotency import RequestKey, creating
from gristmill.domain.dataset import DataFormat, Source
from gristmill.tracing import current

# As COMMIT_UPLOAD, without an upload. The job whose result is the data is locked until we commit, so that it can't be
# removed before its taker is there; while the ingest job is to run it is kept for it.
ADD = """
WITH origin AS MATERIALIZED (
    SELECT id FROM jobs WHERE id = $10 AND owner = $1 AND status = 'completed' FOR SHARE
), identity AS MATERIALIZED (
    SELECT uuidv7() AS id WHERE $10::uuid IS NULL OR EXISTS (SELECT FROM origin)
), added AS (
    INSERT INTO datasets (id, owner, name, format, original_key, media_type, size_bytes, options, labels, expires_at,
        source)
    SELECT id, $1, $2, $3, id::text || '/original', $4, $5, $6::jsonb, $7::jsonb, $8, $9::jsonb FROM identity
    RETURNING id, owner
), ingest AS (
    INSERT INTO jobs (owner, kind, kind_version, dataset_id, input_job_id, params, priority, max_attempts, timeout_s,
        traceparent)
    SELECT owner, 'ingest', 1, id, $10, $6::jsonb, 10, $11, $12, $16 FROM added
    RETURNING id, owner
), first_job AS (
    INSERT INTO jobs (owner, kind, kind_version, dataset_id, params, blocked, waits_for, max_attempts, timeout_s,
        traceparent)
    SELECT owner, $13, $14, id, $15::jsonb, true, id, $11, $12, $16 FROM added WHERE $13::text IS NOT NULL
    RETURNING id, owner
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt)
    SELECT id, owner, 'created', 0 FROM ingest UNION ALL SELECT id, owner, 'created', 0 FROM first_job
), woken AS MATERIALIZED (
    SELECT pg_notify('gristmill_jobs', json_build_array(10, 'ingest', owner, '')::text) FROM ingest
)
SELECT added.id FROM added, woken
"""


@dataclass(frozen=True, kw_only=True)
class NewDataset:
    """A dataset to be. Its data is at `source`, or is the result of `from_job`; its digest is not known."""

    name: str
    data_format: DataFormat
    media_type: str
    size_bytes: int
    options: bytes
    labels: dict[str, str]
    expires_at: datetime | None
    source: Source | None = None
    from_job: UUID | None = None


async def add_dataset(
    database: Database,
    new: NewDataset,
    *,
    owner: str,
    first_job: FirstJob | None,
    max_attempts: int,
    timeout_s: int,
    key: RequestKey | None,
) -> UUID | None:
    """Make the dataset with its jobs, and note it under the key. None: the job is gone whose result is the data.

    Raises KeyInUse.
    """
    values = (
        owner,
        new.name,
        new.data_format,
        new.media_type,
        new.size_bytes,
        new.options.decode(),
        msgspec.json.encode(new.labels).decode(),
        new.expires_at,
        None if new.source is None else msgspec.json.encode(new.source).decode(),
        new.from_job,
        max_attempts,
        timeout_s,
        first_job.kind if first_job else None,
        first_job.kind_version if first_job else None,
        first_job.params.decode() if first_job else None,
        current(),
    )
    if key is None:
        async with database.driver() as driver:
            return await _added(driver, values)
    async with creating(database, key) as creation:
        dataset_id = await _added(creation.driver, values)
        if dataset_id is not None:
            await creation.made(dataset_id, status=201, location=f"/datasets/{dataset_id}")
        return dataset_id


async def _added(driver: Driver, values: tuple[object, ...]) -> UUID | None:
    dataset_id: UUID | None = await driver.fetchval(ADD, *values)
    return dataset_id
