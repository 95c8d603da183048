"""Statements on workers, and on what lost attempts left behind."""

from dataclasses import dataclass
from uuid import UUID

from gristmill.db.engine import Database

REGISTER = """
INSERT INTO workers (id, host, pid, slots, version) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET heartbeat_at = now()
"""
DEREGISTER = "DELETE FROM workers WHERE id = $1"
COUNT = "SELECT count(*) FROM workers WHERE heartbeat_at > now() - make_interval(secs => $1)"
FORGET = "DELETE FROM workers WHERE heartbeat_at < now() - make_interval(secs => $1)"

UNSWEPT = """
SELECT lease, job_id, kind, dataset_id FROM lost_attempts
WHERE ended_at < now() - make_interval(secs => $1) ORDER BY ended_at LIMIT $2
"""
MARK_SWEPT = "DELETE FROM lost_attempts WHERE lease = ANY ($1::bigint[])"


@dataclass(frozen=True)
class LostAttempt:
    """An attempt whose objects are to be removed."""

    lease: int
    job_id: UUID
    kind: str
    dataset_id: UUID


async def register_worker(
    database: Database, worker_id: UUID, *, host: str, pid: int, slots: int, version: str
) -> None:
    """Say that the worker lives; said again with each heartbeat."""
    async with database.driver() as driver:
        await driver.execute(REGISTER, worker_id, host, pid, slots, version)


async def deregister_worker(database: Database, worker_id: UUID) -> None:
    async with database.driver() as driver:
        await driver.execute(DEREGISTER, worker_id)


async def forget_workers(database: Database, *, silent_s: float) -> int:
    """Remove workers that have been silent for `silent_s` seconds; answers how many."""
    async with database.driver() as driver:
        return int((await driver.execute(FORGET, silent_s)).rpartition(" ")[2])


async def unswept_attempts(database: Database, *, grace_s: float, limit: int = 100) -> list[LostAttempt]:
    async with database.driver() as driver:
        return [LostAttempt(**record) for record in await driver.fetch(UNSWEPT, grace_s, limit)]


async def mark_swept(database: Database, leases: list[int]) -> None:
    async with database.driver() as driver:
        await driver.execute(MARK_SWEPT, leases)


async def count_workers(database: Database, *, silent_s: float = 15.0) -> int:
    """Workers that were heard of in the last `silent_s` seconds."""
    async with database.driver() as driver:
        return int(await driver.fetchval(COUNT, silent_s))
