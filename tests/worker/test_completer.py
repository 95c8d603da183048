"""Outcomes are recorded once, in batches, through lost connections; what the fence refuses leaves no objects."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from prometheus_client import generate_latest

from gristmill import metrics
from gristmill.db import claims, outcomes
from gristmill.db.engine import Database
from gristmill.db.outcomes import Ending
from gristmill.domain.job import Claim, JobStatus
from gristmill.domain.manifest import Manifest, result_prefix
from gristmill.domain.outcome import Completed, Failed, Outcome, Retry
from gristmill.errors import BadData, DatabaseUnavailable, Problem
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from gristmill.worker.attempt import Attempt, Attempts, StopReason
from gristmill.worker.cleaner import Cleaner
from gristmill.worker.completer import Completer
from tests.exposition import parsed
from tests.proxy import FaultProxy
from tests.worker.rig import Bench, ingested

DONE = Completed(Manifest("job-results", "r/", ()))
WORKER = uuid4()
Claimed = Callable[[int], Awaitable[list[Claim]]]


class Desk:
    """A completer at work, and what it works on."""

    def __init__(self, settings: Settings, database: Database, store: ObjectStore) -> None:
        self.attempts = Attempts()
        self.retries = asyncio.Event()
        self.cleaner = Cleaner(settings, store)
        self.completer = Completer(database, WORKER, self.attempts, self.cleaner, on_retry=self.retries.set)

    async def submit(self, job: Claim, outcome: Outcome) -> Attempt:
        attempt = Attempt(job)
        attempt.began = True
        self.attempts.add(attempt)
        await self.completer.submit(attempt, outcome)
        return attempt

    async def until_recorded(self) -> None:
        async with asyncio.timeout(60):
            await self.attempts.until_none()
            await self.cleaner.until_done()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.completer.run()), asyncio.create_task(self.cleaner.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            endings = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(ending, asyncio.CancelledError) for ending in endings), endings


@pytest.fixture
def desk(settings: Settings, database: Database, store: ObjectStore) -> Desk:
    return Desk(settings, database, store)


@pytest.fixture
def claimed(bench: Bench) -> Claimed:
    async def make(count: int) -> list[Claim]:
        dataset_id = await ingested(bench)
        for _ in range(count):
            await bench.job(dataset_id)
        return await claims.claim_jobs(bench.database, worker_id=WORKER, limit=count, lease_s=60)

    return make


async def test_many_outcomes_are_recorded(bench: Bench, desk: Desk, claimed: Claimed) -> None:
    jobs = await claimed(300)
    for job in jobs:
        await desk.submit(job, DONE)
    async with desk.working():
        await desk.until_recorded()
    assert {(await bench.look(job.id)).status for job in jobs} == {JobStatus.COMPLETED}


async def test_a_refused_completion_leaves_no_objects(
    bench: Bench, desk: Desk, claimed: Claimed, settings: Settings
) -> None:
    (job,) = await claimed(1)
    key = result_prefix(str(job.id), job.lease) + "part-00000.parquet"
    await bench.store.put(settings.s3_job_results_bucket, key, b"late", "text/plain")
    lost = Retry(BadData("taken back").problem(), 0.0)
    await outcomes.record_outcomes(bench.database, [Ending(job.id, job.lease, lost)])
    async with desk.working():
        await desk.submit(job, DONE)
        await desk.until_recorded()
    assert (await bench.look(job.id)).status is JobStatus.PENDING
    assert await bench.commits(job.id) == 0
    assert await bench.keys(settings.s3_job_results_bucket, f"results/{job.id}/") == []


async def test_a_completion_whose_answer_was_lost_keeps_its_objects(
    bench: Bench, desk: Desk, claimed: Claimed, settings: Settings
) -> None:
    (job,) = await claimed(1)
    key = result_prefix(str(job.id), job.lease) + "part-00000.parquet"
    await bench.store.put(settings.s3_job_results_bucket, key, b"good", "text/plain")
    await outcomes.record_outcomes(bench.database, [Ending(job.id, job.lease, DONE)])
    async with desk.working():
        await desk.submit(job, DONE)
        await desk.until_recorded()
    assert (await bench.look(job.id)).status is JobStatus.COMPLETED
    assert await bench.keys(settings.s3_job_results_bucket, f"results/{job.id}/") == [key]


async def test_one_outcome_that_cannot_be_stored_fails_alone(bench: Bench, desk: Desk, claimed: Claimed) -> None:
    jobs = await claimed(3)
    unstorable = Failed(Problem("bad", "title", "a NUL: \0"))
    outcomes: tuple[Outcome, ...] = (DONE, unstorable, DONE)
    for job, outcome in zip(jobs, outcomes, strict=True):
        await desk.submit(job, outcome)
    async with desk.working():
        await desk.until_recorded()
    rows = [await bench.look(job.id) for job in jobs]
    assert [row.status for row in rows] == [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.COMPLETED]
    assert rows[1].error is not None
    assert rows[1].error.code == "internal-error"


async def test_outcomes_wait_for_a_database_that_is_away(
    bench: Bench, settings: Settings, store: ObjectStore, claimed: Claimed
) -> None:
    (job,) = await claimed(1)
    async with FaultProxy.to(settings.postgres_host, settings.postgres_port) as proxy:
        shaky = settings.model_copy(
            update={"postgres_host": proxy.host, "postgres_port": proxy.port, "postgres_deadline_s": 2.0}
        )
        async with Database.open(shaky) as database:
            desk = Desk(settings, database, store)
            await proxy.refuse()
            with pytest.raises(DatabaseUnavailable):
                await claims.held_jobs(database, WORKER)
            async with desk.working():
                await desk.submit(job, DONE)
                await proxy.accept()
                await desk.until_recorded()
    assert (await bench.look(job.id)).status is JobStatus.COMPLETED


def leases_lost(kind: str) -> float:
    """How many this process tells of."""
    found = parsed(generate_latest(metrics.REGISTRY).decode())
    return found.get(f'gristmill_leases_lost_total{{kind="{kind}"}}', 0)


async def test_a_lost_lease_writes_nothing(bench: Bench, desk: Desk, claimed: Claimed) -> None:
    (job,) = await claimed(1)
    attempt = Attempt(job)
    desk.attempts.add(attempt)
    attempt.ask_to_stop(StopReason.LEASE_LOST)
    before = leases_lost(job.kind)
    desk.completer.drop(attempt)
    async with desk.working():
        await desk.until_recorded()
    assert leases_lost(job.kind) == before + 1
    assert (await bench.look(job.id)).status is JobStatus.RUNNING, "only the database says what becomes of it"


async def test_a_retry_is_told_to_the_producer(bench: Bench, desk: Desk, claimed: Claimed) -> None:
    done, again = await claimed(2)
    async with desk.working():
        await desk.submit(done, DONE)
        await desk.until_recorded()
        assert not desk.retries.is_set()
        await desk.submit(again, Retry(BadData("again").problem(), 1.0))
        await desk.until_recorded()
    assert desk.retries.is_set()
    assert (await bench.look(again.id)).status is JobStatus.PENDING
