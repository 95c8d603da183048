"""Watches what runs: a job whose executor takes more memory than its budget, or that does not get on, is stopped.

One look for all of them, in the supervisor: a child that is out of its mind can't be trusted to watch itself.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from gristmill.settings import MIB, Settings
from gristmill.worker.attempt import Attempt, StopReason
from gristmill.worker.memory import memory_of, oom_kills

# Overshoot is what a process can fill meanwhile, some 100 MB at 2 GB/s. A look takes 0.1 ms for each job that runs.
LOOK_S = 0.05
# Of the budget. A child that holds more after a job has too little left for the next one.
KEPT_SHARE = 0.5


class Watch:
    """`also` is done at each look; `kills` counts what the kernel has killed for want of memory."""

    def __init__(
        self, settings: Settings, *, also: Callable[[], Awaitable[None]], kills: Callable[[], int] = oom_kills
    ) -> None:
        self.budget = settings.executor_memory_mb * MIB
        self._stall_s = settings.stall_s
        self._also = also
        self._running: dict[int, Attempt] = {}
        self._kills = kills
        self._killed = kills()

    def add(self, pid: int, attempt: Attempt) -> None:
        """The process computes for this attempt from now on."""
        self._running[pid] = attempt

    def remove(self, pid: int) -> None:
        attempt = self._running.pop(pid)
        # Most attempts are shorter than the time between two looks.
        attempt.peak = max(attempt.peak, memory_of(pid) or 0)

    def kept_too_much(self, pid: int, last: Attempt) -> int | None:
        """Bytes that an idle executor holds after its last attempt, if they are too many for another job."""
        most = self.budget * KEPT_SHARE
        if last.began and last.peak <= most:  # it was looked at when it had ended: no need to look again
            return None
        held = memory_of(pid)
        return held if held is not None and held > most else None

    def kernel_killed(self) -> bool:
        """Whether the kernel has killed for want of memory since we looked last."""
        before, self._killed = self._killed, self._kills()
        return self._killed > before

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()
            await self._also()

    def look(self) -> None:
        for pid, attempt in self._running.items():
            held = memory_of(pid)
            if held is not None:
                attempt.peak = max(attempt.peak, held)
            if held is not None and held > self.budget:
                attempt.ask_to_stop(StopReason.OVER_MEMORY)
            elif time.monotonic() - attempt.moved_at > self._stall_s:
                attempt.ask_to_stop(StopReason.STALLED)
