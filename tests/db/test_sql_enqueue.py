"""Another program enqueues in its own transaction, with one call of a function or a plain INSERT."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from gristmill.db.engine import Database
from gristmill.db.jobs import list_events
from tests.db.rows import INGESTED, OWNER, claim, look, new_dataset, record, settle_ingest

CALL = "SELECT gristmill_enqueue($1, 'metrics', $2, $3)"


async def call(database: Database, dataset_id: UUID, *, owner: str = OWNER) -> UUID:
    async with database.driver() as driver:
        job_id: UUID = await driver.fetchval(CALL, owner, dataset_id, "{}")
        return job_id


async def test_it_is_part_of_the_callers_transaction(database: Database) -> None:
    dataset_id = await new_dataset(database)
    async with database.driver() as driver:
        transaction = driver.transaction()
        await transaction.start()
        await driver.fetchval(CALL, OWNER, dataset_id, "{}")
        assert await claim(database) == []
        await transaction.rollback()
    assert await claim(database) == []
    job_id = await call(database, dataset_id)
    (job,) = await claim(database)
    assert job.id == job_id
    await record(database, job)
    types = [event.type for event in await list_events(database, job_id, owner=OWNER)]
    assert types == ["created", "claimed", "completed"]


async def test_the_version_of_the_kind_is_told_only_where_the_caller_knows_it(database: Database) -> None:
    dataset_id = await new_dataset(database)
    unsaid = await call(database, dataset_id)
    async with database.driver() as driver:
        said = await driver.fetchval(
            "SELECT gristmill_enqueue($1, 'metrics', $2, kind_version => 3)", OWNER, dataset_id
        )
    assert [(await look(database, job_id)).kind_version for job_id in (unsaid, said)] == [0, 3]


async def test_it_wakes_workers_with_the_lane(database: Database) -> None:
    dataset_id = await new_dataset(database)
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with database.driver() as listener:
        await listener.add_listener("gristmill_jobs", lambda *call: heard.put_nowait(str(call[3])))
        await call(database, dataset_id)
        async with asyncio.timeout(10):
            assert await heard.get() == '[0, "metrics", "ann", ""]'
        await listener.reset()


async def test_it_waits_for_a_dataset_that_is_not_ready(database: Database) -> None:
    dataset_id = await new_dataset(database, ready=False)
    job_id = await call(database, dataset_id)
    assert (await look(database, job_id)).waits_for == dataset_id
    await settle_ingest(database, INGESTED)
    assert [job.id for job in await claim(database)] == [job_id]


async def test_what_can_not_be_is_refused(database: Database) -> None:
    dataset_id = await new_dataset(database)
    with pytest.raises(asyncpg.NoDataFoundError, match="no such dataset"):
        await call(database, uuid4())
    with pytest.raises(asyncpg.NoDataFoundError):
        await call(database, dataset_id, owner="bob")
    async with database.driver() as driver:
        await driver.execute("UPDATE datasets SET status = 'failed', error = '{}'")
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError):
        await call(database, dataset_id)


async def test_a_plain_insert_is_a_job_too(database: Database) -> None:
    dataset_id = await new_dataset(database)
    async with database.driver() as driver:
        await driver.execute(
            "INSERT INTO jobs (owner, kind, kind_version, dataset_id, params) VALUES ($1, 'metrics', 1, $2, '{}')",
            OWNER,
            dataset_id,
        )
    assert len(await claim(database)) == 1
