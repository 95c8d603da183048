"""Q5: priority, then time, then age; owners in turn; limits kept by many claimers. More in tests/db/test_limits.py."""

import asyncio
from collections import Counter
from uuid import UUID

from gristmill.db.engine import Database
from gristmill.db.limits import Limit, set_limit
from tests.db.rows import claim, enqueued, new_dataset, record
from tests.queue.history import violations


async def test_the_order_of_claims(database: Database) -> None:
    dataset_id = await new_dataset(database)
    old, young = [(await enqueued(database, dataset_id)).id for _ in range(2)]
    late = (await enqueued(database, dataset_id)).id
    urgent = (await enqueued(database, dataset_id, priority=9)).id
    async with database.driver() as driver:
        await driver.execute("UPDATE jobs SET scheduled_at = now() - interval '1 h' WHERE id = $1", late)
    assert [(await claim(database, 1))[0].id for _ in range(4)] == [urgent, late, old, young]


async def test_twenty_claimers_with_limits_do_all_jobs_once(database: Database) -> None:
    dataset_id = await new_dataset(database)
    await set_limit(database, Limit("kind", "metrics", max_running=4))
    await set_limit(database, Limit("owner", "ann", max_running=6))
    wanted = [
        (await enqueued(database, dataset_id, kind=kind, priority=n % 3)).id
        for n in range(30)
        for kind in ("metrics", "normalize")
    ]
    done: Counter[UUID] = Counter()

    async def claimer() -> None:
        while len(done) < len(wanted):
            for job in await claim(database, 3):
                await record(database, job)
                done[job.id] += 1

    async with asyncio.timeout(100):
        await asyncio.gather(*(claimer() for _ in range(20)))
    assert done == Counter(wanted)
    assert await violations(database, wanted) == []
