"""Pages of tables, read in a few threads of their own, so that the loop goes on and memory is bounded."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore
from typing import TypeVar

from gristmill.errors import Unavailable

T = TypeVar("T")

MAX_WAITING = 64
PAGE_BYTES = 4 * 1024 * 1024


class PageReader:
    """Runs so many readers at once, and lets some more wait. A reader that was given up still counts until it ends."""

    def __init__(self, at_once: int, *, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="page")
        self._places = Semaphore(at_once + MAX_WAITING)

    async def run(self, read: Callable[[], T]) -> T:
        """What `read` answers or raises, which may block.

        Raises:
            Unavailable: too many wait already, or it took too long with the waiting.
        """
        if not self._places.acquire(blocking=False):
            raise Unavailable("Too many pages are being read at the moment.")
        future = self._threads.submit(read)
        future.add_done_callback(lambda _: self._places.release())
        try:
            async with asyncio.timeout(self._deadline_s):
                return await asyncio.wrap_future(future)  # given up while it waits, it is not read at all
        except TimeoutError as error:
            raise Unavailable("The page could not be read in time.") from error

    def close(self) -> None:
        """Nothing new is read; what runs ends with the deadline of the store."""
        self._threads.shutdown(wait=False, cancel_futures=True)
