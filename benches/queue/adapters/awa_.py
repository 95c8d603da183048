# /// script
# requires-python = ">=3.11"
# dependencies = ["awa-pg==0.6.9"]
# ///
"""Awa: its engine is in Rust, its handlers are Python. 1,024 workers, as its documentation advises for tiny jobs."""

import asyncio
from dataclasses import dataclass

import _kit
import awa

BACKEND = "postgres"
VARIANTS = {"max_workers=1024": {"workers": 1024}}
JOBS = {"max_workers=1024": 20_000}
AT_ONCE = 1_000
# Its view of all jobs takes seconds to count. Nothing leaves these tables for a day.
LEFT = """
SELECT (SELECT count(*) FROM awa.ready_entries) - (SELECT count(*) FROM awa.done_entries)
    - (SELECT coalesce(sum(completed_count), 0) FROM awa.receipt_completion_batches)::bigint AS jobs
"""


@dataclass
class Nothing:
    i: int


async def setup(url):
    client = awa.AsyncClient(url)
    await client.migrate()
    # The first worker of a new installation would do this; the jobs are there before it.
    transaction = await client.transaction()
    await transaction.execute("SELECT awa.storage_auto_finalize_if_fresh('awa')")
    await transaction.commit()


async def connect(url):
    return awa.AsyncClient(url, max_connections=4)


async def enqueue_one(client, i):
    await client.insert(Nothing(i), queue="bench")


async def enqueue_many(client, ids):
    for start in range(0, len(ids), AT_ONCE):
        await client.enqueue_many_copy([Nothing(i) for i in ids[start : start + AT_ONCE]], queue="bench")


async def unfinished(client):
    transaction = await client.transaction()
    try:
        return (await transaction.fetch_one(LEFT))["jobs"]
    finally:
        await transaction.rollback()


async def worker_main(url, ran, workers):
    client = awa.AsyncClient(url, max_connections=10)

    @client.task(Nothing, queue="bench")
    async def nothing(job):
        ran(job.args.i)

    await client.start([("bench", workers)])
    await asyncio.Event().wait()


if __name__ == "__main__":
    _kit.main(globals())
