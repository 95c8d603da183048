"""Datasets and jobs made by the statements of the product, for tests of its queue."""

from typing import Any
from uuid import UUID, uuid4

from gristmill.db import claims, datasets
from gristmill.db.engine import Database
from gristmill.db.enqueue import enqueue_job
from gristmill.db.jobs import get_job
from gristmill.db.outcomes import Ending, record_outcomes
from gristmill.db.rows import JobRow, NewJob
from gristmill.domain.column import Column
from gristmill.domain.dataset import DataFormat, Ingested
from gristmill.domain.job import Claim, JobStatus
from gristmill.domain.manifest import Manifest
from gristmill.domain.outcome import Completed, Outcome

OWNER = "ann"
INGESTED = Completed(Manifest("datasets", "p/", ()), Ingested((Column("a", "Int64"),), 3, 2, 1))
DONE = Completed(Manifest("job-results", "r/", ()))


async def new_dataset(database: Database, *, owner: str = OWNER, ready: bool = True) -> UUID:
    upload_id = await datasets.begin_upload(database, owner=owner)
    assert await datasets.commit_upload(
        database,
        upload_id,
        owner=owner,
        name="birds",
        data_format=DataFormat.CSV,
        original_key=f"{upload_id}/original",
        media_type="text/csv",
        size_bytes=10,
        sha256="0" * 64,
        options=b"{}",
        max_attempts=3,
        timeout_s=60,
    )
    if ready:
        await settle_ingest(database, INGESTED)
    return upload_id


async def settle_ingest(database: Database, outcome: Outcome) -> None:
    """End the one ingest that waits."""
    (ingest,) = [job for job in await claim(database) if job.kind == "ingest"]
    await record(database, ingest, outcome)


def new_job(dataset_id: UUID, **given: Any) -> NewJob:
    plain = {"owner": OWNER, "kind": "metrics", "kind_version": 1, "params": b"{}", "max_attempts": 2, "timeout_s": 30}
    return NewJob(dataset_id=dataset_id, **{**plain, **given})


async def enqueued(database: Database, dataset_id: UUID, **given: Any) -> JobRow:
    row = await enqueue_job(database, new_job(dataset_id, **given))
    assert row is not None
    return row


async def claim(database: Database, limit: int = 100) -> list[Claim]:
    return await claims.claim_jobs(database, worker_id=uuid4(), limit=limit, lease_s=60)


async def record(database: Database, job: Claim, outcome: Outcome = DONE) -> JobStatus | None:
    return (await record_outcomes(database, [Ending(job.id, job.lease, outcome)])).get(job.lease)


async def look(database: Database, job_id: UUID, *, owner: str = OWNER) -> JobRow:
    row = await get_job(database, job_id, owner=owner)
    assert row is not None
    return row
