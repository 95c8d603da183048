"""Room for the parts of uploads: so many at once in a process, however many uploads there are.

Without it each of fifty uploads holds three parts, 900 MB together, and most of them are on their way to the store at
once, each so slowly that it misses its deadline. With it one upload has two parts on their way while a third one fills,
and fifty take turns.
"""

import asyncio

# Of 6 MiB each: enough for three uploads at full speed, and to keep the store busy with more.
PARTS_AT_ONCE = 10
# Whose client sends nothing for so long, or needs so long for a part, takes nobody's place meanwhile.
IDLE_S = 1.0
SLOW_S = 15.0
# So much of a part takes no place: a small object never waits.
FREE_BYTES = 256 * 1024
# Uploads that come at one moment begin so many at a time, or their statements are in front of everybody else's.
BEGIN_AT_ONCE = 4


class Room:
    """Places for parts, taken in the order in which they are asked for; and a door, at which uploads begin."""

    def __init__(self, parts: int = PARTS_AT_ONCE) -> None:
        self._free = asyncio.Semaphore(parts)
        self.door = asyncio.Semaphore(BEGIN_AT_ONCE)

    async def enter(self) -> "Place":
        """Wait for a place. It is lost when the part is not full in time; `Place.hold` gets it back."""
        await self._free.acquire()
        return Place(self._free)


class Place:
    """One part's place."""

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._free = free
        self._mine = True
        self._loop = asyncio.get_running_loop()
        self._began = self._used = self._loop.time()
        self._timer = self._loop.call_later(IDLE_S, self._look)

    def used(self) -> None:
        """Bytes came for the part."""
        self._used = self._loop.time()

    async def hold(self) -> None:
        """Have it until `leave`: the part is full."""
        self._timer.cancel()
        if not self._mine:
            await self._free.acquire()
            self._mine = True

    def _look(self) -> None:
        now = self._loop.time()
        if now - self._used >= IDLE_S or now - self._began >= SLOW_S:
            self._give_back()
        else:
            self._timer = self._loop.call_later(IDLE_S, self._look)

    def leave(self) -> None:
        self._timer.cancel()
        self._give_back()

    def _give_back(self) -> None:
        if self._mine:
            self._mine = False
            self._free.release()
