"""Q9: a transaction that is held open elsewhere does not make claims read what was done meanwhile again and again."""

from uuid import uuid4

from gristmill.db import claims
from gristmill.db.engine import Database
from gristmill.db.enqueue import enqueue_jobs
from tests.db.rows import claim, enqueued, new_dataset, new_job, record
from tests.db.test_claim_cost import explain

ROUNDS = 6
BATCH = 200


async def test_rows_read_do_not_grow_under_a_held_snapshot(database: Database) -> None:
    dataset_id = await new_dataset(database)
    await enqueued(database, dataset_id)
    async with database.driver() as holder:
        await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await holder.fetchval("SELECT count(*) FROM jobs")
        for _ in range(ROUNDS):
            await enqueue_jobs(database, [new_job(dataset_id, params=b"{}") for _ in range(BATCH)])
            for job in await claim(database, 2 * BATCH):
                await record(database, job)
        await enqueue_jobs(database, [new_job(dataset_id) for _ in range(10)])
        plan = await explain(database, claims.CLAIM_LANE, uuid4(), 60.0, 0, "metrics", "ann", "", 10)
        await holder.execute("ROLLBACK")
    assert plan.read <= 20, "live rows alone: dead ones are stepped over in the index"
