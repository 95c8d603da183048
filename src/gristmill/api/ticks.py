"""Looking at something for all who wait for it: once a tick in this process, and not at all while nobody waits."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from gristmill.errors import DatabaseUnavailable
from gristmill.telemetry import frames, get_logger

log = get_logger(__name__)

# A look at very much takes its time: the database has it at most a fifth of it.
REST = 4


class Waiter:
    """One who waits for what a look finds."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def woken(self, timeout_s: float) -> bool:
        """Wait to be woken; False when the time has passed."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True


W = TypeVar("W", bound=Waiter)


class Ticks(ABC, Generic[W]):
    """Looks while there are waiters. `stopping`: nobody is to wait any longer."""

    def __init__(self, name: str, *, interval_s: float) -> None:
        self.stopping = False
        self._name = name
        self._interval_s = interval_s
        self._waiters: set[W] = set()
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def look(self, waiters: Sequence[W]) -> None:
        """Look once, and tell these. Who comes meanwhile has the next look."""

    @contextmanager
    def waiting(self, waiter: W) -> Iterator[W]:
        """Let it wait until the end of the block."""
        self._waiters.add(waiter)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=self._name)
        try:
            yield waiter
        finally:
            self._waiters.discard(waiter)

    def stop(self) -> None:
        """Wake all who wait, for good."""
        self.stopping = True
        for waiter in self._waiters:
            waiter.wake()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while self._waiters:
            began = time.monotonic()
            try:
                await self.look(list(self._waiters))
            except DatabaseUnavailable:
                pass  # who waits finds that out, or hears when it is there again
            except Exception as error:  # noqa: BLE001 (with one defect, all who wait would wait in vain)
                # Without its message, which may quote a user's data.
                log.error("api.watch_failed", error=type(error).__name__, frames=frames(error))  # noqa: TRY400
            await asyncio.sleep(max(self._interval_s, REST * (time.monotonic() - began)))
