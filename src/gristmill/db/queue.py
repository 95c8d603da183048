"""What is in the queue, and who works on it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gristmill.db.engine import Database

# Rows that are not final, through the indexes that hold no others.
DEPTH = """
SELECT kind, sum(due)::int AS due, sum(delayed)::int AS delayed, sum(blocked)::int AS blocked,
    sum(running)::int AS running, max(oldest_wait_s)::float8 AS oldest_wait_s
FROM (
    SELECT kind, count(*) FILTER (WHERE scheduled_at <= now()) AS due,
        count(*) FILTER (WHERE scheduled_at > now()) AS delayed, 0 AS blocked, 0 AS running,
        extract(epoch FROM now() - min(scheduled_at) FILTER (WHERE scheduled_at <= now())) AS oldest_wait_s
    FROM jobs WHERE status = 'pending' AND NOT blocked GROUP BY kind
    UNION ALL SELECT kind, 0, 0, count(*), 0, NULL FROM jobs WHERE blocked GROUP BY kind
    UNION ALL SELECT kind, 0, 0, 0, count(*), NULL FROM jobs WHERE status = 'running' GROUP BY kind
) AS counted
GROUP BY kind ORDER BY kind
"""

WORKERS = """
SELECT workers.id, workers.host, workers.pid, workers.slots, workers.version, workers.started_at, workers.heartbeat_at,
    (SELECT count(*) FROM jobs WHERE jobs.status = 'running' AND jobs.worker_id = workers.id)::int AS running
FROM workers ORDER BY workers.started_at, workers.id LIMIT 1000
"""

TOTALS = "SELECT version, count(*)::int, sum(slots)::int FROM workers GROUP BY version"


@dataclass(frozen=True)
class KindDepth:
    """Jobs of a kind that are not final. `oldest_wait_s`: how long the oldest due one has been due."""

    kind: str
    due: int
    delayed: int
    blocked: int
    running: int
    oldest_wait_s: float | None


@dataclass(frozen=True)
class WorkerRow:
    id: UUID
    host: str
    pid: int
    slots: int
    version: str
    started_at: datetime
    heartbeat_at: datetime
    running: int


async def queue_depth(database: Database) -> list[KindDepth]:
    async with database.driver() as driver:
        return [KindDepth(**record) for record in await driver.fetch(DEPTH)]


async def list_workers(database: Database) -> list[WorkerRow]:
    async with database.driver() as driver:
        return [WorkerRow(**record) for record in await driver.fetch(WORKERS)]


async def count_slots(database: Database) -> dict[str, tuple[int, int]]:
    """Version → how many workers of it were heard of lately, and how many jobs they could run at once."""
    async with database.driver() as driver:
        return {version: (workers, slots) for version, workers, slots in await driver.fetch(TOTALS)}
