"""Whoever waits for a job is let go with it, and identical work is done once."""

import asyncio
from uuid import UUID, uuid4

import pytest

from gristmill.db.engine import Database
from gristmill.db.enqueue import enqueue_jobs, insert_jobs
from gristmill.db.jobs import cancel_job, list_events
from gristmill.db.removal import remove_dataset, remove_job
from gristmill.db.rows import JobRow
from gristmill.domain.job import JobStatus
from gristmill.domain.outcome import Canceled, Failed
from gristmill.domain.source import DatasetSource, DocumentSource
from gristmill.errors import BadData, Conflict, InputFailed, NotFound
from tests.db.rows import (
    DONE,
    INGESTED,
    OWNER,
    claim,
    enqueued,
    look,
    new_dataset,
    new_job,
    record,
    settle_ingest,
)

LOCKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
BAD = Failed(BadData("It is empty").problem())


@pytest.fixture
async def dataset_id(database: Database) -> UUID:
    return await new_dataset(database)


async def events(database: Database, job: JobRow) -> list[str]:
    return [event.type for event in await list_events(database, job.id, owner=OWNER)]


async def test_a_chain_runs_link_by_link(database: Database, dataset_id: UUID) -> None:
    first = await enqueued(database, dataset_id)
    second = await enqueued(database, dataset_id, input_job_id=first.id)
    third = await enqueued(database, dataset_id, input_job_id=second.id)
    assert (second.blocked, second.waits_for) == (True, first.id)
    for link in (first, second, third):
        (job,) = await claim(database)
        assert (job.id, job.input_job_id) == (link.id, link.input_job_id)
        await record(database, job)
    assert await events(database, third) == ["created", "released", "claimed", "completed"]


async def test_a_link_on_a_finished_job_runs_at_once(database: Database, dataset_id: UUID) -> None:
    first = await enqueued(database, dataset_id)
    (job,) = await claim(database)
    await record(database, job)
    second = await enqueued(database, dataset_id, input_job_id=first.id)
    assert not second.blocked


@pytest.mark.parametrize("outcome", [BAD, Canceled()])
async def test_a_lost_link_ends_all_that_follow(database: Database, dataset_id: UUID, outcome: Failed) -> None:
    first = await enqueued(database, dataset_id)
    second = await enqueued(database, dataset_id, input_job_id=first.id)
    third = await enqueued(database, dataset_id, input_job_id=second.id)
    (job,) = await claim(database)
    await record(database, job, outcome)
    for link in (second, third):
        row = await look(database, link.id)
        assert row.status is JobStatus.FAILED
        assert row.error is not None
        assert row.error.code == "input-failed"
    with pytest.raises(InputFailed):
        await enqueued(database, dataset_id, input_job_id=first.id)


async def test_a_canceled_link_that_never_ran_ends_all_that_follow(database: Database, dataset_id: UUID) -> None:
    first = await enqueued(database, dataset_id)
    second = await enqueued(database, dataset_id, input_job_id=first.id)
    assert await cancel_job(database, first.id, owner=OWNER) is JobStatus.CANCELED
    assert (await look(database, second.id)).status is JobStatus.FAILED


async def test_what_params_name_is_held_until_the_job_is_there(database: Database, dataset_id: UUID) -> None:
    named = await enqueued(database, dataset_id)
    for job in await claim(database):
        await record(database, job)
    baseline = await new_dataset(database)
    theirs = await new_dataset(database, owner="bob")
    document = DocumentSource("fitted_from", named.id, "job-results", "r/fitted.json", "0" * 64)
    for gone in (DocumentSource("fitted_from", uuid4(), "b", "k", "0" * 64), DatasetSource("baseline", theirs)):
        with pytest.raises(InputFailed):
            await enqueued(database, dataset_id, sources=(document, gone))
    async with database.driver() as driver, driver.transaction():
        await insert_jobs(driver, [new_job(dataset_id, sources=(document, DatasetSource("baseline", baseline)))])
        removing = [
            asyncio.create_task(remove_job(database, named.id, owner=OWNER)),
            asyncio.create_task(remove_dataset(database, baseline, owner=OWNER, force=False)),
        ]
        async with database.driver() as other, asyncio.timeout(30):
            while await other.fetchval(LOCKED) < len(removing):
                await asyncio.sleep(0.01)
    refused = await asyncio.gather(*removing, return_exceptions=True)
    assert [type(one) for one in refused] == [Conflict, Conflict]


async def test_another_owners_job_is_no_input(database: Database, dataset_id: UUID) -> None:
    first = await enqueued(database, dataset_id)
    theirs = await new_dataset(database, owner="bob", ready=False)
    with pytest.raises(NotFound):
        await enqueue_jobs(database, [new_job(theirs, owner="bob", input_job_id=first.id)])
    with pytest.raises(NotFound):
        await enqueue_jobs(database, [new_job(dataset_id, input_job_id=uuid4())])


