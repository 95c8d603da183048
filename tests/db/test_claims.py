"""Every job is claimed by one, every write of an attempt is fenced by its lease, and what is lost is taken back."""

import asyncio
from uuid import UUID, uuid4

import pytest

from gristmill.db import claims, datasets, jobs, outcomes
from gristmill.db.claims import Heartbeat
from gristmill.db.engine import Database
from gristmill.db.enqueue import enqueue_job
from gristmill.db.outcomes import Ending
from gristmill.db.rows import NewJob
from gristmill.domain.column import Column
from gristmill.domain.dataset import DataFormat, Ingested
from gristmill.domain.job import Claim, JobStatus, Progress
from gristmill.domain.manifest import Manifest
from gristmill.domain.outcome import Canceled, Completed, Failed, Interrupted, Outcome, Retry
from gristmill.errors import BadData, InternalError, Problem

OWNER = "ann"
INGESTED = Completed(Manifest("datasets", "p/", ()), Ingested((Column("a", "Int64"),), 3, 2, 1))
DONE = Completed(Manifest("job-results", "r/", ()))
BAD = BadData("It is empty").problem()


@pytest.fixture
async def dataset_id(database: Database) -> UUID:
    """A dataset that is ready."""
    upload_id = await datasets.begin_upload(database, owner=OWNER)
    assert await datasets.commit_upload(
        database,
        upload_id,
        owner=OWNER,
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
    ingest = await claim_one(database)
    await record(database, ingest, INGESTED)
    return upload_id


async def enqueue(database: Database, dataset_id: UUID, *, max_attempts: int = 2, priority: int = 0) -> UUID:
    added = await enqueue_job(
        database,
        NewJob(
            owner=OWNER,
            dataset_id=dataset_id,
            kind="metrics",
            kind_version=1,
            params=b"{}",
            max_attempts=max_attempts,
            timeout_s=30,
            priority=priority,
        ),
    )
    assert added is not None
    return added.id


async def claim(
    database: Database, *, limit: int = 100, lease_s: float = 15, worker: UUID | None = None
) -> list[Claim]:
    return await claims.claim_jobs(database, worker_id=worker or uuid4(), limit=limit, lease_s=lease_s)


async def claim_one(database: Database, *, lease_s: float = 15) -> Claim:
    (job,) = await claim(database, lease_s=lease_s)
    return job


async def record(database: Database, job: Claim, outcome: Outcome) -> JobStatus | None:
    return (await outcomes.record_outcomes(database, [Ending(job.id, job.lease, outcome)])).get(job.lease)


async def status(database: Database, job_id: UUID) -> JobStatus:
    row = await jobs.get_job(database, job_id, owner=OWNER)
    assert row is not None
    return row.status


async def results(database: Database) -> int:
    async with database.driver() as driver:
        return int(await driver.fetchval("SELECT count(*) FROM job_events WHERE type = 'completed'"))


async def test_twenty_claimers_never_get_the_same_job(database: Database, dataset_id: UUID) -> None:
    wanted = {await enqueue(database, dataset_id) for _ in range(200)}

    async def claimer() -> list[Claim]:
        mine: list[Claim] = []
        while got := await claim(database, limit=3):
            assert len(got) <= 3, "never more than asked for"
            mine += got
        return mine

    claimed = [job for found in await asyncio.gather(*(claimer() for _ in range(20))) for job in found]
    assert len(claimed) == 200
    assert {job.id for job in claimed} == wanted
    assert len({job.lease for job in claimed}) == 200, "no lease is given twice"


async def test_claims_go_by_priority_then_age(database: Database, dataset_id: UUID) -> None:
    old = await enqueue(database, dataset_id)
    urgent = await enqueue(database, dataset_id, priority=5)
    young = await enqueue(database, dataset_id)
    assert [job.id for job in await claim(database)] == [urgent, old, young]


async def test_a_late_completion_is_refused(database: Database, dataset_id: UUID) -> None:
    job_id = await enqueue(database, dataset_id)
    ghost = await claim_one(database, lease_s=0)
    assert await outcomes.rescue_jobs(database) == {ghost.lease: JobStatus.PENDING}
    before = await results(database)
    assert await record(database, ghost, DONE) is None, "refused while pending"
    second = await claim_one(database)
    assert second.lease > ghost.lease
    assert await record(database, ghost, DONE) is None, "refused while another attempt runs"
    assert await claims.send_heartbeats(database, [Heartbeat(job_id, ghost.lease)], lease_s=15) == {}
    assert await results(database) == before
    assert await record(database, second, DONE) is JobStatus.COMPLETED
    assert await record(database, ghost, Failed(BAD)) is None
    assert await results(database) == before + 1
    assert await outcomes.ended_attempts(database, [(job_id, ghost.lease), (job_id, second.lease)]) == {
        ghost.lease: "retry",
        second.lease: "completed",
    }


async def test_a_completion_counts_once(database: Database, dataset_id: UUID) -> None:
    await enqueue(database, dataset_id)
    job = await claim_one(database)
    answers = await asyncio.gather(*(record(database, job, DONE) for _ in range(5)))
    assert sorted(answer or "" for answer in answers) == ["", "", "", "", "completed"]


async def test_a_heartbeat_renews_the_lease_and_tells_of_cancels(database: Database, dataset_id: UUID) -> None:
    calm, canceled = await enqueue(database, dataset_id), await enqueue(database, dataset_id)
    leases = {job.id: job.lease for job in await claim(database, lease_s=0)}
    await jobs.cancel_job(database, canceled, owner=OWNER)
    beats = [Heartbeat(calm, leases[calm], Progress("fit", 3, 9)), Heartbeat(canceled, leases[canceled])]
    assert await claims.send_heartbeats(database, beats, lease_s=15) == {leases[calm]: False, leases[canceled]: True}
    assert await outcomes.rescue_jobs(database) == {}, "renewed leases are not taken back"
    row = await jobs.get_job(database, calm, owner=OWNER)
    assert row is not None
    assert row.progress == Progress("fit", 3, 9)
    await claims.send_heartbeats(database, [Heartbeat(calm, leases[calm])], lease_s=15)
    row = await jobs.get_job(database, calm, owner=OWNER)
    assert row is not None
    assert row.progress == Progress("fit", 3, 9), "a beat without progress keeps it"


@pytest.mark.parametrize("outcome", [DONE, Failed(BAD), Retry(BAD, 0.0), Interrupted(), Canceled()])
async def test_a_cancel_that_was_accepted_wins(database: Database, dataset_id: UUID, outcome: Outcome) -> None:
    job_id = await enqueue(database, dataset_id)
    job = await claim_one(database)
    assert await jobs.cancel_job(database, job_id, owner=OWNER) is JobStatus.RUNNING
    before = await results(database)
    assert await record(database, job, outcome) is JobStatus.CANCELED
    assert await results(database) == before


async def test_interrupted_burns_no_attempt_and_retry_does(database: Database, dataset_id: UUID) -> None:
    await enqueue(database, dataset_id, max_attempts=2)
    first = await claim_one(database)
    assert await record(database, first, Interrupted()) is JobStatus.PENDING
    second = await claim_one(database)
    assert (first.attempt, second.attempt) == (1, 1)
    assert await record(database, second, Retry(BAD, 0.0)) is JobStatus.PENDING
    third = await claim_one(database)
    assert third.attempt == 2


async def test_a_retry_waits_for_its_time(database: Database, dataset_id: UUID) -> None:
    await enqueue(database, dataset_id)
    claimer = claims.Claimer(database, uuid4(), lease_s=15)
    (job,) = await claimer.claim(1)
    await record(database, job, Retry(BAD, 500.0))
    assert await claimer.claim(1) == []
    assert claimer.next_due_s is not None
    assert 400 < claimer.next_due_s <= 500


async def test_rescue_stops_at_the_last_attempt(database: Database, dataset_id: UUID) -> None:
    job_id = await enqueue(database, dataset_id, max_attempts=1)
    job = await claim_one(database, lease_s=0)
    assert await outcomes.rescue_jobs(database) == {job.lease: JobStatus.FAILED}
    row = await jobs.get_job(database, job_id, owner=OWNER)
    assert row is not None
    assert row.error is not None
    assert row.error.code == "worker-lost"


async def test_many_rescuers_take_back_once(database: Database, dataset_id: UUID) -> None:
    for _ in range(20):
        await enqueue(database, dataset_id, max_attempts=5)
    claimed = await claim(database, lease_s=0)
    rescued = await asyncio.gather(*(outcomes.rescue_jobs(database) for _ in range(5)))
    leases = [lease for found in rescued for lease in found]
    assert sorted(leases) == sorted(job.lease for job in claimed)


async def test_a_worker_can_ask_what_it_holds(database: Database, dataset_id: UUID) -> None:
    await enqueue(database, dataset_id)
    worker = uuid4()
    (job,) = await claim(database, worker=worker)
    assert await claims.held_jobs(database, worker) == {job.lease: job.id}
    assert await claims.held_jobs(database, uuid4()) == {}


async def test_an_outcome_that_cannot_be_stored_stores_nothing(database: Database, dataset_id: UUID) -> None:
    ids = [await enqueue(database, dataset_id) for _ in range(2)]
    endings = [
        Ending(job.id, job.lease, DONE if job.id == ids[0] else Failed(Problem("bad", "title", "a NUL: \0")))
        for job in await claim(database)
    ]
    with pytest.raises(InternalError):
        await outcomes.record_outcomes(database, endings)
    assert [await status(database, job_id) for job_id in ids] == [JobStatus.RUNNING, JobStatus.RUNNING]


@pytest.mark.parametrize("outcome", [Interrupted(), Retry(BAD, 0.0)])
async def test_work_that_is_free_again_wakes_workers(database: Database, dataset_id: UUID, outcome: Outcome) -> None:
    await enqueue(database, dataset_id)
    job = await claim_one(database)
    heard = asyncio.Event()
    async with database.driver() as listener:
        await listener.add_listener("gristmill_jobs", lambda *_: heard.set())
        await record(database, job, outcome)
        async with asyncio.timeout(10):
            await heard.wait()
        await listener.reset()
