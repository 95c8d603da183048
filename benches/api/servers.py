"""The servers of one run: PostgreSQL and S3 in a temporary folder, our API as its users start it, and the bare one."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import psutil

from benches.measuring import cpu_seconds
from gristmill import embedded
from gristmill.bootstrap import prepare
from gristmill.client import Client
from gristmill.db.engine import Database
from gristmill.db.enqueue import enqueue_jobs
from gristmill.db.rows import NewJob
from gristmill.domain.manifest import dataset_prefix
from gristmill.objects import ObjectStore
from gristmill.settings import Settings, load_settings

OWNER = "local"
START_S, STOP_S, READY_S = 60.0, 60.0, 120.0
CSV = b"city,temperature\nOslo,4.5\nLima,19\n"
BATCH = 1000
# Limits are counted, and never reached: what is measured is how fast the API answers, not how it refuses.
GIVEN = {
    "RATE_LIMIT_PER_S": "1e9",
    "RATE_LIMIT_BURST": "1000000000",
    "MAX_PENDING_JOBS": "100000000",
    "LOG_LEVEL": "warning",
}


@dataclass(frozen=True)
class Running:
    """A server: where it is, and its process."""

    url: str
    port: int
    process: psutil.Process

    def cpu_s(self) -> float:
        return cpu_seconds(self.process)

    def peak_mb(self) -> float:
        """The most memory it had since `forget_peak`, by the kernel's own mark (VmHWM)."""
        return self._status_mb("VmHWM")

    def memory_mb(self) -> float:
        return self._status_mb("VmRSS")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def _status_mb(self, name: str) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return int(status.split(f"{name}:")[1].split()[0]) / 1024


class Services:
    """PostgreSQL and S3, with a dataset that is ready."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.dataset_id = UUID(int=0)

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path) -> Iterator["Services"]:
        with embedded.hold(folder) as endpoints:
            settings = load_settings({**endpoints.environment(), **GIVEN}, env_file=None)
            asyncio.run(prepare(settings))
            yield cls(settings)

    @contextlib.contextmanager
    def api(self, **given: str) -> Iterator[Running]:
        """Our API, as `make api` starts it."""
        port = free_port()
        command = [sys.executable, "-m", "gristmill", "api"]
        with self._started(command, port, "/health/live", {**given, "API_PORT": str(port)}) as running:
            yield running

    @contextlib.contextmanager
    def bare(self) -> Iterator[Running]:
        port = free_port()
        command = [sys.executable, "-m", "benches.api.bare", str(port)]
        with self._started(command, port, "/", {}) as running:
            yield running

    @contextlib.contextmanager
    def worker(self) -> Iterator[None]:
        with self._process([sys.executable, "-m", "gristmill", "worker"], {}):
            yield

    def make_dataset(self, api: Running) -> None:
        """Upload a small dataset and have a worker read it."""
        with self.worker(), Client(api.url) as client:
            dataset = client.upload(CSV, name="towns").wait(timeout_s=READY_S)
        self.dataset_id = UUID(dataset.id)

    def make_jobs(self, count: int) -> list[UUID]:
        """Jobs that wait, and will for ever: there is no worker."""

        async def made() -> list[UUID]:
            job = NewJob(
                owner=OWNER,
                dataset_id=self.dataset_id,
                kind="metrics",
                kind_version=2,
                params=b"{}",
                max_attempts=5,
                timeout_s=3600,
            )
            async with Database.open(self.settings) as database:
                rows = [row for _ in range(-(-count // BATCH)) for row in await enqueue_jobs(database, [job] * BATCH)]
                async with database.driver(deadline_s=600) as driver:
                    await driver.execute("VACUUM (ANALYZE) jobs, job_events")
            return [row.id for row in rows[:count] if row is not None]

        return asyncio.run(made())

    def drop_dataset(self, dataset_id: str) -> None:
        """Give its space back. Its row stays."""

        async def dropped() -> None:
            async with ObjectStore.open(self.settings) as store:
                await store.delete_prefix(self.settings.s3_datasets_bucket, dataset_prefix(dataset_id))

        asyncio.run(dropped())

    def sql(self, statement: str, *given: object) -> object:
        async def run() -> object:
            async with Database.open(self.settings) as database, database.driver(deadline_s=600) as driver:
                return await driver.fetchval(statement, *given, timeout=600)

        return asyncio.run(run())

    @contextlib.contextmanager
    def _started(self, command: list[str], port: int, path: str, given: Mapping[str, str]) -> Iterator[Running]:
        with self._process(command, given) as process:
            running = Running(f"http://127.0.0.1:{port}", port, psutil.Process(process.pid))
            deadline = time.monotonic() + START_S
            while True:
                assert process.poll() is None, f"{command[2:]} ended"
                assert time.monotonic() < deadline, f"{command[2:]} did not start in time"
                with contextlib.suppress(httpx.TransportError):
                    httpx.get(running.url + path, timeout=5)
                    break
                time.sleep(0.05)
            yield running

    @contextlib.contextmanager
    def _process(self, command: list[str], given: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
        process = subprocess.Popen(command, env={**os.environ, **self.settings.environment(), **given})
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
