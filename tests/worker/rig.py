"""Real worker processes, and what can be seen of them from outside: the database, the buckets, the process table."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import polars as pl
import psutil

from gristmill.db import claims, datasets, enqueue, jobs, outcomes
from gristmill.db.engine import Database
from gristmill.db.outcomes import Ending
from gristmill.db.rows import JobRow, NewJob
from gristmill.domain.column import Column
from gristmill.domain.dataset import DataFormat, Ingested
from gristmill.domain.job import JobStatus
from gristmill.domain.manifest import PARQUET, Manifest, StoredFile, ingest_prefix, original_key, part_name
from gristmill.domain.outcome import Completed
from gristmill.domain.source import Sources
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from gristmill.writing import extent_of, row_group_rows

OWNER = "ann"
LIMIT_S = 60.0
SHORT = {
    "LEASE_S": "3",
    "HEARTBEAT_S": "0.5",
    "POLL_S": "0.5",
    "RETRY_BASE_S": "0.1",
    "SWEEP_S": "0.5",
    "SWEEP_GRACE_S": "0",
    "CONCURRENCY": "1",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "debug",
}


class WorkerProcess:
    """One `gristmill worker`; its log is in a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def children(self) -> list[int]:
        """The executors that live."""
        try:
            found = psutil.Process(self.pid).children()
            return [child.pid for child in found if child.status() != psutil.STATUS_ZOMBIE]
        except psutil.NoSuchProcess:
            return []

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [line for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [entry for entry in map(json.loads, lines) if entry.get("event") == name]

    def output(self) -> str:
        return self._log.read_text()

    async def until_event(self, name: str, *, count: int = 1) -> None:
        async def seen() -> bool:
            assert self.process.poll() is None or len(self.events(name)) >= count, self.output()
            return len(self.events(name)) >= count

        await until(seen, f"the worker says {name}: {self.output()[-3000:]}")

    async def exit_code(self) -> int:
        return await asyncio.to_thread(self.process.wait, LIMIT_S)


@asynccontextmanager
async def running(environment: dict[str, str], folder: Path, **settings: str) -> AsyncIterator[WorkerProcess]:
    """A worker with short times, killed at the end if it still lives."""
    log = folder / f"worker-{uuid4().hex[:8]}.log"
    chosen = {**SHORT, **settings}
    process = _spawn({**environment, "SCRATCH_DIR": str(folder), **chosen}, log)
    worker = WorkerProcess(process, log)
    try:
        await worker.until_event("executor.started", count=int(chosen["CONCURRENCY"]))
        yield worker
    finally:
        process.kill()
        process.wait()


def _spawn(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    with log.open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "gristmill", "worker"],
            env=inherited | environment,
            stdout=stream,
            stderr=stream,
            cwd=log.parent,
        )


class Bench:
    """Puts datasets and jobs in, and looks at what became of them."""

    def __init__(self, settings: Settings, database: Database, store: ObjectStore) -> None:
        self.settings = settings
        self.database = database
        self.store = store

    async def dataset(
        self, content: bytes, *, max_attempts: int = 5, timeout_s: int = 120, declared: DataFormat = DataFormat.CSV
    ) -> UUID:
        """An uploaded file whose ingest is pending."""
        upload_id = await datasets.begin_upload(self.database, owner=OWNER)
        bucket, key = self.settings.s3_datasets_bucket, original_key(str(upload_id))
        stored = await self.store.put(bucket, key, content, "text/csv")
        assert await datasets.commit_upload(
            self.database,
            upload_id,
            owner=OWNER,
            name="numbers",
            data_format=declared,
            original_key=key,
            media_type="text/csv",
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            options=b"{}",
            max_attempts=max_attempts,
            timeout_s=timeout_s,
        )
        return upload_id

    async def ingest_of(self, dataset_id: UUID) -> UUID:
        found = await jobs.list_jobs(self.database, owner=OWNER, limit=1, kind="ingest", dataset_id=dataset_id)
        return found[0].id

    async def job(
        self,
        dataset_id: UUID,
        kind: str = "metrics",
        params: bytes = b"{}",
        *,
        max_attempts: int = 5,
        sources: Sources = (),
    ) -> UUID:
        job = NewJob(
            owner=OWNER,
            dataset_id=dataset_id,
            kind=kind,
            kind_version=1,
            params=params,
            max_attempts=max_attempts,
            timeout_s=120,
            sources=sources,
        )
        added = await enqueue.enqueue_job(self.database, job)
        assert added is not None
        return added.id

    async def look(self, job_id: UUID) -> JobRow:
        row = await jobs.get_job(self.database, job_id, owner=OWNER)
        assert row is not None
        return row

    async def until_status(self, job_id: UUID, status: JobStatus) -> JobRow:
        async def reached() -> bool:
            now = (await self.look(job_id)).status
            assert now is status or not now.final, f"{now} instead of {status}: {(await self.look(job_id)).error}"
            return now is status

        await until(reached, f"the job is {status}")
        return await self.look(job_id)

    async def until_progress(self, job_id: UUID) -> JobRow:
        """Until the database has heard that the job is in the middle of its work."""

        async def moving() -> bool:
            row = await self.look(job_id)
            return row.status is JobStatus.RUNNING and row.progress is not None and row.progress.done > 0

        await until(moving, "the job's progress is seen")
        return await self.look(job_id)

    async def events(self, job_id: UUID) -> list[str]:
        return [event.type for event in await jobs.list_events(self.database, job_id, owner=OWNER)]

    async def commits(self, job_id: UUID) -> int:
        async with self.database.driver() as driver:
            return int(
                await driver.fetchval(
                    "SELECT count(*) FROM job_events WHERE job_id = $1 AND type = 'completed'", job_id
                )
            )

    async def keys(self, bucket: str, prefix: str) -> list[str]:
        return [key async for key in self.store.list_keys(bucket, prefix)]

    async def leftovers(self, dataset_id: UUID, job_id: UUID) -> list[str]:
        """Keys of objects and of incomplete uploads of this ingest or job that its manifest does not name."""
        row = await self.look(job_id)
        ingest = row.kind == "ingest"
        bucket = self.settings.s3_datasets_bucket if ingest else self.settings.s3_job_results_bucket
        prefix = f"{dataset_id}/parts/" if ingest else f"results/{job_id}/"
        named = {file.key for file in row.manifest.files} if row.manifest else set()
        uploads = [upload.key async for upload in self.store.list_uploads(bucket, prefix)]
        return [key for key in await self.keys(bucket, prefix) if key not in named] + uploads

    async def until_clean(self, dataset_id: UUID, job_id: UUID) -> None:
        async def clean() -> bool:
            return not await self.leftovers(dataset_id, job_id)

        await until(clean, "no object and no upload is left that nothing refers to")


