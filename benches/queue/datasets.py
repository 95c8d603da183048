"""Small datasets end to end: claim, executor process, S3, result, commit; beside Celery, pandas, boto3 on the same S3.

Files of 1,000 rows, jobs waiting before the worker starts, two processes that compute on either side. `floor` are two
warm processes with the same work of `normalize` and nothing around them, with one object as a result and with three.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

from servers import RedisServer

from benches.measuring import Found, Wanted, median
from gristmill import embedded
from gristmill.bootstrap import prepare
from gristmill.db import datasets
from gristmill.db.engine import Database
from gristmill.db.enqueue import enqueue_jobs
from gristmill.db.rows import NewJob
from gristmill.domain.dataset import DataFormat
from gristmill.domain.manifest import original_key
from gristmill.objects import ObjectStore
from gristmill.settings import Settings, load_settings

TASKS = Path(__file__).parent / "usual" / "tasks.py"
FLOOR = Path(__file__).parent / "usual" / "floor.py"
# Objects that a result of `normalize` has: with us the table, the fitted parameters and the report.
OBJECTS = {"one object": 1, "three objects": 3}
FILES, ROWS, JOBS = 50, 1000, 1500
KINDS = {"metrics": b"{}", "normalize": b'{"steps": [{"op": "scale", "method": "zscore"}]}'}
OWNER = "bench"
# How many ends are let pass before the time is taken: processes start, on either side.
WARM = 0.2
SPAN = """
SELECT count(*) FILTER (WHERE status = 'completed')::int AS done,
    count(*) FILTER (WHERE status = 'failed')::int AS failed,
    array_agg(extract(epoch FROM finished_at)::float8 ORDER BY finished_at) AS ends
