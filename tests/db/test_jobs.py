"""Datasets and jobs are committed together, bounded by owner, and paged without gaps."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest

from gristmill.db import claims, datasets, enqueue, jobs, outcomes
from gristmill.db.engine import Database
from gristmill.db.inputs import Inputs
from gristmill.db.rows import NewJob
from gristmill.domain.column import Column
from gristmill.domain.dataset import DataFormat, DatasetStatus, Ingested
from gristmill.domain.job import Claim, JobStatus
from gristmill.domain.manifest import Manifest
from gristmill.domain.outcome import Completed, Failed, Outcome
from gristmill.errors import BadData

NewDataset = Callable[..., Awaitable[UUID]]
READY = Completed(Manifest("datasets", "p/", ()), Ingested((Column("a", "Int64"),), 3, 2, 1))


@pytest.fixture
def new_dataset(database: Database) -> NewDataset:
    async def make(owner: str = "ann", name: str = "birds") -> UUID:
        upload_id = await datasets.begin_upload(database, owner=owner)
        assert await datasets.commit_upload(
            database,
            upload_id,
            owner=owner,
            name=name,
            data_format=DataFormat.CSV,
            original_key=f"{upload_id}/original",
            media_type="text/csv",
            size_bytes=10,
            sha256="0" * 64,
            options=b"{}",
            max_attempts=3,
            timeout_s=60,
        )
        return upload_id

    return make


def new_job(dataset_id: UUID, owner: str = "ann") -> NewJob:
    return NewJob(
        owner=owner,
        dataset_id=dataset_id,
        kind="metrics",
        kind_version=1,
        params=b'{"columns": ["a"]}',
        labels=b'{"team": "x"}',
        max_attempts=2,
        timeout_s=30,
    )


async def claim_all(database: Database) -> list[Claim]:
    return await claims.claim_jobs(database, worker_id=uuid4(), limit=100, lease_s=15)


async def ingest_ends(database: Database, outcome: Outcome) -> None:
    [ingest] = await claim_all(database)
    assert ingest.kind == "ingest"
    await outcomes.record_outcomes(database, [outcomes.Ending(ingest.id, ingest.lease, outcome)])


async def test_an_upload_becomes_a_dataset_with_its_ingest_job_at_once(
    database: Database, new_dataset: NewDataset
) -> None:
    dataset_id = await new_dataset()
    dataset = await datasets.get_dataset(database, dataset_id, owner="ann")
    assert dataset is not None
    assert dataset.status is DatasetStatus.VALIDATING
    [ingest] = await jobs.list_jobs(database, owner="ann", limit=10, kind="ingest")
    assert ingest.dataset_id == dataset_id
    assert [event.type for event in await jobs.list_events(database, ingest.id, owner="ann")] == ["created"]


async def test_a_swept_upload_can_not_be_committed(database: Database) -> None:
    upload_id = await datasets.begin_upload(database, owner="ann")
    assert await datasets.touch_upload(database, upload_id)
    await datasets.drop_upload(database, upload_id)
    assert not await datasets.touch_upload(database, upload_id)
    committed = await datasets.commit_upload(
        database,
        upload_id,
        owner="ann",
        name="late",
        data_format=DataFormat.CSV,
        original_key="k",
        media_type="text/csv",
        size_bytes=1,
        sha256="0" * 64,
        options=b"{}",
        max_attempts=1,
        timeout_s=1,
    )
    assert not committed
    assert await datasets.list_datasets(database, owner="ann", limit=10) == []


async def test_a_job_waits_for_its_dataset_and_is_released_with_it(database: Database, new_dataset: NewDataset) -> None:
    dataset_id = await new_dataset()
    job = await enqueue.enqueue_job(database, new_job(dataset_id))
    assert job is not None
    assert job.blocked
    await ingest_ends(database, READY)
    [claimed] = await claim_all(database)
    assert claimed.id == job.id
    dataset = (await Inputs(database).of([claimed]))[claimed.id]
    assert dataset.columns == (Column("a", "Int64"),)
    assert dataset.rows == 2
    types = [event.type for event in await jobs.list_events(database, job.id, owner="ann")]
    assert types == ["created", "released", "claimed"]


async def test_a_failed_dataset_fails_the_jobs_that_wait_for_it(database: Database, new_dataset: NewDataset) -> None:
    dataset_id = await new_dataset()
    job = await enqueue.enqueue_job(database, new_job(dataset_id))
    assert job is not None
    await ingest_ends(database, Failed(BadData("The file is empty").problem()))
    dataset = await datasets.get_dataset(database, dataset_id, owner="ann")
    assert dataset is not None
    assert dataset.status is DatasetStatus.FAILED
    assert dataset.error is not None
    assert dataset.error.code == "bad-data"
    failed = await jobs.get_job(database, job.id, owner="ann")
    assert failed is not None
    assert failed.status is JobStatus.FAILED
    assert failed.error is not None
    assert failed.error.code == "dataset-failed"
    assert await enqueue.enqueue_job(database, new_job(dataset_id)) is None


async def test_no_job_is_stranded_when_it_is_posted_while_its_dataset_settles(
    database: Database, new_dataset: NewDataset
) -> None:
    """Posted before, during or after the ingest is recorded: every job ends up claimable."""
    for _ in range(20):
        dataset_id = await new_dataset()
        [ingest] = await claim_all(database)
        ending = outcomes.Ending(ingest.id, ingest.lease, READY)
        posts = [enqueue.enqueue_job(database, new_job(dataset_id)) for _ in range(6)]
        await asyncio.gather(*posts[:3], outcomes.record_outcomes(database, [ending]), *posts[3:])
        assert len(await claim_all(database)) == 6


async def test_canceling_a_pending_ingest_fails_its_dataset(database: Database, new_dataset: NewDataset) -> None:
    dataset_id = await new_dataset()
    waiting = await enqueue.enqueue_job(database, new_job(dataset_id))
    assert waiting is not None
    [ingest] = await jobs.list_jobs(database, owner="ann", limit=10, kind="ingest")
    assert await jobs.cancel_job(database, ingest.id, owner="ann") is JobStatus.CANCELED
    dataset = await datasets.get_dataset(database, dataset_id, owner="ann")
    assert dataset is not None
    assert dataset.status is DatasetStatus.FAILED
    job = await jobs.get_job(database, waiting.id, owner="ann")
    assert job is not None
    assert job.status is JobStatus.FAILED


async def test_cancel_is_final_for_pending_asked_for_running_and_refused_when_final(
    database: Database, new_dataset: NewDataset
) -> None:
    dataset_id = await new_dataset()
    await ingest_ends(database, READY)
    pending = await enqueue.enqueue_job(database, new_job(dataset_id))
    assert pending is not None
    assert await jobs.cancel_job(database, pending.id, owner="ann") is JobStatus.CANCELED
    assert await jobs.cancel_job(database, pending.id, owner="ann") is None
    running = await enqueue.enqueue_job(database, new_job(dataset_id))
    assert running is not None
    await claim_all(database)
    assert await jobs.cancel_job(database, running.id, owner="ann") is JobStatus.RUNNING
    assert await jobs.cancel_job(database, running.id, owner="ann") is JobStatus.RUNNING
    types = [event.type for event in await jobs.list_events(database, running.id, owner="ann")]
    assert types == ["created", "claimed", "cancel_requested"]


async def test_what_is_anothers_is_not_there(database: Database, new_dataset: NewDataset) -> None:
    dataset_id = await new_dataset()
    await ingest_ends(database, READY)
    job = await enqueue.enqueue_job(database, new_job(dataset_id))
    assert job is not None
    assert await enqueue.enqueue_job(database, new_job(dataset_id, owner="bob")) is None
    assert await datasets.get_dataset(database, dataset_id, owner="bob") is None
    assert await jobs.get_job(database, job.id, owner="bob") is None
    assert await jobs.cancel_job(database, job.id, owner="bob") is None
    assert await jobs.list_events(database, job.id, owner="bob") == []
    assert await jobs.list_jobs(database, owner="bob", limit=10) == []
    assert await datasets.list_datasets(database, owner="bob", limit=10) == []


async def test_pages_are_newest_first_and_stable_while_rows_are_inserted(
    database: Database, new_dataset: NewDataset
) -> None:
    dataset_id = await new_dataset()
    made = [await enqueue.enqueue_job(database, new_job(dataset_id)) for _ in range(7)]
    ids = [job.id for job in made if job]
    first = await jobs.list_jobs(database, owner="ann", limit=3)
    await enqueue.enqueue_job(database, new_job(dataset_id))
    rest = await jobs.list_jobs(database, owner="ann", limit=10, before=first[-1].id)
    assert [job.id for job in (*first, *rest)] == ids[::-1]
    assert await jobs.list_jobs(database, owner="ann", limit=10, status=JobStatus.COMPLETED) == []
    assert len(await jobs.list_jobs(database, owner="ann", limit=10, dataset_id=dataset_id)) == 8
    assert await jobs.list_jobs(database, owner="ann", limit=10, dataset_id=uuid4()) == []


async def test_datasets_are_filtered(database: Database, new_dataset: NewDataset) -> None:
    first, second = await new_dataset(name="one"), await new_dataset(name="two")
    found = await datasets.list_datasets(database, owner="ann", limit=10)
    assert [row.id for row in found] == [second, first]
    assert [row.id for row in await datasets.list_datasets(database, owner="ann", limit=10, name="one")] == [first]
    assert [row.id for row in await datasets.list_datasets(database, owner="ann", limit=10, before=second)] == [first]
    for wanted in (
        datasets.list_datasets(database, owner="ann", limit=10, status=DatasetStatus.READY),
        datasets.list_datasets(database, owner="ann", limit=10, data_format=DataFormat.PARQUET),
    ):
        assert await wanted == []
