"""A failed or canceled job runs again when its user asks for it; no other does."""

from uuid import uuid4

import pytest

from gristmill.db.datasets import get_dataset
from gristmill.db.engine import Database
from gristmill.db.jobs import cancel_job, list_events, list_jobs
from gristmill.db.retry import retry_job
from gristmill.domain.dataset import DatasetStatus
from gristmill.domain.job import JobStatus
from gristmill.domain.outcome import Failed
from gristmill.errors import BadData, DatasetFailed, InputFailed
from tests.db.rows import INGESTED, OWNER, claim, enqueued, look, new_dataset, record, settle_ingest

BAD = Failed(BadData("It is empty").problem())


async def test_a_failed_job_has_all_its_attempts_again(database: Database) -> None:
    job = await enqueued(database, await new_dataset(database))
    (claimed,) = await claim(database)
    await record(database, claimed, BAD)
    assert await retry_job(database, job.id, owner=OWNER)
    row = await look(database, job.id)
    assert (row.status, row.attempt, row.error, row.finished_at) == (JobStatus.PENDING, 0, None, None)
    (again,) = await claim(database)
    assert (again.id, again.attempt) == (job.id, 1)
    assert again.lease > claimed.lease
    await record(database, again)
    types = [event.type for event in await list_events(database, job.id, owner=OWNER)]
    assert types == ["created", "claimed", "failed", "resubmitted", "claimed", "completed"]


async def test_only_failed_and_canceled_jobs_of_ones_own(database: Database) -> None:
    job = await enqueued(database, await new_dataset(database))
    assert not await retry_job(database, job.id, owner=OWNER)
    (claimed,) = await claim(database)
    assert not await retry_job(database, job.id, owner=OWNER)
    await record(database, claimed)
    assert not await retry_job(database, job.id, owner=OWNER)
    assert not await retry_job(database, uuid4(), owner=OWNER)
    other = await enqueued(database, await new_dataset(database))
    await cancel_job(database, other.id, owner=OWNER)
    assert not await retry_job(database, other.id, owner="bob")
    assert await retry_job(database, other.id, owner=OWNER)


async def test_a_failed_ingest_makes_its_dataset_ready_after_all(database: Database) -> None:
    dataset_id = await new_dataset(database, ready=False)
    waiting = await enqueued(database, dataset_id)
    await settle_ingest(database, BAD)
    with pytest.raises(DatasetFailed):
        await retry_job(database, waiting.id, owner=OWNER)
    (ingest,) = await list_jobs(database, owner=OWNER, limit=5, kind="ingest")
    assert await retry_job(database, ingest.id, owner=OWNER)
    assert await retry_job(database, waiting.id, owner=OWNER)
    assert (await look(database, waiting.id)).waits_for == dataset_id
    await settle_ingest(database, INGESTED)
    dataset = await get_dataset(database, dataset_id, owner=OWNER)
    assert dataset is not None
    assert dataset.status is DatasetStatus.READY
    assert [job.id for job in await claim(database)] == [waiting.id]


async def test_a_link_waits_for_its_input_that_is_tried_again(database: Database) -> None:
    dataset_id = await new_dataset(database)
    first = await enqueued(database, dataset_id)
    second = await enqueued(database, dataset_id, input_job_id=first.id)
    (claimed,) = await claim(database)
    await record(database, claimed, BAD)
    with pytest.raises(InputFailed):
        await retry_job(database, second.id, owner=OWNER)
    await retry_job(database, first.id, owner=OWNER)
    await retry_job(database, second.id, owner=OWNER)
    (claimed,) = await claim(database)
    await record(database, claimed)
    assert [job.id for job in await claim(database)] == [second.id]


async def test_two_never_lead_the_same_work(database: Database) -> None:
    dataset_id = await new_dataset(database)
    first = await enqueued(database, dataset_id, reuse_key="k")
    await cancel_job(database, first.id, owner=OWNER)
    second = await enqueued(database, dataset_id, reuse_key="k")
    assert await retry_job(database, first.id, owner=OWNER)
    assert {job.id for job in await claim(database)} == {first.id, second.id}