FROM jobs WHERE kind = $1
"""

# The first file of a dataset is its only part.
PARTS = "SELECT manifest -> 'files' -> 0 ->> 'key' AS key FROM datasets"


def measure(folder: Path, options: argparse.Namespace) -> Found:
    rates: dict[tuple[str, str], list[float]] = {}
    with embedded.hold(folder / "services") as endpoints:
        settings = load_settings({**endpoints.environment(), "CONCURRENCY": "2", "LOG_LEVEL": "warning"}, env_file=None)
        asyncio.run(prepare(settings))
        keys = asyncio.run(put_datasets(settings))
        rates["gristmill", "ingest"] = [work(settings, "ingest", FILES)]
        for _ in range(options.rounds):
            for kind in KINDS:
                asyncio.run(enqueue(settings, kind, list(keys)))
                rates.setdefault(("gristmill", kind), []).append(work(settings, kind, JOBS))
                rates.setdefault(("usual", kind), []).append(usual(folder, endpoints, kind, list(keys.values())))
            for written, objects in OBJECTS.items():
                rates.setdefault((f"floor, {written}", "normalize"), []).append(floor(settings, objects))
    lines = ["| files of 1,000 rows, two computing processes | jobs/s |", "|---|---:|"]
    lines += [f"| {who}, {kind} | {median(found):,.0f} |" for (who, kind), found in rates.items()]
    ratios = [
        Wanted(
            f"1,000 rows end to end, {kind} / Celery + pandas",
            median(rates["gristmill", kind]) / median(rates["usual", kind]),
            "at least 2",
        )
        for kind in KINDS
    ]
    figures = [{"who": who, "kind": kind, "rates": found} for (who, kind), found in rates.items()]
    return Found("\n".join(lines), ratios, figures)


def content(seed: int) -> bytes:
    """Four numbers, a time and two texts a row."""
    rng = random.Random(seed)
    lines = ["a,b,c,d,at,city,note"]
    for n in range(ROWS):
        numbers = ",".join(f"{rng.gauss(50, 12):.4f}" for _ in range(4))
        lines.append(f"{numbers},2026-03-{n % 28 + 1:02d}T{n % 24:02d}:00:00,city-{rng.randrange(40)},note {n}")
    return "\n".join(lines).encode()


async def put_datasets(settings: Settings) -> dict[UUID, str]:
    """Upload the files. Answers dataset → key of its original."""
    keys: dict[UUID, str] = {}
    async with Database.open(settings) as database, ObjectStore.open(settings) as store:
        for seed in range(FILES):
            dataset_id = await datasets.begin_upload(database, owner=OWNER)
            key = keys[dataset_id] = original_key(str(dataset_id))
            stored = await store.put(settings.s3_datasets_bucket, key, content(seed), "text/csv")
            await datasets.commit_upload(
                database,
                dataset_id,
                owner=OWNER,
                name="bench",
                data_format=DataFormat.CSV,
                original_key=key,
                media_type="text/csv",
                size_bytes=stored.size_bytes,
                sha256=stored.sha256,
                options=b"{}",
                max_attempts=1,
                timeout_s=60,
            )
    return keys


async def enqueue(settings: Settings, kind: str, ids: list[UUID]) -> None:
    async with Database.open(settings) as database:
        async with database.driver() as driver:
            await driver.execute("DELETE FROM jobs WHERE kind = $1", kind)
        new = [
            NewJob(
                owner=OWNER,
                dataset_id=ids[n % FILES],
                kind=kind,
                kind_version=1,
                params=KINDS[kind],
                max_attempts=1,
                timeout_s=60,
            )
            for n in range(JOBS)
        ]
        assert all(await enqueue_jobs(database, new))


def work(settings: Settings, kind: str, jobs: int) -> float:
    """Jobs per second of one worker with two executors, once it is warm, to its last commit."""
    command = [sys.executable, "-m", "gristmill", "worker"]
    worker = subprocess.Popen(command, env={**os.environ, **settings.environment()})
    try:
        ends = asyncio.run(_done(settings, kind, jobs))
    finally:
        worker.terminate()
        worker.wait(60)
    return rate_of(ends)


def rate_of(ends: list[float]) -> float:
    """Jobs per second from the end (s) of the last one of the warm-up."""
    warm = int(len(ends) * WARM)
    return (len(ends) - warm) / (ends[-1] - ends[warm - 1])


async def _done(settings: Settings, kind: str, jobs: int) -> list[float]:
    async with Database.open(settings) as database, database.driver(deadline_s=600) as driver:
        while True:
            told = await driver.fetchrow(SPAN, kind)
            assert told is not None
            assert not told["failed"], "a job failed"
            if told["done"] == jobs:
                return list(told["ends"])
            await asyncio.sleep(0.1)


def floor(settings: Settings, objects: int) -> float:
    """Jobs per second of two processes that only do the work, once they are warm."""
    keys = "\n".join(asyncio.run(_parts(settings))).encode()
    command = [sys.executable, str(FLOOR), str(JOBS // 2), str(objects)]
    environment = {**os.environ, **settings.environment()}
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        told = list(pool.map(lambda process: process.communicate(keys, timeout=300)[0], processes))
    assert not any(process.returncode for process in processes)
    return rate_of(sorted(float(line) for lines in told for line in lines.split()))


async def _parts(settings: Settings) -> list[str]:
    async with Database.open(settings) as database, database.driver() as driver:
        return [record["key"] for record in await driver.fetch(PARTS)]


def usual(folder: Path, endpoints: embedded.Endpoints, kind: str, keys: list[str]) -> float:
    """Jobs per second of the usual way, once it is warm, to the last task's end."""
    place = folder / f"redis-{time.monotonic_ns()}"
    place.mkdir()
    server = RedisServer(place)
    environment = {**os.environ, **endpoints.environment(), "REDIS_URL": server.fresh()}
    run = ["uv", "run", "--quiet", "--script", str(TASKS)]
    worker: subprocess.Popen[bytes] | None = None
    try:
        subprocess.run([*run, "submit", kind, *(keys[n % FILES] for n in range(JOBS))], check=True, env=environment)
        worker = subprocess.Popen([*run, "worker"], env=environment, start_new_session=True)
        told = subprocess.run([*run, "wait", str(JOBS)], check=True, env=environment, capture_output=True, timeout=300)
        return rate_of(json.loads(told.stdout))
    finally:
        if worker is not None:
            worker.terminate()
            worker.wait(60)
        server.stop()
