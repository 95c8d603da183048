"""Removes datasets whose time is over, and what removed datasets left in the bucket, once no job of theirs runs."""

from contextlib import suppress

from gristmill.db.changes import expired_datasets
from gristmill.db.engine import Database
from gristmill.db.removal import mark_cleared, remove_dataset, removed_datasets
from gristmill.domain.manifest import dataset_prefix
from gristmill.errors import Conflict
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from gristmill.worker.cleaner import remove_attempt
from gristmill.worker.tasks import Counts


class Clearer:
    """Any number of workers may do it at the same time: removing twice does no harm."""

    name = "clearer"

    def __init__(self, settings: Settings, database: Database, store: ObjectStore) -> None:
        self.interval = settings.sweep_s
        self._settings = settings
        self._database = database
        self._store = store

    async def run_once(self) -> Counts:
        """Expired datasets become removed ones; the objects of those go after a while like all others.

        Raises as `clear` does.
        """
        expired = 0
        for dataset_id, owner in await expired_datasets(self._database):
            with suppress(Conflict):  # a job was posted on it at this moment: it is needed
                expired += await remove_dataset(self._database, dataset_id, owner=owner, force=False)
        return {"expired": expired, **await self.clear()}

    async def clear(self) -> Counts:
        """Objects first, then the note of them.

        Raises:
            StoreUnavailable, DatabaseUnavailable: something is left; the next run finds it.
        """
        gone = await removed_datasets(self._database, grace_s=self._settings.sweep_grace_s)
        objects = 0
        for dataset_id in gone:
            prefix = dataset_prefix(str(dataset_id))
            objects += await remove_attempt(self._store, self._settings.s3_datasets_bucket, prefix)
            await mark_cleared(self._database, dataset_id)
        return {"datasets": len(gone), "objects": objects}
