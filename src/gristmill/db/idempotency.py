"""Statements on Idempotency-Keys: what a key creates and the answer to it commit together, so nothing is created twice.

While a request creates something under a key it holds an advisory lock on it, until its transaction ends; whoever comes
meanwhile is told so. A crash rolls back and lets go, so it blocks nobody. An upload is too long for a transaction: its
key is noted together with the upload's row, and is free again when that row goes without having become a dataset.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db.engine import Database, Driver
from gristmill.db.questions import Question
from gristmill.errors import DatabaseUnavailable, Fault, KeyInUse, KeyReused

LIFE_H = 24
POINTER = "/header/Idempotency-Key"

LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:owner || E'\\n' || :key, 5504217))")

# A row without an answer is of an upload: under way while that upload's row is there and touched now and then.
FIND = f"""
SELECT kept.payload_sha256, kept.status, kept.location, kept.body, kept.upload_id,
    kept.status IS NULL AND uploads.touched_at > now() - make_interval(secs => $3) AS under_way
FROM idempotency_keys AS kept LEFT JOIN uploads ON uploads.id = kept.upload_id
WHERE kept.owner = $1 AND kept.key = $2 AND kept.created_at > now() - interval '{LIFE_H} hours'
"""  # noqa: S608 (a number of ours)

# Over a row that is too old, and over one of an upload that is no more.
TAKE = f"""
INSERT INTO idempotency_keys AS kept (owner, key, upload_id, payload_sha256, status, location, body)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (owner, key) DO UPDATE SET upload_id = excluded.upload_id, payload_sha256 = excluded.payload_sha256,
    status = excluded.status, location = excluded.location, body = excluded.body, created_at = now()
WHERE kept.created_at <= now() - interval '{LIFE_H} hours' OR (kept.status IS NULL AND NOT EXISTS (
    SELECT FROM uploads WHERE uploads.id = kept.upload_id AND touched_at > now() - make_interval(secs => $8)
))
RETURNING true
"""  # noqa: S608 (a number of ours)

FINISH_UPLOAD = """
UPDATE idempotency_keys SET payload_sha256 = $4, status = 201, location = $5
WHERE owner = $1 AND key = $2 AND upload_id = $3 AND status IS NULL
RETURNING true
"""

SHOWN = "UPDATE idempotency_keys SET body = $4 WHERE owner = $1 AND key = $2 AND upload_id = $3 AND status IS NOT NULL"

FORGET = f"DELETE FROM idempotency_keys WHERE created_at <= now() - interval '{LIFE_H} hours'"  # noqa: S608


@dataclass(frozen=True, kw_only=True)
class RequestKey:
    """A key as it came, and whose. `payload_sha256` says what came with it; of an upload that is known at its end.

    `idle_s`: an upload that was not touched for so long is dead.
    """

    owner: str
    key: str
    payload_sha256: str | None
    idle_s: float


@dataclass(frozen=True)
class FirstAnswer:
    """What was answered to the first request with a key. `body` is JSON; None: it was not told before a crash."""

    payload_sha256: str
    status: int
    location: str | None
    body: str | None
    upload_id: UUID | None


async def find_answer(database: Database, key: RequestKey) -> FirstAnswer | None:
    """The answer to the first request with this key; None: this is the first.

    Raises:
        KeyInUse: the first one is an upload that is under way.
        KeyReused: the first one had another payload.
    """
    async with database.driver() as driver:
        record = await driver.fetchrow(FIND, key.owner, key.key, key.idle_s)
    if record is None or (record["status"] is None and not record["under_way"]):
        return None
    if record["under_way"]:
        raise in_use()
    found = FirstAnswer(
        record["payload_sha256"], record["status"], record["location"], record["body"], record["upload_id"]
    )
    if key.payload_sha256 is not None:
        check_payload(found, key.payload_sha256)
    return found


def check_payload(found: FirstAnswer, payload_sha256: str) -> None:
    """Raises KeyReused when another payload came first."""
    if found.payload_sha256 != payload_sha256:
        raise KeyReused(
            f"Another payload came with this key in the last {LIFE_H} hours. Make a new key for another request.",
            errors=(Fault(POINTER, "It is the key of another request."),),
        )


def in_use() -> KeyInUse:
    return KeyInUse(
        "Wait for the answer to the first request, or ask again later.",
        errors=(Fault(POINTER, "A request with this key is under way."),),
    )


@dataclass(frozen=True)
class Creation:
    """A transaction under a key. `driver` is the connection under `session`, in the same transaction."""

    session: AsyncConnection
    driver: Driver
    key: RequestKey

    async def ask(self, question: Question, *arguments: object) -> list[asyncpg.Record]:
        """As `Database.ask`, in this transaction."""
        return await self.driver.fetch(question.statement, *arguments)

    async def answered(self, *, status: int, location: str | None, body: bytes) -> None:
        """Note what is answered, to be committed with what was created. Raises KeyInUse: somebody was faster."""
        answer = (self.key.payload_sha256, status, location, body.decode())
        await self._take(None, *answer)

    async def upload_begun(self, upload_id: UUID) -> None:
        """Note that the key is this upload's. Raises KeyInUse: it is another request's."""
        await self._take(upload_id, None, None, None, None)

    async def made(self, dataset_id: UUID, *, status: int, location: str) -> None:
        """Note that a dataset was made; what is shown of it is noted later (`note_body`). Raises KeyInUse."""
        await self._take(dataset_id, self.key.payload_sha256, status, location, None)

    async def _take(self, *values: object) -> None:
        if not await self.driver.fetchval(TAKE, self.key.owner, self.key.key, *values, self.key.idle_s):
            raise in_use()


@asynccontextmanager
async def creating(database: Database, key: RequestKey) -> AsyncIterator[Creation]:
    """A transaction that creates something under a key, and is to end with its answer.

    Raises:
        KeyInUse: another request with this key is under way, or has just ended.
    """
    async with database.session() as session:
        if not await session.scalar(LOCK, {"owner": key.owner, "key": key.key}):
            raise in_use()
        driver = (await session.get_raw_connection()).driver_connection
        if driver is None:
            raise DatabaseUnavailable("The connection to PostgreSQL was lost")
        yield Creation(session, driver, key)


async def finish_upload(driver: Driver, key: RequestKey, upload_id: UUID, *, location: str) -> None:
    """Note that the upload has become a dataset, in the transaction that makes it one. Raises KeyInUse: it lost the key
    to a later request, which took it for dead.
    """
    if not await driver.fetchval(FINISH_UPLOAD, key.owner, key.key, upload_id, key.payload_sha256, location):
        raise in_use()


async def note_body(database: Database, key: RequestKey, upload_id: UUID, body: bytes) -> None:
    """Note what is shown of an upload's dataset; that it was made is noted already."""
    async with database.driver() as driver:
        await driver.execute(SHOWN, key.owner, key.key, upload_id, body.decode())


async def forget_keys(database: Database) -> int:
    """Forget keys that are too old to be replayed."""
    async with database.driver() as driver:
        return int((await driver.execute(FORGET)).rpartition(" ")[2])
