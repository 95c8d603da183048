"""Each time of a schedule is fired once, whoever fires, together with its job or not at all."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from gristmill.db import schedules
from gristmill.db.engine import Database
from gristmill.db.jobs import list_jobs
from gristmill.domain.outcome import Failed
from gristmill.errors import BadData
from tests.db.rows import OWNER, new_dataset, settle_ingest


async def new_schedule(database: Database, *, late: timedelta, ready: bool = True, **given: Any) -> Any:
    """One of every minute whose next time was that long ago."""
    now = await schedules.database_time(database)
    values = {
        "owner": OWNER,
        "name": "often",
        "cron": "* * * * *",
        "time_zone": "UTC",
        "dataset_id": given.get("dataset_id") or await new_dataset(database, ready=ready),
        "kind": "metrics",
        "kind_version": 1,
        "params": "{}",
        "max_attempts": 2,
        "timeout_s": 60,
        "next_at": (now - late).replace(second=0, microsecond=0),
    }
    return await schedules.create_schedule(database, {**values, **given})


async def jobs(database: Database) -> int:
    return len(await list_jobs(database, owner=OWNER, limit=500))


@pytest.mark.parametrize(("missed", "fired"), [("once", 1), ("all", 6), ("skip", 0)])
async def test_twenty_at_once_fire_each_time_once(database: Database, missed: str, fired: int) -> None:
    made = await new_schedule(database, late=timedelta(minutes=5), missed=missed, cron="*/1 * * * *")
    counts = await asyncio.gather(*(schedules.fire_schedules(database) for _ in range(20)))
    # At the turn of a minute one more is due.
    assert fired <= sum(counts) <= fired + 1
    assert await jobs(database) == sum(counts)
    row = await schedules.get_schedule(database, made.id, owner=OWNER)
    assert row is not None
    assert row.next_at > await schedules.database_time(database) - timedelta(minutes=1)
    assert (row.last_job_id is None) == (sum(counts) == 0)


async def test_a_paused_one_does_not_fire(database: Database) -> None:
    await new_schedule(database, late=timedelta(minutes=5), paused=True)
    assert await schedules.fire_schedules(database) == 0


async def test_one_whose_dataset_failed_says_so_and_goes_on(database: Database) -> None:
    made = await new_schedule(database, late=timedelta(minutes=5), ready=False)
    await settle_ingest(database, Failed(BadData("It is empty").problem()))
    await new_schedule(database, late=timedelta(minutes=5))
    assert await schedules.fire_schedules(database) == 1
    row = await schedules.get_schedule(database, made.id, owner=OWNER)
    assert row is not None
    assert row.last_error is not None
    assert row.last_error.code == "dataset-failed"
    assert row.next_at > made.next_at


async def test_firing_that_is_cut_short_has_done_nothing(database: Database) -> None:
    made = await new_schedule(database, late=timedelta(minutes=5))
    async with database.driver() as driver:
        transaction = driver.transaction()
        await transaction.start()
        (due,) = await driver.fetch(schedules.DUE, 5)
        assert due["id"] == made.id
        assert await schedules.fire_schedules(database) == 0, "somebody else is at it"
        await transaction.rollback()
    assert await schedules.fire_schedules(database) == 1
