# /// script
# requires-python = ">=3.11"
# dependencies = ["procrastinate==3.10.0", "psycopg[binary]==3.3.9"]
# ///
"""Procrastinate with 20 jobs at a time; finished jobs are kept, its default."""

import _kit
import procrastinate

BACKEND = "postgres"
VARIANTS = {"concurrency=20": {"concurrency": 20}}
JOBS = {"concurrency=20": 2_000}
AT_ONCE = 1_000


def app_on(url, ran=None, connections=4):
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, max_size=connections))

    @app.task(name="nothing")
    async def nothing(i):
        ran(i)

    app.nothing = nothing
    return app


async def setup(url):
    async with app_on(url).open_async() as app:
        await app.schema_manager.apply_schema_async()


async def connect(url):
    app = app_on(url)
    await app.open_async()
    return app


async def enqueue_one(app, i):
    await app.nothing.defer_async(i=i)


async def enqueue_many(app, ids):
    for start in range(0, len(ids), AT_ONCE):
        await app.nothing.batch_defer_async(*({"i": i} for i in ids[start : start + AT_ONCE]))


async def unfinished(app):
    found = await app.connector.execute_query_one_async(
        "SELECT count(*) AS jobs FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
    )
    return found["jobs"]


async def worker_main(url, ran, concurrency):
    async with app_on(url, ran, connections=concurrency).open_async() as app:
        await app.run_worker_async(concurrency=concurrency)


if __name__ == "__main__":
    _kit.main(globals())
