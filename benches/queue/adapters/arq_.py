# /// script
# requires-python = ">=3.11"
# dependencies = ["arq==0.28.0"]
# ///
"""arq on Redis, which polls: 100 jobs at a time, a look every 10 ms. Results are kept for an hour, its default."""

import _kit
from arq import create_pool, func
from arq.connections import RedisSettings
from arq.worker import Worker

BACKEND = "redis"
VARIANTS = {"max_jobs=100, poll=0.01": {"most": 100, "poll_s": 0.01}}
JOBS = {"max_jobs=100, poll=0.01": 3_000}
enqueue_many = None


async def setup(url):
    await (await connect(url)).flushdb()


async def connect(url):
    return await create_pool(RedisSettings.from_dsn(url))


async def enqueue_one(redis, i):
    await redis.enqueue_job("nothing", i)


async def unfinished(redis):
    return await redis.zcard("arq:queue")


def worker_main(url, ran, most, poll_s):
    async def nothing(context, i):
        ran(i)

    settings = RedisSettings.from_dsn(url)
    Worker([func(nothing, name="nothing")], redis_settings=settings, max_jobs=most, poll_delay=poll_s).run()


if __name__ == "__main__":
    _kit.main(globals())
