"""One server, one adapter at a time: enqueue, drain, pick-up, each timed from stamps that the handlers leave."""

import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil

from gristmill.embedded.places import Places, ServerUser, binaries
from gristmill.embedded.postgres import Postgres

ADAPTERS = Path(__file__).parent / "adapters"
SINGLES, WARMUP, PICKUPS, SPACING_S = 500, 10, 200, 0.02
GIVE_UP_S = 180.0


class Server:
    """A PostgreSQL for this run alone, durable: fsync and synchronous_commit are on."""

    def __init__(self, folder: Path) -> None:
        places = Places(folder)
        places.ensure()
        user = ServerUser.of_this_process()
        self._services = places.plan(user)
        self._home = places.home(self._services)
        programs, _ = binaries(self._home, user)
        self._process = Postgres(places, self._services, user, programs).start()
        self.process = psutil.Process(self._process.pid)

    def url(self, database: str) -> str:
        password, port = self._services.postgres_password, self._services.ports["postgres"]
        return f"postgresql://gristmill:{password}@127.0.0.1:{port}/{database}"

    def fresh(self) -> str:
        self.sql("DROP DATABASE IF EXISTS bench WITH (FORCE)", database="gristmill")
        self.sql("CREATE DATABASE bench", database="gristmill")
        return self.url("bench")

    def sql(self, statement: str, *, database: str = "bench") -> object:
        async def run() -> object:
            connection = await asyncpg.connect(self.url(database))
            try:
                return await connection.fetchval(statement, timeout=600)
            finally:
                await connection.close()

        return asyncio.run(run())

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)
        shutil.rmtree(self._home, ignore_errors=True)


@dataclass
class Adapter:
    """A queue, spoken to through its script in an environment of its own."""

    path: Path
    about: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        subprocess.run(["uv", "sync", "--quiet", "--script", str(self.path)], check=True)
        found = subprocess.run(
            ["uv", "python", "find", "--script", str(self.path)], check=True, capture_output=True, text=True
        )
        self._python = found.stdout.strip()
        self.about = self("describe")

    @property
    def name(self) -> str:
        return self.path.stem.rstrip("_")

    def command(self, name: str, **options: object) -> list[str]:
        given = [part for key, value in options.items() for part in (f"--{key}", str(value))]
        return [self._python, "-P", str(self.path), name, *given]

    def __call__(self, name: str, **options: object) -> dict[str, object]:
        ended = subprocess.run(
            self.command(name, **options), check=True, capture_output=True, text=True, env=environment()
        )
        return dict(json.loads(ended.stdout.splitlines()[-1]))


def environment() -> dict[str, str]:
    """-P keeps the script's folder off the path; the kit is there."""
    return {**os.environ, "PYTHONPATH": str(ADAPTERS)}


@dataclass(frozen=True)
class Drained:
    """What one drain told."""

    rate: float
    worker_cpu: float
    server_cpu: float
    wal_bytes: float
    repeats: int


class Bench:
    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        self._folder = folder

    def enqueue_one(self, adapter: Adapter, url: str) -> float:
        return SINGLES / number(adapter("enqueue-one", url=url, count=SINGLES, warmup=WARMUP), "seconds")

    def enqueue_many(self, adapter: Adapter, url: str, *, first: int, count: int) -> float:
        return count / number(adapter("enqueue-many", url=url, first=first, count=count), "seconds")

    def drain(
        self,
        adapter: Adapter,
        url: str,
        variant: str,
        *,
        jobs: int,
        workers: int,
        after: Callable[[Adapter, str, memoryview], None] | None = None,
    ) -> Drained:
        """From the first handler's start to the last completion's commit."""
        self._server.sql("VACUUM (ANALYZE)")
        slots, path = self._slots(jobs + PICKUPS + WARMUP)
        watch = subprocess.Popen(
            adapter.command("watch", url=url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert watch.stdin and watch.stdout
        watch.stdout.readline()
        wal = self._wal()
        with self._workers(adapter, url, variant, path, workers) as processes:
            cpu = self._cpu(processes)
            wait(lambda: all(slots[n] for n in range(jobs - 1, -1, -1)))
            watch.stdin.write("\n")
            watch.stdin.flush()
            end = json.loads(watch.stdout.readline())
            spent = [later - earlier for later, earlier in zip(self._cpu(processes), cpu, strict=True)]
            wal = self._wal() - wal
            assert end["left"] == 0, f"{adapter.name}: {end['left']} jobs are left"
            seconds = (end["at"] - min(slots[:jobs])) / 1e9
            told = Drained(jobs / seconds, spent[0] / jobs * 1000, spent[1] / jobs * 1000, wal / jobs * 1000, slots[-1])
            if after is not None:
                after(adapter, url, slots)
        watch.stdin.close()
        watch.wait(30)
        return told

    def pick_up(self, adapter: Adapter, url: str, slots: memoryview) -> list[float]:
        """Milliseconds from a commit, as the enqueuer saw it, to the start of the handler, with an idle worker."""
        time.sleep(2)
        first = len(slots) - 1 - PICKUPS - WARMUP
        said = adapter("enqueue-one", url=url, first=first, count=PICKUPS, warmup=WARMUP, spacing=SPACING_S)
        ids = range(first + WARMUP, first + WARMUP + PICKUPS)
        wait(lambda: all(slots[n] for n in ids))
        committed = said["committed"]
        assert isinstance(committed, list)
        return sorted((slots[n] - at) / 1e6 for n, at in zip(ids, committed, strict=True))

    def _slots(self, count: int) -> tuple[memoryview, Path]:
        sys.path.insert(0, str(ADAPTERS))
        from _kit import Stamps  # noqa: PLC0415 (the adapters' own, beside them)

        path = self._folder / "stamps"
        path.write_bytes(bytes(8 * (count + 1)))
        slots: memoryview = Stamps(path).slots
        return slots, path

    @contextmanager
    def _workers(
        self, adapter: Adapter, url: str, variant: str, slots: Path, count: int
    ) -> Iterator[list[psutil.Process]]:
        command = adapter.command("worker", url=url, variant=variant, slots=slots)
        started = [subprocess.Popen(command, start_new_session=True, env=environment()) for _ in range(count)]
        try:
            yield [psutil.Process(process.pid) for process in started]
        finally:
            for process in started:
                process.terminate()
            for process in started:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _cpu(self, workers: list[psutil.Process]) -> tuple[float, float]:
        return sum(map(cpu_seconds, workers)), cpu_seconds(self._server.process)

    def _wal(self) -> int:
        return int(str(self._server.sql("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")).partition(".")[0])


def cpu_seconds(root: psutil.Process) -> float:
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GIVE_UP_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the jobs were not run in time")
        time.sleep(0.005)


def number(answer: dict[str, object], name: str) -> float:
    value = answer[name]
    assert isinstance(value, int | float)
    return float(value)


def median(values: list[float]) -> float:
    return statistics.median(values) if values else float("nan")
