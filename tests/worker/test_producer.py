"""The producer never claims more than its free slots, and gives back what it can't use."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest

from gristmill.db import claims
from gristmill.db.engine import Database
from gristmill.db.inputs import Inputs
from gristmill.db.limits import Limit, set_limit
from gristmill.db.outcomes import rescue_jobs
from gristmill.domain.job import JobStatus
from gristmill.domain.manifest import Manifest
from gristmill.domain.outcome import Completed
from gristmill.objects import ObjectStore
from gristmill.settings import MIB, Settings
from gristmill.worker.ahead import LOOKED_AT, MOST_EACH
from gristmill.worker.attempt import Attempt, Attempts, StopReason
from gristmill.worker.cleaner import Cleaner
from gristmill.worker.completer import Completer
from gristmill.worker.producer import Producer
from gristmill.worker.room import Room
from gristmill.worker.slots import ExecutorSlots
from tests.worker.rig import Bench, ingested, until

DONE = Completed(Manifest("job-results", "r/", ()))


class Shop:
    def __init__(self, settings: Settings, database: Database, store: ObjectStore) -> None:
        self.worker_id = uuid4()
        self.attempts = Attempts()
        again = asyncio.Event()
        self.completer = Completer(
            database, self.worker_id, self.attempts, Cleaner(settings, store), on_retry=again.set
        )
        self.producer = Producer(settings, database, self.worker_id, self.attempts, self.completer)
        room = Room(1024 * MIB, budget=512 * MIB, slots=2)
        self.slots = ExecutorSlots(Inputs(database), self.completer, room, on_free=self.producer.slot_freed)

    async def do_short_ones(self, bench: Bench, dataset_id: UUID) -> None:
        """As many as it takes to know that jobs are short."""
        for _ in range(LOOKED_AT):
            await bench.job(dataset_id)
            attempt = await self.slots.take()
            attempt.begin()
            attempt.end()
            self.slots.release(attempt)
            await self.completer.submit(attempt, DONE)
        await self.attempts.until_none()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        completing = asyncio.create_task(self.completer.run())
        producing = asyncio.create_task(self.producer.run(self.slots))
        try:
            yield
        finally:
            self.producer.stop()
            await producing
            completing.cancel()
            await asyncio.gather(completing, return_exceptions=True)


@pytest.fixture
def shop(settings: Settings, database: Database, store: ObjectStore) -> Shop:
    return Shop(settings.model_copy(update={"poll_s": 0.2}), database, store)


async def running_jobs(bench: Bench) -> int:
    async with bench.database.driver() as driver:
        return int(await driver.fetchval("SELECT count(*) FROM jobs WHERE status = 'running'"))


async def test_it_claims_as_many_as_wait_for_a_job(bench: Bench, shop: Shop) -> None:
    dataset_id = await ingested(bench)
    for _ in range(5):
        await bench.job(dataset_id)
    async with shop.working():
        assert shop.slots.free == 0
        first, second = await asyncio.gather(shop.slots.take(), shop.slots.take())
        assert first.job.id != second.job.id
        assert await running_jobs(bench) == 2
        third = await shop.slots.take()
        assert len(shop.attempts) == 3
        assert third.job.lease not in (first.job.lease, second.job.lease)


async def test_a_delayed_job_does_not_wait_for_the_poll(
    bench: Bench, settings: Settings, database: Database, store: ObjectStore
) -> None:
    shop = Shop(settings.model_copy(update={"poll_s": 3600.0}), database, store)
    job_id = await bench.job(await ingested(bench))
    async with database.driver() as driver:
        await driver.execute("UPDATE jobs SET scheduled_at = now() + interval '1.5 s' WHERE id = $1", job_id)
    async with shop.working():
        async with asyncio.timeout(60):
            attempt = await shop.slots.take()
        assert attempt.job.id == job_id


async def test_what_was_claimed_and_never_heard_of_is_given_back(bench: Bench, shop: Shop) -> None:
    job_id = await bench.job(await ingested(bench))
    # As when the connection dies after the claim has committed.
    await claims.claim_jobs(bench.database, worker_id=shop.worker_id, limit=1, lease_s=3600)
    shop.producer.doubt()
    async with shop.working():
        attempt = await shop.slots.take()
        assert (attempt.job.id, attempt.job.attempt) == (job_id, 1)
    assert await bench.events(job_id) == ["created", "claimed", "interrupted", "claimed"]


async def test_a_claim_that_ends_after_the_stop_is_given_back(bench: Bench, shop: Shop) -> None:
    job_id = await bench.job(await ingested(bench))
    async with bench.database.driver() as blocker:
        # The claim waits for the events' table, is under way when the stop comes, and ends after it.
        await blocker.execute("BEGIN")
        await blocker.execute("LOCK TABLE job_events IN EXCLUSIVE MODE")
        async with shop.working():
            taking = asyncio.create_task(shop.slots.take())
            await until(lambda: waiting_for_lock(bench), "the claim is under way")
            shop.producer.stop()
            await blocker.execute("COMMIT")
            await until(lambda: given_back(bench, job_id), "what the claim brought is given back")
            taking.cancel()
    assert (await bench.look(job_id)).status is JobStatus.PENDING


async def test_an_executor_that_goes_away_leaves_its_job_to_another(bench: Bench, shop: Shop) -> None:
    await bench.job(await ingested(bench))
    leaving, waiting = (asyncio.create_task(shop.slots.take()) for _ in range(2))
    await asyncio.sleep(0)
    (claim,) = await claims.claim_jobs(bench.database, worker_id=shop.worker_id, limit=1, lease_s=60)
    attempt = Attempt(claim)
    shop.attempts.add(attempt)
    leaving.cancel()  # and before it has noticed:
    await shop.slots.fill([attempt])
    assert await waiting is attempt
    assert shop.slots.free == 0
    # Canceled with the job in its hands.
    shop.slots.release(attempt)
    leaving = asyncio.create_task(shop.slots.take())
    await asyncio.sleep(0)
    await shop.slots.fill([attempt])
    leaving.cancel()
    assert await shop.slots.take() is attempt


async def test_while_jobs_are_short_some_are_claimed_ahead_and_given_back_untouched(bench: Bench, shop: Shop) -> None:
    dataset_id = await ingested(bench)
    async with shop.working():
        await shop.do_short_ones(bench, dataset_id)
        first, *ahead, last = [await bench.job(dataset_id) for _ in range(2 + MOST_EACH)]
        running = await shop.slots.take()
        assert running.job.id == first
        await until(lambda: is_held(shop, ahead[-1]), "some are claimed for the time after")
        # The one that runs turns out long.
        await until(lambda: tended(shop, bench, ahead[-1]), "what was claimed ahead is given back")
        assert [(await bench.look(job_id)).attempt for job_id in ahead] == [0] * MOST_EACH
        assert shop.slots.free + shop.slots.soon == 0
        assert await bench.events(last) == ["created"], "a stated number of them"
        shop.slots.release(running)
        assert (await shop.slots.take()).job.id == ahead[0]


async def test_nothing_is_claimed_ahead_while_limits_say_how_many_may_run(bench: Bench, shop: Shop) -> None:
    dataset_id = await ingested(bench)
    await set_limit(bench.database, Limit("kind", "metrics", max_running=5))
    async with shop.working():
        await shop.do_short_ones(bench, dataset_id)
        for _ in range(3):
            await bench.job(dataset_id)
        running = await shop.slots.take()
        assert (await shop.slots.take()).job.id != running.job.id
        assert shop.slots.soon > 0
        assert await running_jobs(bench) == 2


async def test_a_job_claimed_ahead_is_taken_next_or_canceled(bench: Bench, shop: Shop) -> None:
    dataset_id = await ingested(bench)
    async with shop.working():
        await shop.do_short_ones(bench, dataset_id)
        for wish in (None, StopReason.CANCELED):
            first, second = [await bench.job(dataset_id) for _ in range(2)]
            running = await shop.slots.take()
            assert running.job.id == first
            await until(lambda: is_held(shop, second), "one is claimed ahead")  # noqa: B023 (awaited in the loop)
            if wish is None:
                shop.slots.release(running)
                await shop.completer.submit(running, DONE)
                ahead = await shop.slots.take()
                assert ahead.job.id == second
                shop.slots.release(ahead)
                await shop.completer.submit(ahead, DONE)
            else:
                (held,) = [attempt for attempt in shop.attempts if attempt.job.id == second]
                held.ask_to_stop(wish)
                await shop.slots.tend()
                await bench.until_status(second, JobStatus.CANCELED)
    assert (await bench.look(first)).status is JobStatus.RUNNING


async def test_a_dead_worker_s_job_ahead_is_rescued_as_others_are(bench: Bench, shop: Shop) -> None:
    dataset_id = await ingested(bench)
    async with shop.working():
        await shop.do_short_ones(bench, dataset_id)
        running, ahead = [await bench.job(dataset_id) for _ in range(2)]
        await shop.slots.take()
        await until(lambda: is_held(shop, ahead), "one is claimed ahead")
    async with bench.database.driver() as driver:
        await driver.execute("UPDATE jobs SET lease_expires_at = now() - interval '1 s' WHERE status = 'running'")
    await rescue_jobs(bench.database)
    for job_id in (running, ahead):
        assert (await bench.look(job_id)).status is JobStatus.PENDING


async def is_running(bench: Bench, job_id: UUID) -> bool:
    return (await bench.look(job_id)).status is JobStatus.RUNNING


async def is_held(shop: Shop, job_id: UUID) -> bool:
    return any(attempt.job.id == job_id for attempt in shop.attempts)


async def tended(shop: Shop, bench: Bench, job_id: UUID) -> bool:
    await shop.slots.tend()
    return await given_back(bench, job_id)


async def given_back(bench: Bench, job_id: UUID) -> bool:
    return await bench.events(job_id) == ["created", "claimed", "interrupted"]


async def waiting_for_lock(bench: Bench) -> bool:
    async with bench.database.driver() as driver:
        count = await driver.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    return bool(count)
