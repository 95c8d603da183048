"""Removes what datasets that were removed left in the bucket, once no job of theirs runs any more."""

from gristmill.db.engine import Database
from gristmill.db.removal import mark_cleared, removed_datasets
from gristmill.domain.manifest import dataset_prefix
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
