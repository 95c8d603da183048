"""The ready datasets that this process has seen lately, so that a job on one is planned without asking for it first."""

from collections import OrderedDict
from collections.abc import Iterable
from uuid import UUID

from gristmill.db.rows import DatasetRow
from gristmill.domain.dataset import DatasetStatus

# Together they bound the memory to about 20 MB; wider datasets are asked for each time.
MOST_DATASETS = 256
MOST_COLUMNS = 512


class ReadyDatasets:
    """By owner and id. What a job is planned by (columns, digest, format, options) never changes once a dataset is
    ready; it may only be removed, so whoever adds a job has the database look whether it is there.

    Name, labels and expiry are as they once were: not to be told.
    """

    def __init__(self) -> None:
        self._rows: OrderedDict[tuple[str, UUID], DatasetRow] = OrderedDict()

    def get(self, dataset_id: UUID, *, owner: str) -> DatasetRow | None:
        """As it was seen, of this owner alone."""
        row = self._rows.get((owner, dataset_id))
        if row is not None:
            self._rows.move_to_end((owner, dataset_id))
        return row

    def see(self, rows: Iterable[DatasetRow]) -> None:
        """Remember those that are ready, and forget what was seen longest ago."""
        for row in rows:
            if row.status is DatasetStatus.READY and len(row.columns or ()) <= MOST_COLUMNS:
                self._rows[row.owner, row.id] = row
                self._rows.move_to_end((row.owner, row.id))
        while len(self._rows) > MOST_DATASETS:
            self._rows.popitem(last=False)

    def forget(self, dataset_id: UUID, *, owner: str) -> None:
        self._rows.pop((owner, dataset_id), None)
