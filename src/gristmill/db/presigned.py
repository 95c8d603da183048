"""Statements on uploads by presigned URLs, bounded by owner but for those on an upload that has just begun."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from gristmill.db.datasets import FirstJob
from gristmill.db.engine import Database
from gristmill.db.idempotency import RequestKey, creating, finish_upload
from gristmill.domain.dataset import DataFormat
from gristmill.errors import StoreUnavailable

BEGIN = """
INSERT INTO uploads (owner, presigned, expires_at) VALUES ($1, $2::jsonb, now() + make_interval(secs => $3))
RETURNING id
"""
NOTE = "UPDATE uploads SET s3_upload_id = $2 WHERE id = $1 RETURNING id, presigned, s3_upload_id, expires_at"

_MINE = "id = $1 AND owner = $2 AND s3_upload_id IS NOT NULL"
GET = f"SELECT id, presigned, s3_upload_id, expires_at FROM uploads WHERE {_MINE}"  # noqa: S608 (ours)

# While it is being completed the sweep leaves it alone.
HOLD = f"""
UPDATE uploads SET touched_at = now(), expires_at = greatest(expires_at, now() + interval '15 minutes') WHERE {_MINE}
RETURNING id, presigned, s3_upload_id, expires_at
"""  # noqa: S608 (ours)

DROP = f"DELETE FROM uploads WHERE {_MINE} RETURNING id, presigned, s3_upload_id, expires_at"  # noqa: S608 (ours)


class Promised(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of an upload when it began: all that its dataset needs, but for the bytes. Sizes are bytes."""

    name: str
    data_format: DataFormat
    media_type: str
    options: str
    labels: dict[str, str]
    expires_at: datetime | None
    size_bytes: int
    part_bytes: int
    first_job: FirstJob | None

    @property
    def parts(self) -> int:
        return -(-self.size_bytes // self.part_bytes)

    def part_size(self, number: int) -> int:
        """The bytes of this part, counted from 1; the last one is shorter."""
        return min(self.part_bytes, self.size_bytes - (number - 1) * self.part_bytes)


class PresignedRow(msgspec.Struct, frozen=True):
    """An upload under way. At `expires_at` it is given up."""

    id: UUID
    promised: Promised
    s3_upload_id: str
    expires_at: datetime


async def begin_presigned(
    database: Database, promised: Promised, *, owner: str, life_s: float, key: RequestKey | None
) -> UUID:
    """Note that an upload begins, before the store knows of it. Raises KeyInUse."""
    values = (owner, msgspec.json.encode(promised).decode(), life_s)
    upload_id: UUID
    if key is None:
        async with database.driver() as driver:
            upload_id = await driver.fetchval(BEGIN, *values)
    else:
        async with creating(database, key) as creation:
            upload_id = await creation.driver.fetchval(BEGIN, *values)
            await creation.upload_begun(upload_id)
    return upload_id


async def note_presigned(
    database: Database, upload_id: UUID, s3_upload_id: str, *, key: RequestKey | None, location: str
) -> PresignedRow:
    """Note the store's own id of the upload; with that it is there for its owner. Raises KeyInUse, StoreUnavailable."""
    async with database.driver() as driver, driver.transaction():
        record = await driver.fetchrow(NOTE, upload_id, s3_upload_id)
        if key is not None:
            await finish_upload(driver, key, upload_id, location=location)
    if record is None:
        raise StoreUnavailable("The upload took too long to begin and was given up.")
    return _row(record)


async def get_presigned(database: Database, upload_id: UUID, *, owner: str, hold: bool = False) -> PresignedRow | None:
    """The upload, if it is under way and this owner's; with `hold` it does not expire in the next minutes."""
    async with database.driver() as driver:
        record = await driver.fetchrow(HOLD if hold else GET, upload_id, owner)
    return None if record is None else _row(record)


@asynccontextmanager
async def dropping_presigned(
    database: Database, upload_id: UUID, *, owner: str, deadline_s: float
) -> AsyncIterator[PresignedRow | None]:
    """Drop the row of an upload, and what the store has of it before that is committed. None: no such upload."""
    async with database.driver(deadline_s=deadline_s) as driver, driver.transaction():
        record = await driver.fetchrow(DROP, upload_id, owner)
        yield None if record is None else _row(record)


def _row(record: asyncpg.Record) -> PresignedRow:
    promised = msgspec.json.decode(record["presigned"], type=Promised)
    return PresignedRow(record["id"], promised, record["s3_upload_id"], record["expires_at"])
