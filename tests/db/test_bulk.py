"""Many jobs at once: what is decided before the insert is what the database would have decided."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from gristmill.db.bulk import new_ids
from gristmill.db.engine import Database
from gristmill.db.enqueue import enqueue_jobs
from tests.db.rows import new_dataset, new_job

SEED = "SELECT uuidv7()"
STORED = """
SELECT id, blocked, waits_for, scheduled_at, created_at FROM jobs WHERE kind <> 'ingest' ORDER BY id
"""
HISTORY = "SELECT count(*), count(DISTINCT job_id) FROM job_events WHERE type = 'created' AND job_id = ANY ($1)"


async def test_ids_are_of_the_seeds_moment_in_order_and_never_the_same(database: Database) -> None:
    async with database.driver() as driver:
        seed = await driver.fetchval(SEED)
    one, other = new_ids(seed, 1000), new_ids(seed, 1000)
    assert len({*one, *other}) == 2000
    assert one == sorted(one, key=lambda each: each.int)
    for made in (*one, *other):
        assert made.version == 7
        assert made.variant == seed.variant
        assert made.int >> 64 == seed.int >> 64


async def test_what_is_answered_is_what_is_stored(database: Database) -> None:
    ready, waiting = await new_dataset(database), await new_dataset(database, ready=False)
    later = datetime.now(UTC) + timedelta(hours=1)
    first, *rest = [
        new_job(ready),
        new_job(waiting, priority=3, limit_key="k", labels=b'{"a": "b"}'),
        new_job(ready, scheduled_at=later, params=b'{"n": 1}'),
        new_job(ready, kind="normalize", timeout_s=7, max_attempts=2),
    ]
    answered = await enqueue_jobs(database, [first, *rest])
    async with database.driver() as driver:
        stored = await driver.fetch(STORED)
        created = await driver.fetchrow(HISTORY, [row.id for row in answered if row])
    assert [(row.id, row.blocked, row.waits_for, row.scheduled_at, row.created_at) for row in answered if row] == [
        tuple(record) for record in stored
    ]
    assert [record["waits_for"] for record in stored] == [None, waiting, None, None]
    assert stored[2]["scheduled_at"] == later
    assert created is not None
    assert tuple(created) == (4, 4)


async def test_one_wake_up_names_the_only_lane_and_none_is_sent_for_what_must_wait(database: Database) -> None:
    ready, waiting = await new_dataset(database), await new_dataset(database, ready=False)
    later = datetime.now(UTC) + timedelta(hours=1)
    heard: list[object] = []
    async with database.driver() as driver:
        await driver.add_listener("gristmill_jobs", lambda *told: heard.append(told[3]))
        await enqueue_jobs(database, [new_job(waiting), new_job(ready, scheduled_at=later)])
        await enqueue_jobs(database, [new_job(ready, priority=5), new_job(ready, priority=5)])
        await enqueue_jobs(database, [new_job(ready, priority=5), new_job(ready, kind="normalize")])
        async with asyncio.timeout(10):
            while len(heard) < 2:
                await driver.execute("SELECT 1")
    assert heard == ['[5,"metrics","ann",""]', ""]


async def test_one_unknown_dataset_and_nothing_is_added(database: Database) -> None:
    ready = await new_dataset(database)
    assert [row is None for row in await enqueue_jobs(database, [new_job(ready), new_job(uuid4())])] == [False, True]
    assert await enqueue_jobs(database, [new_job(uuid4()), new_job(uuid4())]) == [None, None]
    async with database.driver() as driver:
        assert await driver.fetch(STORED) == []
