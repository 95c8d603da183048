"""Removes what lost attempts and stale uploads left in the buckets, some time after they ended."""

from uuid import UUID

from gristmill.db.datasets import dropping_stale_upload, stale_uploads
from gristmill.db.engine import Database
from gristmill.db.workers import LostAttempt, mark_swept, unswept_attempts
from gristmill.domain.manifest import original_key
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from gristmill.worker.cleaner import remove_attempt
from gristmill.worker.place import place_of
from gristmill.worker.tasks import Counts

# An upload says every now and then that it lives; one that did not for so many of its longest pauses is dead.
IDLE_PAUSES = 2


class Sweeper:
    """Any number of workers may do it at the same time: removing twice does no harm."""

    name = "sweeper"

    def __init__(self, settings: Settings, database: Database, store: ObjectStore) -> None:
        self.interval = settings.sweep_s
        self._settings = settings
        self._database = database
        self._store = store

    async def run_once(self) -> Counts:
        """Objects first, then the row that knows of them: a sweep that is cut short is done again.

        Raises:
            StoreUnavailable, DatabaseUnavailable: something is left; the next run finds it.
        """
        attempts = await unswept_attempts(self._database, grace_s=self._settings.sweep_grace_s)
        objects = 0
        for attempt in attempts:
            objects += await self._sweep_attempt(attempt)
        idle_s = self._settings.upload_idle_s * IDLE_PAUSES
        uploads = await stale_uploads(self._database, idle_s=idle_s)
        for upload_id in uploads:
            await self._sweep_upload(upload_id, idle_s)
        return {"attempts": len(attempts), "objects": objects, "uploads": len(uploads)}

    async def _sweep_attempt(self, attempt: LostAttempt) -> int:
        bucket, prefix = place_of(
            self._settings,
            kind=attempt.kind,
            job_id=attempt.job_id,
            dataset_id=attempt.dataset_id,
            lease=attempt.lease,
        )
        removed = await remove_attempt(self._store, bucket, prefix)
        await mark_swept(self._database, [attempt.lease])
        return removed

    async def _sweep_upload(self, upload_id: UUID, idle_s: float) -> None:
        bucket = self._settings.s3_datasets_bucket
        deadline_s = self._settings.s3_deadline_s + self._settings.postgres_deadline_s
        async with dropping_stale_upload(self._database, upload_id, idle_s=idle_s, deadline_s=deadline_s) as gone:
            if gone is not None:
                if gone.s3_upload_id is not None:
                    await self._store.abort_upload(bucket, original_key(str(upload_id)), gone.s3_upload_id)
                await self._store.abort_uploads(bucket, f"{upload_id}/")
                await self._store.delete(bucket, [original_key(str(upload_id))])
