"""Gristmill itself: the product's services, schema and worker. A job is timed by the database, claim to commit."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import msgspec
import psutil
from harness import Broken
from memory import Watch

from gristmill import embedded
from gristmill.bootstrap import prepare
from gristmill.db import datasets
from gristmill.db.engine import Database
from gristmill.db.enqueue import NewJob, enqueue_jobs
from gristmill.domain.dataset import DataFormat
from gristmill.domain.manifest import dataset_prefix, original_key
from gristmill.objects import ObjectStore
from gristmill.processors import discover
from gristmill.settings import MIB, Settings, load_settings

OWNER, TIMEOUT_S, LOOK_S = "bench", 3600, 0.02
READY = """
SELECT id, manifest FROM datasets WHERE owner = $1 AND name = $2 AND status = 'ready' ORDER BY created_at LIMIT 1
"""
INGEST_OF = "SELECT id FROM jobs WHERE dataset_id = $1 AND kind = 'ingest'"
STATE = """
SELECT status, error, manifest, extract(epoch FROM finished_at - started_at)::float8 AS seconds FROM jobs WHERE id = $1
"""


@dataclass(frozen=True)
class Dataset:
    """One that is ready: the key of its original and those of its parts."""

    id: UUID
    original: str
    parts: list[str]


@dataclass(frozen=True)
class Measured:
    """One job: from its claim to the commit of its result. `cpu_s` is the executor's."""

    seconds: float
    cpu_s: float
    peak_mb: float
    report: dict[str, Any]


class Product:
    """Holds the services and one worker, with as many executors as asked for, all warm."""

    def __init__(self, settings: Settings, worker: psutil.Process, endpoints: embedded.Endpoints) -> None:
        self._settings = settings
        self._worker = worker
        self._versions = {kind: processor.version for kind, processor in discover().items()}
        self.environment = endpoints.environment()

    @classmethod
    @contextmanager
    def open(cls, folder: Path, *, executors: int) -> Iterator[Self]:
        with embedded.hold(folder / "services") as endpoints:
            given = {"CONCURRENCY": str(executors), "LOG_LEVEL": "warning"}
            settings = load_settings({**endpoints.environment(), **given}, env_file=None)
            asyncio.run(prepare(settings))
            command = [sys.executable, "-m", "gristmill", "worker"]
            worker = subprocess.Popen(command, env={**os.environ, **settings.environment()})
            try:
                yield cls(settings, psutil.Process(worker.pid), endpoints)
            finally:
                worker.terminate()
                worker.wait(60)

    def ready(self, name: str) -> Dataset | None:
        """The dataset of that name, if it was made before."""
        return asyncio.run(self._ready(name))

    def ingest(self, name: str, path: Path) -> tuple[Dataset, Measured]:
        """Upload a file and have it ingested. What is measured is the ingest, not the upload."""
        with Watch(self._worker) as watch:
            dataset_id = asyncio.run(self._upload(name, path))
            state = asyncio.run(self._ended(INGEST_OF, dataset_id))
        dataset = self.ready(name)
        assert dataset is not None
        return dataset, Measured(state["seconds"], watch.cpu_s, watch.peak_mb, {})

    def run(self, kind: str, params: dict[str, Any], dataset: Dataset) -> Measured:
        """One job. Raises Broken if it fails."""
        with Watch(self._worker) as watch:
            job_id = asyncio.run(self._enqueue(kind, params, dataset))
            state = asyncio.run(self._ended("SELECT $1::uuid AS id", job_id))
        return Measured(state["seconds"], watch.cpu_s, watch.peak_mb, state["manifest"]["report"])

    def remove(self, dataset: Dataset) -> None:
        """Give its space back. Its row stays."""
        asyncio.run(self._remove(dataset))

    async def _ready(self, name: str) -> Dataset | None:
        async with Database.open(self._settings) as database, database.driver() as driver:
            row = await driver.fetchrow(READY, OWNER, name)
        if row is None:
            return None
        files = _json(row["manifest"])["files"]
        parts = [file["key"] for file in files if file["name"].startswith("part-")]
        return Dataset(row["id"], original_key(str(row["id"])), parts)

    async def _upload(self, name: str, path: Path) -> UUID:
        data_format = DataFormat(path.suffix[1:])
        async with Database.open(self._settings) as database, ObjectStore.open(self._settings) as store:
            dataset_id = await datasets.begin_upload(database, owner=OWNER)
            key = original_key(str(dataset_id))
            bucket = self._settings.s3_datasets_bucket
            async with store.writer(bucket, key, media_type="application/octet-stream") as writer:
                with path.open("rb") as file:
                    while chunk := file.read(8 * MIB):
                        await writer.write(chunk)
                        await datasets.touch_upload(database, dataset_id)  # or a sweep takes it for dead
                stored = await writer.finish()
            await datasets.commit_upload(
                database,
                dataset_id,
                owner=OWNER,
                name=name,
                data_format=data_format,
                original_key=key,
                media_type="application/octet-stream",
                size_bytes=stored.size_bytes,
                sha256=stored.sha256,
                options=b"{}",
                max_attempts=1,
                timeout_s=TIMEOUT_S,
            )
        return dataset_id

    async def _enqueue(self, kind: str, params: dict[str, Any], dataset: Dataset) -> UUID:
        job = NewJob(
            owner=OWNER,
            dataset_id=dataset.id,
            kind=kind,
            kind_version=self._versions[kind],
            params=msgspec.json.encode(params),
            max_attempts=1,
            timeout_s=TIMEOUT_S,
        )
        async with Database.open(self._settings) as database:
            (row,) = await enqueue_jobs(database, [job])
        assert row is not None
        return row.id

    async def _ended(self, which: str, given: UUID) -> dict[str, Any]:
        async with Database.open(self._settings) as database, database.driver(deadline_s=TIMEOUT_S) as driver:
            job_id = await driver.fetchval(which, given)
            while True:
                row = await driver.fetchrow(STATE, job_id)
                assert row is not None
                if row["status"] == "completed":
                    return {"seconds": row["seconds"], "manifest": _json(row["manifest"])}
                if row["status"] in ("failed", "canceled"):
                    raise Broken(f"{row['status']}: {_json(row['error'])}")
                await asyncio.sleep(LOOK_S)

    async def _remove(self, dataset: Dataset) -> None:
        async with ObjectStore.open(self._settings) as store:
            await store.delete_prefix(self._settings.s3_datasets_bucket, dataset_prefix(str(dataset.id)))


def _json(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, str | bytes) else value
