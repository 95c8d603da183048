"""Looking at something for all who want to know: once a tick in this process, and not at all while nobody listens."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from gristmill.api.watch import REST
from gristmill.errors import DatabaseUnavailable
from gristmill.telemetry import frames, get_logger

log = get_logger(__name__)

Seen = TypeVar("Seen")
Look = Callable[[frozenset[str]], Awaitable[Seen]]


class Listener(Generic[Seen]):
    """One who wants to know what each look finds."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._came = asyncio.Event()
        self._seen: Seen | None = None

    def take(self, seen: Seen) -> None:
        """Take what a look found; what was not fetched before is replaced."""
        self._seen = seen
        self._came.set()

    def wake(self) -> None:
        self._came.set()

    async def next(self, timeout_s: float) -> Seen | None:
        """What the next look finds; None when the time has passed, or when nobody looks any more."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._came.wait()
        except TimeoutError:
            return None
        self._came.clear()
        seen, self._seen = self._seen, None
        return seen


class Feed(Generic[Seen]):
    """Calls `look` with the owners of all listeners while there are any. `stopping`: nobody is to wait any longer."""

    def __init__(self, name: str, look: Look[Seen], *, interval_s: float) -> None:
        self.stopping = False
        self._name = name
        self._look = look
        self._interval_s = interval_s
        self._listeners: set[Listener[Seen]] = set()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def listening(self, owner: str) -> Iterator[Listener[Seen]]:
        """Listen until the end of the block."""
        listener = Listener[Seen](owner)
        self._listeners.add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=self._name)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def stop(self) -> None:
        """Wake all who listen, for good."""
        self.stopping = True
        for listener in self._listeners:
            listener.wake()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while self._listeners:
            began = time.monotonic()
            try:
                # Who comes during the look may be of an owner that it does not know: the next one is theirs.
                listeners = list(self._listeners)
                seen = await self._look(frozenset(listener.owner for listener in listeners))
                for listener in listeners:
                    listener.take(seen)
            except DatabaseUnavailable:
                pass  # who listens hears nothing until it is there again
            except Exception as error:  # noqa: BLE001 (with one defect, all who listen would listen in vain)
                # Without its message, which may quote a user's data.
                log.error("api.watch_failed", error=type(error).__name__, frames=frames(error))  # noqa: TRY400
            await asyncio.sleep(max(self._interval_s, REST * (time.monotonic() - began)))
