"""Waiting for jobs to change: one statement a tick for all who wait in this process, and none while nobody waits.

The statements that claim and record jobs send no NOTIFY for it: a commit with one takes a lock that all such commits of
the server share, and few jobs have somebody who waits for them.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from uuid import UUID

from gristmill.api.auth import Admission
from gristmill.api.ticks import Ticks, Waiter
from gristmill.db.engine import Database
from gristmill.db.jobs import get_job, job_states
from gristmill.db.rows import JobRow
from gristmill.errors import NotFound


class Watch(Waiter):
    """One who waits for a job to change."""

    def __init__(self, job_id: UUID, owner: str) -> None:
        super().__init__(owner)
        self.job_id = job_id
        self._seen = False
        self._state: int | None = None

    def saw(self, state: int | None) -> None:
        """Take what a look found. The first one wakes: the job may have changed since the waiter read it."""
        if not self._seen or state != self._state:
            self.wake()
        self._seen, self._state = True, state

    async def change(self, timeout_s: float) -> bool:
        """Wait until the job may have changed, or the API stops; False when the time has passed."""
        return await self.woken(timeout_s)


class Watcher(Ticks[Watch]):
    """Looks at the jobs that somebody waits for."""

    def __init__(self, database: Database, *, interval_s: float) -> None:
        super().__init__("watcher", interval_s=interval_s)
        self._database = database

    def watching(self, job_id: UUID, *, owner: str) -> AbstractContextManager[Watch]:
        """Look at a job until the end of the block. What was read of it before is looked at again."""
        return self.waiting(Watch(job_id, owner))

    async def look(self, waiters: Sequence[Watch]) -> None:
        owners = {watch.owner for watch in waiters}
        states = await job_states(self._database, {watch.job_id for watch in waiters}, owners=owners)
        for watch in waiters:
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
