"""Removes what an attempt wrote that did not become the result, right after it ended.

Best effort: what it can't remove, and what the store makes appear after it, is found by the sweeper.
"""

import asyncio

from gristmill.domain.job import Claim
from gristmill.errors import GristmillError
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from gristmill.telemetry import get_logger
from gristmill.worker.place import place_of_job

log = get_logger(__name__)


class Cleaner:
    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self._settings = settings
        self._store = store
        self._queue: asyncio.Queue[Claim] = asyncio.Queue()

    def remove(self, job: Claim) -> None:
        """Have the objects of this lost attempt removed. Its executor must not be writing any more."""
        self._queue.put_nowait(job)

    async def until_done(self) -> None:
        await self._queue.join()

    async def run(self) -> None:
        while True:
            job = await self._queue.get()
            bucket, prefix = place_of_job(self._settings, job)
            try:
                await remove_attempt(self._store, bucket, prefix)
            except GristmillError as error:
                log.warning("job.left_objects", job_id=str(job.id), lease=job.lease, error=error.code)
            finally:
                self._queue.task_done()


async def remove_attempt(store: ObjectStore, bucket: str, prefix: str) -> int:
    """Remove an attempt's incomplete uploads and objects; answers how many."""
    # Uploads first: one that is completed between the two would be an object that nobody lists again.
    uploads = await store.abort_uploads(bucket, prefix)
    return uploads + await store.delete_prefix(bucket, prefix)
