"""Q9: a transaction that is held open elsewhere does not make claims read what was done meanwhile again and again."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from gristmill.db import claims
from gristmill.db.engine import Database
from gristmill.db.enqueue import enqueue_jobs
from gristmill.db.outcomes import Ending, record_outcomes
from tests.db.rows import DONE, claim, enqueued, new_dataset, new_job, record
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


async def test_a_claim_on_a_hint_does_not_even_step_over_what_was_done_before(database: Database) -> None:
    dataset_id = await new_dataset(database)
    lane = (0, "metrics", "ann", "")
    before = datetime.now(UTC) - timedelta(minutes=1)
    async with database.driver() as holder:
        await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await holder.fetchval("SELECT count(*) FROM jobs")
        for _ in range(5 * ROUNDS):
            await enqueue_jobs(database, [new_job(dataset_id, scheduled_at=before) for _ in range(BATCH)])
            endings = [Ending(job.id, job.lease, DONE) for job in await claim(database, BATCH)]
            assert len(await record_outcomes(database, endings)) == BATCH
        await enqueue_jobs(database, [new_job(dataset_id) for _ in range(10)])
        hinted = await explain(database, claims.CLAIM_HINTED, uuid4(), 60.0, *lane, 5)
        any_age = await explain(database, claims.CLAIM_LANE, uuid4(), 60.0, *lane, 5)
        await holder.execute("ROLLBACK")
    assert any_age.pages > 100, "there is something to step over"
    assert hinted.pages < any_age.pages / 10
