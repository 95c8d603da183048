"""What each look finds, told to all who listen."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

from gristmill.api.ticks import Ticks, Waiter

Seen = TypeVar("Seen")
Look = Callable[[frozenset[str]], Awaitable[Seen]]


class Listener(Waiter, Generic[Seen]):
    """One who wants to know what each look finds."""

    def __init__(self, owner: str) -> None:
        super().__init__(owner)
        self._seen: Seen | None = None

    def take(self, seen: Seen) -> None:
        """Take what a look found; what was not fetched before is replaced."""
        self._seen = seen
        self.wake()

    async def next(self, timeout_s: float) -> Seen | None:
        """What the next look finds; None when the time has passed, or when nobody looks any more."""
        if not await self.woken(timeout_s):
            return None
        seen, self._seen = self._seen, None
        return seen


class Feed(Ticks[Listener[Seen]], Generic[Seen]):
    """Calls a look with the owners of all listeners."""

    def __init__(self, name: str, look: Look[Seen], *, interval_s: float) -> None:
        super().__init__(name, interval_s=interval_s)
        self._look = look

    def listening(self, owner: str) -> AbstractContextManager[Listener[Seen]]:
        """Listen until the end of the block."""
        return self.waiting(Listener[Seen](owner))

    async def look(self, waiters: Sequence[Listener[Seen]]) -> None:
        seen = await self._look(frozenset(listener.owner for listener in waiters))
        for listener in waiters:
            listener.take(seen)