async def test_finishing_and_following_at_once_never_strands_a_job(database: Database, dataset_id: UUID) -> None:
    for _ in range(10):
        first = await enqueued(database, dataset_id)
        (job,) = await claim(database)
        recording = asyncio.create_task(record(database, job))
        links = await asyncio.gather(*(enqueued(database, dataset_id, input_job_id=first.id) for _ in range(5)))
        await recording
        claimed = await claim(database)
        assert {job.id for job in claimed} == {link.id for link in links}
        for link in claimed:
            await record(database, link)


async def test_ten_twins_at_once_are_one_run(database: Database, dataset_id: UUID) -> None:
    twins = await asyncio.gather(*(enqueued(database, dataset_id, reuse_key="k") for _ in range(10)))
    (job,) = await claim(database)
    await record(database, job)
    rows = [await look(database, twin.id) for twin in twins]
    assert {row.status for row in rows} == {JobStatus.COMPLETED}
    assert sorted(row.reused_from is None for row in rows) == [False] * 9 + [True]
    assert {row.reused_from for row in rows} == {None, job.id}
    assert len({row.manifest.prefix for row in rows if row.manifest}) == 1
    later = await enqueued(database, dataset_id, reuse_key="k")
    assert (later.status, later.reused_from) == (JobStatus.COMPLETED, job.id)
    assert await events(database, later) == ["created", "completed"]


async def test_twins_in_one_batch_are_one_run(database: Database, dataset_id: UUID) -> None:
    rows = await enqueue_jobs(database, [new_job(dataset_id, reuse_key="k") for _ in range(5)])
    assert len({row.id for row in rows if row}) == 5
    assert len(await claim(database)) == 1


async def test_without_a_key_nothing_is_shared(database: Database, dataset_id: UUID) -> None:
    for _ in range(2):
        await enqueued(database, dataset_id)
    assert len(await claim(database)) == 2


async def test_another_owners_work_is_not_shared(database: Database, dataset_id: UUID) -> None:
    theirs = await new_dataset(database, owner="bob")
    await enqueued(database, dataset_id, reuse_key="k")
    await enqueued(database, theirs, owner="bob", reuse_key="k")
    assert len(await claim(database)) == 2


@pytest.mark.parametrize("outcome", [BAD, Canceled()])
async def test_an_heir_does_what_its_leader_did_not(database: Database, dataset_id: UUID, outcome: Failed) -> None:
    leader, heir, other = [await enqueued(database, dataset_id, reuse_key="k") for _ in range(3)]
    (job,) = await claim(database)
    assert job.id == leader.id
    await record(database, job, outcome)
    (job,) = await claim(database)
    assert job.id == heir.id
    await record(database, job)
    assert (await look(database, other.id)).reused_from == heir.id
    assert (await look(database, other.id)).status is JobStatus.COMPLETED


async def test_what_waits_for_a_twin_gets_its_result_too(database: Database, dataset_id: UUID) -> None:
    await enqueued(database, dataset_id, reuse_key="k")
    twin = await enqueued(database, dataset_id, reuse_key="k")
    follower = await enqueued(database, dataset_id, input_job_id=twin.id)
    (job,) = await claim(database)
    await record(database, job)
    assert [job.id for job in await claim(database)] == [follower.id]


async def test_twins_on_a_dataset_that_fails_fail_with_it(database: Database) -> None:
    dataset_id = await new_dataset(database, ready=False)
    twins = [await enqueued(database, dataset_id, reuse_key="k") for _ in range(3)]
    await settle_ingest(database, BAD)
    for twin in twins:
        row = await look(database, twin.id)
        assert row.error is not None
        assert row.error.code == "dataset-failed"


async def test_an_heir_waits_for_what_its_leader_waited_for(database: Database) -> None:
    dataset_id = await new_dataset(database, ready=False)
    leader, heir = [await enqueued(database, dataset_id, reuse_key="k") for _ in range(2)]
    await cancel_job(database, leader.id, owner=OWNER)
    assert (await look(database, heir.id)).waits_for == dataset_id
    await settle_ingest(database, INGESTED)
    assert [job.id for job in await claim(database)] == [heir.id]


async def test_a_batch_is_all_or_none(database: Database, dataset_id: UUID) -> None:
    rows = await enqueue_jobs(database, [new_job(dataset_id), new_job(uuid4()), new_job(dataset_id)])
    assert rows[1] is None
    assert await claim(database) == []
    many = await enqueue_jobs(database, [new_job(dataset_id, params=b'{"n": %d}' % n) for n in range(1000)])
    assert [bytes(row.params) for row in many if row] == [b'{"n": %d}' % n for n in range(1000)]
    assert len(await claim(database, 2000)) == 1000


async def test_waiting_rows_are_not_in_the_claims_index(database: Database, dataset_id: UUID) -> None:
    first = await enqueued(database, dataset_id)
    await enqueue_jobs(database, [new_job(dataset_id, input_job_id=first.id) for _ in range(50)])
    (job,) = await claim(database)
    assert job.id == first.id
    assert await record(database, job, DONE) is JobStatus.COMPLETED
    assert len(await claim(database)) == 50
