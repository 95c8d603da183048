# /// script
# requires-python = ">=3.11"
# dependencies = ["gristmill[server]"]
# [tool.uv.sources]
# gristmill = { path = "../../..", editable = true }
# ///
"""Gristmill: jobs are rows of the product's own schema, and the worker is the product's supervisor with all its parts.

Only the crew is another: in the place of child processes, a no-op in the worker's own process.
To run this file elsewhere, give the path above as the checkout's.
"""

import json
from uuid import uuid4

import _kit
import asyncpg
import msgspec
import uvloop
from sqlalchemy.engine import make_url

from gristmill.db import migrations
from gristmill.db.engine import Database
from gristmill.db.enqueue import enqueue_jobs
from gristmill.db.rows import NewJob
from gristmill.domain.manifest import Manifest
from gristmill.domain.outcome import Completed
from gristmill.objects import ObjectStore
from gristmill.settings import load_settings
from gristmill.telemetry import configure_logging
from gristmill.worker.slots import Crew
from gristmill.worker.supervisor import Supervisor

BACKEND = "postgres"
VARIANTS = {"2000 slots": {"slots": 2000}, "64 slots": {"slots": 64}}
JOBS = dict.fromkeys(VARIANTS, 40_000)
AT_ONCE = 1_000
DONE = Completed(Manifest("", "", ()))

DATASET = """
INSERT INTO datasets (owner, name, format, status, original_key, media_type, size_bytes, sha256, columns, rows_read,
    rows_loaded, rows_rejected, manifest)
VALUES ('bench', 'bench', 'csv', 'ready', 'k', 'text/csv', 0, repeat('0', 64), '[]', 0, 0, 0, '{}')
"""
# What one job is in the tables: its row, its first event, a wake-up.
INSERT = """
WITH added AS (
    INSERT INTO jobs (owner, dataset_id, kind, kind_version, params, max_attempts, timeout_s)
    VALUES ('bench', $1, 'nothing', 1, $2::text::jsonb, 5, 60) RETURNING id, owner
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt) SELECT id, owner, 'created', 0 FROM added
)
SELECT id, pg_notify('gristmill_jobs', '') FROM added
"""
LEFT = """
SELECT (SELECT count(*) FROM jobs WHERE status = 'pending' AND NOT blocked)
    + (SELECT count(*) FROM jobs WHERE status = 'running')
"""
PAST = """
WITH added AS (
    INSERT INTO jobs (owner, kind, kind_version, dataset_id, params, status, attempt, manifest, started_at, finished_at)
    SELECT 'bench', 'nothing', 1, $2::uuid, jsonb_build_object('i', n), 'completed', 1, '{}', now(), now()
    FROM generate_series(1, $1::int) AS n RETURNING id
), leased AS MATERIALIZED (SELECT id, nextval('job_leases') AS lease FROM added)
INSERT INTO job_events (job_id, owner, type, attempt, lease)
SELECT id, 'bench', type, 1, lease FROM leased, unnest(ARRAY['created', 'claimed', 'completed']) AS type
"""


def settings_for(url):
    place = make_url(url)
    given = {
        "POSTGRES_HOST": place.host,
        "POSTGRES_PORT": str(place.port),
        "POSTGRES_DB": place.database,
        "POSTGRES_USER": place.username,
        "POSTGRES_PASSWORD": place.password or "-",
        "S3_ENDPOINT_URL": "http://127.0.0.1:9",
        "S3_ACCESS_KEY_ID": "-",
        "S3_SECRET_ACCESS_KEY": "-",
        "LOG_LEVEL": "warning",
    }
    return load_settings(given, env_file=None)


async def setup(url):
    settings = settings_for(url)
    await migrations.upgrade(settings)
    async with Database.open(settings) as database, database.driver() as driver:
        await driver.execute(DATASET)


class Client:
    """Holds the pool open for as long as the process lives."""

    def __init__(self, url, opening, database, dataset_id):
        self.url, self.opening, self.database, self.dataset_id = url, opening, database, dataset_id
        self.bare = None

    def job(self, i):
        return NewJob(
            owner="bench",
            dataset_id=self.dataset_id,
            kind="nothing",
            kind_version=1,
            params=b'{"i": %d}' % i,
            max_attempts=5,
            timeout_s=60,
        )


async def connect(url):
    opening = Database.open(settings_for(url))
    database = await opening.__aenter__()
    async with database.driver() as driver:
        return Client(url, opening, database, await driver.fetchval("SELECT id FROM datasets"))


async def close(client):
    if client.bare is not None:
        await client.bare.close()
    await client.opening.__aexit__(None, None, None)


async def enqueue_one(client, i):
    await enqueue_jobs(client.database, [client.job(i)])


async def insert_one(client, i):
    if client.bare is None:
        client.bare = await asyncpg.connect(client.url)
    await client.bare.fetch(INSERT, client.dataset_id, json.dumps({"i": i}))


async def enqueue_many(client, ids):
    for start in range(0, len(ids), AT_ONCE):
        await enqueue_jobs(client.database, [client.job(i) for i in ids[start : start + AT_ONCE]])


async def unfinished(client):
    async with client.database.driver() as driver:
        return await driver.fetchval(LEFT)


async def fill_history(client, n):
    async with client.database.driver(deadline_s=600) as driver:
        await driver.execute(PAST, n, client.dataset_id, timeout=600)


class NoopSlots:
    """As many slots as outcomes may wait to be recorded; a job is done as soon as it is given."""

    soon = 0

    def __init__(self, slots, ran, completer, on_free):
        self._slots, self._ran, self._completer, self._on_free = slots, ran, completer, on_free

    @property
    def free(self):
        return min(self._slots, self._completer.room)

    async def fill(self, attempts):
        for attempt in attempts:
            self._ran(msgspec.json.decode(attempt.job.params)["i"])
            self._completer.submit_at_once(attempt, DONE)

    async def refill(self):
        while True:
            await self._completer.recorded.wait()
            self._completer.recorded.clear()
            self._on_free()


def worker_main(url, ran, slots):
    async def work():
        settings = settings_for(url)
        configure_logging(settings.log_level, settings.log_format)

        def hire(completer, *, on_free):
            noop = NoopSlots(slots, ran, completer, on_free)
            return Crew(noop, [noop.refill()])

        async with (
            Database.open(settings, application="gristmill-worker") as database,
            ObjectStore.open(settings) as store,
        ):
            await Supervisor(settings, uuid4(), database, store, hire).run()

    uvloop.run(work())


if __name__ == "__main__":
    _kit.main(globals())
