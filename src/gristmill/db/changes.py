"""Changing what users may change of a dataset: its name, its labels, and when it goes by itself."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from gristmill.db.engine import Database
from gristmill.db.rows import DatasetRow, dataset_row

_COLUMNS = ", ".join(DatasetRow.__struct_fields__)

# Not FOR UPDATE: jobs are posted on the dataset meanwhile.
LOCK = f"""
SELECT {_COLUMNS} FROM datasets WHERE id = $1 AND owner = $2 AND deleted_at IS NULL FOR NO KEY UPDATE
"""  # noqa: S608 (names of columns, ours)

# Later than before in any case: the time is part of the ETag.
CHANGE = f"""
UPDATE datasets SET name = $2, labels = $3::jsonb, expires_at = $4,
    updated_at = greatest(now(), updated_at + interval '1 microsecond')
WHERE id = $1 RETURNING {_COLUMNS}
"""  # noqa: S608 (names of columns, ours)

# What a job has to read, or is about to, is needed; the rest of the promise is kept by the removal itself.
EXPIRED = """
SELECT id, owner FROM datasets WHERE deleted_at IS NULL AND expires_at < now()
    AND NOT EXISTS (
        SELECT FROM jobs WHERE jobs.dataset_id = datasets.id AND jobs.status IN ('pending', 'running')
    )
ORDER BY expires_at LIMIT $1
"""


@dataclass(frozen=True)
class Kept:
    """What a user says of a dataset, as it is to be kept."""

    name: str
    labels: dict[str, str]
    expires_at: datetime | None


async def change_dataset(
    database: Database, dataset_id: UUID, *, owner: str, change: Callable[[DatasetRow], Kept]
) -> DatasetRow | None:
    """Change the dataset as `change` says of the row as it is, with nobody changing it meanwhile. What `change` raises
    leaves it as it is. None: there is no such dataset of this owner.
    """
    async with database.driver() as driver, driver.transaction():
        found = await driver.fetchrow(LOCK, dataset_id, owner)
        if found is None:
            return None
        row = dataset_row(dict(found))
        kept = change(row)
        if kept == Kept(row.name, row.labels, row.expires_at):
            return row
        labels = msgspec.json.encode(kept.labels).decode()
        changed = await driver.fetchrow(CHANGE, dataset_id, kept.name, labels, kept.expires_at)
    return None if changed is None else dataset_row(dict(changed))


async def expired_datasets(database: Database, *, limit: int = 20) -> list[tuple[UUID, str]]:
    """Datasets whose time is over and that no job needs, with their owners."""
    async with database.driver() as driver:
        return [(record["id"], record["owner"]) for record in await driver.fetch(EXPIRED, limit)]