async def ingested(bench: Bench) -> UUID:
    """A dataset that counts as ready, without anybody having worked."""
    dataset_id = await bench.dataset(b"a\n1\n")
    (ingest,) = await claims.claim_jobs(bench.database, worker_id=uuid4(), limit=1, lease_s=60)
    outcome = Completed(Manifest("datasets", "p/", ()), Ingested((Column("a", "Int64"),), 1, 1, 0))
    await outcomes.record_outcomes(bench.database, [Ending(ingest.id, ingest.lease, outcome)])
    return dataset_id


async def ready(bench: Bench, *parts: pl.DataFrame) -> UUID:
    """A dataset whose rows are these parts, in the bucket, without anybody having worked."""
    frames = parts or (pl.DataFrame({"a": [1, 2, 3]}),)
    dataset_id = await bench.dataset(b"a\n1\n")
    (ingest,) = await claims.claim_jobs(bench.database, worker_id=uuid4(), limit=1, lease_s=60)
    bucket, prefix = bench.settings.s3_datasets_bucket, ingest_prefix(str(dataset_id), ingest.lease)
    files: list[StoredFile] = []
    for ordinal, frame in enumerate(frames):
        name, content = part_name(ordinal), io.BytesIO()
        extent = extent_of(frame.lazy())
        frame.write_parquet(content, row_group_size=row_group_rows(frame.width, extent))
        stored = await bench.store.put(bucket, prefix + name, content.getvalue(), PARQUET)
        file = StoredFile(stored.key, name, PARQUET, stored.size_bytes, stored.sha256, frame.height)
        files.append(msgspec.structs.replace(file, text_bytes=extent.text_bytes))
    columns = tuple(Column(name, str(kind)) for name, kind in frames[0].schema.items())
    rows = sum(frame.height for frame in frames)
    outcome = Completed(Manifest(bucket, prefix, tuple(files)), Ingested(columns, rows, rows, 0))
    await outcomes.record_outcomes(bench.database, [Ending(ingest.id, ingest.lease, outcome)])
    return dataset_id


async def until(condition: Callable[[], Awaitable[bool]], promise: str) -> None:
    """Look again and again until it is so; a test fails with the promise when it never is."""
    deadline = time.monotonic() + LIMIT_S
    while not await condition():
        assert time.monotonic() < deadline, promise
        await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def scratch_folders(above: Path) -> list[Path]:
    """The folders of the attempts that run, of all workers."""
    return list(above.glob("gristmill-worker-*/[0-9]*/"))


def executor_folders(above: Path) -> list[Path]:
    """The folders for temporary files of the executors that live, of all workers."""
    return list(above.glob("gristmill-worker-*/executor-*/"))


def worker_folders(above: Path) -> list[Path]:
    return list(above.glob("gristmill-worker-*"))


def numbers(rows: int) -> bytes:
    """A CSV file of `rows` rows and two columns of numbers."""
    return b"a,b\n" + b"".join(_lines(rows))


def _lines(rows: int) -> Iterator[bytes]:
    for n in range(rows):
        yield b"%d,%d.%d\n" % (n, (n * 7919) % 1000, n % 10)
