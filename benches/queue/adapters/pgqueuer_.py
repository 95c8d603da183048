# /// script
# requires-python = ">=3.11"
# dependencies = ["pgqueuer==1.6.0", "asyncpg==0.32.0", "uvloop==0.23.0"]
# ///
"""PGQueuer on uvloop: its default batch of 10 on one connection, and a batch of 100 on a pool."""

import _kit
import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.queries import Queries

BACKEND = "postgres"
VARIANTS = {"default": {"batch": 10, "pool": 0}, "batch=100, pool": {"batch": 100, "pool": 10}}
JOBS = {"default": 6_000, "batch=100, pool": 20_000}
AT_ONCE = 1_000


async def setup(url):
    await Queries(AsyncpgDriver(await asyncpg.connect(url))).install()


async def connect(url):
    connection = await asyncpg.connect(url)
    return connection, Queries(AsyncpgDriver(connection))


async def enqueue_one(client, i):
    await client[1].enqueue("nothing", str(i).encode())


async def enqueue_many(client, ids):
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        await client[1].enqueue(["nothing"] * len(some), [str(i).encode() for i in some], [0] * len(some))


async def unfinished(client):
    return await client[0].fetchval("SELECT count(*) FROM pgqueuer")


def worker_main(url, ran, batch, pool):
    async def work():
        if pool:
            driver = AsyncpgPoolDriver(await asyncpg.create_pool(url, min_size=pool // 2, max_size=pool))
        else:
            driver = AsyncpgDriver(await asyncpg.connect(url))
        queue = PgQueuer(driver)

        @queue.entrypoint("nothing")
        async def nothing(job):
            ran(int(job.payload))

        await queue.run(batch_size=batch)

    uvloop.run(work())


if __name__ == "__main__":
    _kit.main(globals())
