"""Room for the parts of uploads: so many at once in a process, however many uploads there are.

Without it each of fifty uploads holds two parts, 600 MB together, and all of them are on their way to the store at
once, each so slowly that it misses its deadline.
"""

import asyncio

# Twelve MiB each are enough for five uploads at full speed, one part filling and one on its way.
PARTS_AT_ONCE = 10
# Who needs longer to fill a part waits for its client, and takes nobody's place meanwhile.
SLOW_S = 1.0
# So much of a part takes no place: a small object never waits.
FREE_BYTES = 256 * 1024


class Room:
    """Places for parts, taken in the order in which they are asked for."""

    def __init__(self, parts: int = PARTS_AT_ONCE) -> None:
        self._free = asyncio.Semaphore(parts)

    async def enter(self) -> "Place":
        """Wait for a place. It is lost when the part is not full after `SLOW_S`; `Place.hold` gets it back."""
        await self._free.acquire()
        return Place(self._free)


class Place:
    """One part's place."""

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._free = free
        self._mine = True
        self._timer = asyncio.get_running_loop().call_later(SLOW_S, self._give_back)

    async def hold(self) -> None:
        """Have it until `leave`: the part is on its way now."""
        self._timer.cancel()
        if not self._mine:
            await self._free.acquire()
            self._mine = True

    def leave(self) -> None:
        self._timer.cancel()
        self._give_back()

    def _give_back(self) -> None:
        if self._mine:
            self._mine = False
            self._free.release()
