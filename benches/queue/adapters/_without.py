# /// script
# requires-python = ">=3.11"
# dependencies = ["gristmill[server]"]
# [tool.uv.sources]
# gristmill = { path = "../../..", editable = true }
# ///
"""The worker without one of its techniques at a time, for the table of what each brings. No queue of its own."""

import asyncio
import gc
from contextlib import asynccontextmanager

import _kit
import gristmill_
import uvloop
from gristmill_ import close, connect, enqueue_many, enqueue_one, setup, unfinished  # noqa: F401 (found by their names)

from gristmill.db import claims, enqueue, outcomes
from gristmill.db.engine import Database
from gristmill.worker import completer, producer, supervisor

BACKEND = "postgres"
SLOTS = 2000
FEW_SLOTS = 4


def outcomes_in_batches():
    completer.BATCH = 1


def claims_in_batches():
    producer.MOST_AT_ONCE = 1


def statement_for_completed():
    async def record(database, endings):
        async with database.driver() as driver, driver.transaction():
            return await outcomes._record(driver, endings)

    completer.record_outcomes = record


def statement_for_one_lane():
    """The statement for many lanes, given one."""
    statement = claims.CLAIM
    for place, kind in (("$3", "smallint"), ("$4", "text"), ("$5", "text"), ("$6", "text"), ("$7", "int")):
        statement = statement.replace(f"{place}::{kind}[]", f"ARRAY[{place}::{kind}]")
    claims.CLAIM_LANE = statement


def history_in_the_same_statement():
    """Without any history at all: what it costs."""
    claims.CLAIM_LANE = _without_history(claims.CLAIM_LANE)
    outcomes.COMPLETE = _without_history(outcomes.COMPLETE)


def _without_history(statement):
    start = statement.index(", history AS (")
    return statement[:start] + statement[statement.index("\n)", start) + 2 :]


def own_list_of_connections():
    @asynccontextmanager
    async def driver(self, *, deadline_s=None):
        async with asyncio.timeout(deadline_s or self.deadline_s), self.engine.connect() as connection:
            yield (await connection.get_raw_connection()).driver_connection

    Database.driver = driver


def rare_collection_of_garbage():
    supervisor._collect_rarely = gc.collect


def uvloop_loop():
    uvloop.run = asyncio.run


def array_of_ids():
    """The picked rows joined instead: the planner may take the whole table for a small one."""
    completed = "jobs.id = ANY (ARRAY (SELECT id FROM given)) AND "
    outcomes.COMPLETE = outcomes.COMPLETE.replace(completed, "")
    claims.CLAIM_LANE = claims.CLAIM_LANE.replace("WHERE id = ANY (ARRAY (", "WHERE id IN (").replace(
        "))\n    RET", ")\n    RET"
    )


def hint_of_the_lane():
    """Each wake-up leads to a look at all lanes."""

    def hurry(self, _lane=None):
        self._heard.add(None)
        self._awake.set()

    producer.Producer.hurry = hurry


async def enqueue_decided_there(client, ids):
    """Ids, waits and times decided by PostgreSQL row by row, and every row sent back."""

    async def insert(driver, jobs, waits_for):
        return await enqueue._insert_reusing(driver, jobs, waits_for)

    enqueue.insert_many = insert
    await enqueue_many(client, ids)


async def enqueue_one_by_one(client, ids):
    for i in ids:
        await enqueue_one(client, i)


TECHNIQUES = (
    outcomes_in_batches,
    claims_in_batches,
    statement_for_completed,
    statement_for_one_lane,
    own_list_of_connections,
    rare_collection_of_garbage,
    uvloop_loop,
    array_of_ids,
    hint_of_the_lane,
    history_in_the_same_statement,
)
VARIANTS = {"all": {"without": None}} | {technique.__name__: {"without": technique} for technique in TECHNIQUES}
# What a statement costs shows where it claims a few jobs, as for executors that become free one by one.
VARIANTS |= {
    "all,_few_slots": {"without": None, "slots": FEW_SLOTS},
    "statement_for_one_lane,_few_slots": {"without": statement_for_one_lane, "slots": FEW_SLOTS},
}
# Without batches it takes long: fewer jobs tell as well.
FEW = {"outcomes_in_batches": 4_000, "claims_in_batches": 4_000}
JOBS = {name: FEW.get(name, 2_000 if "few_slots" in name else 30_000) for name in VARIANTS}


def worker_main(url, ran, without, slots=SLOTS):
    if without is not None:
        without()
    gristmill_.worker_main(url, ran, slots)


if __name__ == "__main__":
    _kit.main(globals())
