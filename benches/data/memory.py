"""The peak memory of a worker's executors, by the kernel's own high-water mark (VmHWM). Linux."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

LOOK_S = 0.02
RESET_PEAK = "5"
CHILD = "gristmill.worker.child"


class Watch:
    """The highest mark of any executor while the context is open, in MB; and the CPU seconds they used.

    The mark is set back first: an executor is kept over jobs. It is looked at all the time and not only at the end, as
    an executor may be ended, and another take its place.
    """

    def __init__(self, worker: psutil.Process) -> None:
        self._worker = worker
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._cpu: dict[int, tuple[float, float]] = {}
        self.peak_mb = 0.0

    @property
    def cpu_s(self) -> float:
        return sum(last - first for first, last in self._cpu.values())

    def __enter__(self) -> Self:
        for child in executors(self._worker):
            Path(f"/proc/{child.pid}/clear_refs").write_text(RESET_PEAK)
            self._cpu[child.pid] = (cpu_s(child), 0.0)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            self._once()
        self._once()

    def _once(self) -> None:
        for child in executors(self._worker):
            try:
                self.peak_mb = max(self.peak_mb, peak_mb(child.pid))
                first, _ = self._cpu.get(child.pid, (0.0, 0.0))
                self._cpu[child.pid] = (first, cpu_s(child))
            except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                continue  # it has just ended


def executors(worker: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in worker.children():
        try:
            if CHILD in child.cmdline():
                found.append(child)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def peak_mb(pid: int) -> float:
    _, found, rest = Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")
    return int(rest.split()[0]) / 1024 if found else 0.0  # a process that is ending has no memory any more


def cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)
