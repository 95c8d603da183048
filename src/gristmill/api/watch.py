"""Waiting for jobs to change: one statement a tick for all who wait in this process, and none while nobody waits.

The statements that claim and record jobs send no NOTIFY for it: a commit with one takes a lock that all such commits of
the server share, and few jobs have somebody who waits for them.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from gristmill.api.auth import Admission
from gristmill.db.engine import Database
from gristmill.db.jobs import get_job, job_states
from gristmill.db.rows import JobRow
from gristmill.errors import DatabaseUnavailable, NotFound
from gristmill.telemetry import frames, get_logger

log = get_logger(__name__)

# A look at very many jobs takes its time: the database has them at most a fifth of it.
REST = 4


class Watch:
    """One who waits for a job to change."""

    def __init__(self, job_id: UUID, owner: str) -> None:
        self.job_id = job_id
        self.owner = owner
        self._changed = asyncio.Event()
        self._seen = False
        self._state: int | None = None

    def saw(self, state: int | None) -> None:
        """Take what a look found. The first one wakes: the job may have changed since the waiter read it."""
        if not self._seen or state != self._state:
            self.wake()
        self._seen, self._state = True, state

    def wake(self) -> None:
        self._changed.set()

    async def change(self, timeout_s: float) -> bool:
        """Wait until the job may have changed, or the API stops; False when the time has passed."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class Watcher:
    """Looks at the jobs that somebody waits for. `stopping`: nobody is to wait any longer."""

    def __init__(self, database: Database, *, interval_s: float) -> None:
        self.stopping = False
        self._database = database
        self._interval_s = interval_s
        self._watches: set[Watch] = set()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def watching(self, job_id: UUID, *, owner: str) -> Iterator[Watch]:
        """Look at a job until the end of the block. What was read of it before is looked at again."""
        watch = Watch(job_id, owner)
        self._watches.add(watch)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(), name="watcher")
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def stop(self) -> None:
        """Wake all who wait, for good."""
        self.stopping = True
        for watch in self._watches:
            watch.wake()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _look(self) -> None:
        while self._watches:
            began = time.monotonic()
            try:
                await self._look_once()
            except DatabaseUnavailable:
                pass  # who waits finds that out, or sees the job when it is there again
            except Exception as error:  # noqa: BLE001 (with one defect, all who wait would wait in vain)
                # Without its message, which may quote a user's data.
                log.error("api.watch_failed", error=type(error).__name__, frames=frames(error))  # noqa: TRY400
            await asyncio.sleep(max(self._interval_s, REST * (time.monotonic() - began)))

    async def _look_once(self) -> None:
        looked_at = list(self._watches)
        owners = {watch.owner for watch in looked_at}
        states = await job_states(self._database, {watch.job_id for watch in looked_at}, owners=owners)
        for watch in looked_at:
            watch.saw(states.get(watch.job_id))


async def await_job(
    watcher: Watcher,
    database: Database,
    row: JobRow,
    *,
    admitted: Admission,
    wait_s: float,
    until: Callable[[JobRow], bool],
) -> JobRow:
    """The job as soon as `until` holds of it or it is final, or as it is when the time has passed.

    Raises:
        NotFound: it was removed meanwhile.
        Unauthorized: so was the caller's key.
        DatabaseUnavailable
    """
    deadline = time.monotonic() + wait_s
    with watcher.watching(row.id, owner=row.owner) as watch:
        while not (until(row) or row.status.final or watcher.stopping):
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not await watch.change(left_s):
                break
            await admitted()
            found = await get_job(database, row.id, owner=row.owner)
            if found is None:
                raise NotFound("There is no such job.")
            row = found
    return row
