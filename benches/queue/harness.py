"""One adapter at a time on its server: enqueue, drain, pick-up, each timed from stamps that the handlers leave."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from servers import Server

from benches.measuring import cpu_seconds

ADAPTERS = Path(__file__).parent / "adapters"
sys.path.insert(0, str(ADAPTERS))  # the adapters' own modules
WARMUP, PICKUPS, SPACING_S = 10, 200, 0.02
GIVE_UP_S = 180.0


@dataclass(frozen=True)
class About:
    """What an adapter says of itself."""

    backend: str
    variants: list[str]
    jobs: dict[str, int]
    bulk: bool
    insert: bool
    history: bool


class Adapter:
    """A queue, spoken to through its script in an environment of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        subprocess.run(["uv", "sync", "--quiet", "--script", str(path)], check=True)
        found = subprocess.run(
            ["uv", "python", "find", "--script", str(path)], check=True, capture_output=True, text=True
        )
        self.python = found.stdout.strip()
        self.about = About(**self("describe"))

    @property
    def name(self) -> str:
        return self.path.stem.rstrip("_")

    def command(self, name: str, **options: object) -> list[str]:
        given = [part for key, value in options.items() for part in (f"--{key}", str(value))]
        return [self.python, "-P", str(self.path), name, *given]

    def __call__(self, name: str, **options: object) -> dict[str, Any]:
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
    log_bytes: float
    picked: list[float]


class Bench:
    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self._folder = folder

    def enqueue_one(
        self, adapter: Adapter, url: str, *, count: int, first: int = 0, call: str = "enqueue_one"
    ) -> float:
        """Jobs per second of one client that waits for each commit."""
        said = adapter("enqueue-one", url=url, first=first, count=count, warmup=WARMUP, call=call)
        return count / float(said["seconds"])

    def enqueue_many(self, adapter: Adapter, url: str, *, first: int, count: int, call: str = "enqueue_many") -> float:
        return count / float(adapter("enqueue-many", url=url, first=first, count=count, call=call)["seconds"])

    def drain(
        self, adapter: Adapter, url: str, variant: str, *, jobs: int, workers: int, pick_up: bool = False
    ) -> Drained:
        """From the first handler's start to the last completion's commit; then, with `pick_up`, an idle worker."""
        self.server.settle(url)
        with (
            watching(adapter, url) as last_commit,
            self.working(adapter, url, variant, jobs=jobs, workers=workers) as (slots, processes),
        ):
            nothing = bytes(8 * jobs)
            wait(lambda: bytes(slots[:jobs]) != nothing)
            before = self._counts(processes)
            wait(lambda: all(slots[n] for n in range(jobs - 1, -1, -1)))
            seconds = (last_commit() - min(slots[:jobs])) / 1e9
            spent = [later - earlier for later, earlier in zip(self._counts(processes), before, strict=True)]
            picked = self._pick_up(adapter, url, slots) if pick_up else []
        assert slots[-1] == 0, f"{adapter.name}: {slots[-1]} jobs were run twice"
        worker, server, log = (count / jobs for count in spent)
        return Drained(jobs / seconds, worker * 1000, server * 1000, log, picked)

    def _pick_up(self, adapter: Adapter, url: str, slots: memoryview) -> list[float]:
        """Milliseconds from a commit, as the enqueuer saw it, to the start of the handler, with an idle worker."""
        time.sleep(2)
        first = len(slots) - 1 - PICKUPS - WARMUP
        said = adapter("enqueue-one", url=url, first=first, count=PICKUPS, warmup=WARMUP, spacing=SPACING_S)
        ids = range(first + WARMUP, first + WARMUP + PICKUPS)
        wait(lambda: all(slots[n] for n in ids))
        return sorted((slots[n] - at) / 1e6 for n, at in zip(ids, said["committed"], strict=True))

    @contextmanager
    def working(
        self, adapter: Adapter, url: str, variant: str, *, jobs: int, workers: int
    ) -> Iterator[tuple[memoryview, list[psutil.Process]]]:
        """Worker processes, and a slot for each job: when its handler began. The last slot counts repeats."""
        slots, path = self._slots(jobs + PICKUPS + WARMUP)
        command = adapter.command("worker", url=url, variant=variant, slots=path)
        started = [
            subprocess.Popen(command, start_new_session=True, env=environment(), stdout=subprocess.DEVNULL)
            for _ in range(workers)
        ]
        try:
            yield slots, [psutil.Process(process.pid) for process in started]
        finally:
            for process in started:
                process.terminate()
            for process in started:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)  # a session of its own: what it started goes too
                    process.wait()

    def _slots(self, count: int) -> tuple[memoryview, Path]:
        from _kit import Stamps  # noqa: PLC0415 (the adapters' own, beside them)

        path = self._folder / "stamps"
        path.unlink(missing_ok=True)
        path.write_bytes(bytes(8 * (count + 1)))
        slots: memoryview = Stamps(path).slots
        return slots, path

    def _counts(self, workers: list[psutil.Process]) -> tuple[float, float, float]:
        """So far: CPU seconds of the workers and of the server, bytes of its log."""
        return sum(map(cpu_seconds, workers)), cpu_seconds(self.server.process), self.server.wal_bytes()


@contextmanager
def watching(adapter: Adapter, url: str) -> Iterator[Callable[[], int]]:
    """A process that is ready to say, when asked, at which moment the last completion was committed."""
    command = adapter.command("watch", url=url)
    watch = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())
    assert watch.stdin is not None
    assert watch.stdout is not None
    watch.stdout.readline()

    def last_commit() -> int:
        watch.stdin.write("\n")
        watch.stdin.flush()
        end = json.loads(watch.stdout.readline())
        assert end["left"] == 0, f"{adapter.name}: {end['left']} jobs are left"
        return int(end["at"])

    try:
        yield last_commit
    finally:
        watch.stdin.close()
        watch.wait(30)


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GIVE_UP_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the jobs were not run in time")
        time.sleep(0.005)
